package customaction

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestGoodExaminationOutlastsWhatPasses has a definition examined that was in order
// before.
func TestGoodExaminationOutlastsWhatPasses(t *testing.T) {
	broken := errors.New("broken")
	fine := examined{registration: finding{reason: v1alpha1.ReasonRegistered}, arn: "arn"}
	for name, c := range map[string]struct {
		found      finding
		generation int64
		kept       bool
	}{
		"throttled":                  {finding{reason: v1alpha1.ReasonAWSUnavailable, err: broken, retry: true}, 1, true},
		"no credentials now":         {finding{reason: v1alpha1.ReasonCredentialsUnavailable, err: broken, retry: true}, 1, true},
		"throttled, but has changed": {finding{reason: v1alpha1.ReasonAWSUnavailable, err: broken, retry: true}, 2, false},
		"access was taken away":      {finding{reason: v1alpha1.ReasonAccessDenied, err: broken, retry: true}, 1, false},
		"another definition":         {finding{reason: v1alpha1.ReasonDefinitionConflict, err: broken}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var e examinations
			now, calls := time.Now(), 0
			action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "1", Generation: 1}}
			g.Expect(e.of(action, now, func() examined { return fine })).To(Equal(fine))
			action.Generation = c.generation
			now = now.Add(DriftInterval)
			again := func() examined {
				return e.of(action, now, func() examined { calls++; return examined{registration: c.found} })
			}
			for range 2 {
				found := again()
				_, wrong := found.wrong()
				g.Expect(wrong).To(Equal(!c.kept))
				if c.kept {
					g.Expect(found.passing).To(Equal(c.found), "it is tried again")
					g.Expect(found.arn).To(Equal("arn"))
				}
			}
			g.Expect(calls).To(Equal(2), "what failed is not remembered")
			g.Expect(e.of(action, now, func() examined { return fine })).To(Equal(fine))
			e.recheck(client.ObjectKeyFromObject(action))
			again()
			g.Expect(calls).To(Equal(3))
		})
	}
}

func TestCountsAreWrittenOnceAMinute(t *testing.T) {
	g := NewWithT(t)
	var c counts
	now, name := time.Now(), types.NamespacedName{Name: "work"}
	g.Expect(c.wait(name, now)).To(BeNumerically("<=", 0))
	c.written(name, now)
	g.Expect(c.wait(name, now.Add(time.Second))).To(Equal(countEvery - time.Second))
	g.Expect(c.wait(name, now.Add(countEvery))).To(BeZero())
	c.forget(name)
	g.Expect(c.wait(name, now)).To(BeNumerically("<=", 0))

	var status v1alpha1.CustomActionStatus
	tally{inFlight: 3}.set(&status)
	g.Expect(status).To(Equal(v1alpha1.CustomActionStatus{JobsInFlight: 3}), "no poll was answered yet")
	tally{inFlight: 2, lastPoll: now}.set(&status)
	tally{inFlight: 1, lastPoll: now.Add(-time.Hour)}.set(&status)
	g.Expect(status.JobsInFlight).To(BeEquivalentTo(1))
	g.Expect(status.LastPollTime.Time).To(BeTemporally("~", now, time.Second), "it does not go back")
}
