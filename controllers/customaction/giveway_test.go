package customaction

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestGivesWay decides for a holder of jobs in account 111122223333 whether it keeps them, or
// releases them immediately or later.
func TestGivesWay(t *testing.T) {
	const keeps, later, atOnce = "keeps them", "releases them later", "releases them immediately"
	proven := &v1alpha1.CodePipelineAccount{}
	proven.Status.AccountID = "111122223333"
	moved, unproven := proven.DeepCopy(), proven.DeepCopy()
	moved.Status.AccountID = "444455556666"
	unproven.Spec.RoleARN = "arn:aws:iam::111122223333:role/gone"
	wrong := func(reason string) finding { return finding{reason: reason, err: errors.New(reason)} }
	for name, c := range map[string]struct {
		seen observation
		want string
	}{
		"in order":                           {observation{access: access{account: proven}}, keeps},
		"a failure that passes":              {observation{access: access{account: proven}, examined: examined{registration: wrong(v1alpha1.ReasonAWSUnavailable)}}, keeps},
		"AWS denies access":                  {observation{access: access{account: proven}, examined: examined{registration: wrong(v1alpha1.ReasonAccessDenied)}}, later},
		"a mistake in the template":          {observation{access: access{account: proven}, examined: examined{template: wrong(v1alpha1.ReasonInvalidJobTemplate)}}, later},
		"a mistake in the owner's template":  {observation{access: access{account: proven}, examined: examined{template: wrong(v1alpha1.ReasonInvalidJobTemplate), owner: v1alpha1.OwnerThis}}, keeps},
		"no grant":                           {observation{access: access{account: proven, refused: wrong(v1alpha1.ReasonAccessNotGranted)}}, later},
		"no account":                         {observation{access: access{refused: wrong(v1alpha1.ReasonAccountNotFound)}}, later},
		"an account that is not proven":      {observation{access: access{account: unproven, refused: wrong(v1alpha1.ReasonAccountNotReady)}}, later},
		"the tags name another CustomAction": {observation{access: access{account: proven}, examined: examined{registration: wrong(v1alpha1.ReasonActionTypeTaken)}}, atOnce},
		"the owner waits":                    {observation{access: access{account: proven}, taken: wrong(v1alpha1.ReasonActionTypeTaken)}, atOnce},
		"it has moved":                       {observation{access: access{account: moved}}, atOnce},
		"it has moved, and AWS is down":      {observation{access: access{account: moved}, examined: examined{registration: wrong(v1alpha1.ReasonAWSUnavailable)}}, atOnce},
		"it has moved, and has no grant":     {observation{access: access{account: moved, refused: wrong(v1alpha1.ReasonAccessNotGranted)}}, atOnce},
	} {
		t.Run(name, func(t *testing.T) {
			action := &v1alpha1.CustomAction{}
			held := keyOf(action, access{account: proven})
			got := later
			switch {
			case c.seen.mayKeep(action, held):
				got = keeps
			case c.seen.mustRelease(action, held):
				got = atOnce
			}
			NewWithT(t).Expect(got).To(Equal(c.want))
		})
	}
}

// TestUnableFor counts from the first failure of a series.
func TestUnableFor(t *testing.T) {
	g, now := NewWithT(t), time.Now()
	var h holders
	action := types.NamespacedName{Namespace: "ci", Name: "work"}
	g.Expect(h.take(jobsKey{actionType: "one"}, action)).To(BeTrue())
	g.Expect(h.unableFor(action, now)).To(BeZero())
	g.Expect(h.unableFor(action, now.Add(time.Minute))).To(Equal(time.Minute))
	h.able(action)
	g.Expect(h.unableFor(action, now.Add(time.Hour))).To(BeZero())
	g.Expect(h.take(jobsKey{actionType: "two"}, action)).To(BeTrue())
	g.Expect(h.unableFor(action, now.Add(2*time.Hour))).To(BeZero(), "it holds others")
}
