package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestFailsBriefly decides by its status whether an action keeps its jobs across a restart.
func TestFailsBriefly(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		ready  metav1.ConditionStatus
		reason string
		since  time.Duration
		polled bool
		want   bool
	}{
		"a mistake just now":                          {metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, time.Second, true, true},
		"no grant for some minutes":                   {metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted, 4 * time.Minute, true, true},
		"a mistake for long":                          {metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, releaseAfter, true, false},
		"it never took jobs":                          {metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, time.Second, false, false},
		"another replica said so whose clock is fast": {metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, -time.Second, true, true},
		"a user wrote the status":                     {metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, -1000 * time.Hour, true, false},
		"in order":                                    {metav1.ConditionTrue, v1alpha1.ReasonReady, time.Second, true, false},
		"another takes its jobs":                      {metav1.ConditionFalse, v1alpha1.ReasonActionTypeTaken, time.Second, true, false},
		"its action type is not there":                {metav1.ConditionFalse, v1alpha1.ReasonActionTypeNotFound, time.Second, true, false},
		"it may not create what is gone":              {metav1.ConditionFalse, v1alpha1.ReasonRegistrationNotGranted, time.Second, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			action := &v1alpha1.CustomAction{}
			action.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: c.ready, Reason: c.reason, LastTransitionTime: metav1.NewTime(now.Add(-c.since))}}
			if c.polled {
				action.Status.LastPollTime = &metav1.Time{Time: now.Add(-time.Hour)}
			}
			account := harness.NewAccount("team")
			harness.InUse(account, "team")
			a := access{account: account, region: "us-east-1"}
			action.Status.AccountID, action.Status.Region = a.accountID(), a.region
			NewWithT(t).Expect(failsBriefly(action, a, now)).To(Equal(c.want))
			NewWithT(t).Expect(failsBriefly(action, access{account: account, region: "eu-west-1"}, now)).To(BeFalse(), "it took none there")
		})
	}
}
