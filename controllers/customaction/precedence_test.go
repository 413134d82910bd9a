package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestWhoTookTheJobsLastGoesFirst has an operator start while nobody takes the jobs of two
// CustomActions. The older one waited for them before.
func TestWhoTookTheJobsLastGoesFirst(t *testing.T) {
	now := time.Now()
	says := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}
	}
	of := func(age, polled time.Duration, conditions ...metav1.Condition) standing {
		action := harness.NewAction("team")
		action.CreationTimestamp = metav1.NewTime(now.Add(-age))
		action.Status.Conditions = conditions
		if polled > 0 {
			action.Status.LastPollTime = &metav1.Time{Time: now.Add(-polled)}
		}
		return standing{CustomAction: action, polls: polls(action) || failsBriefly(action, now), lastPoll: lastPoll(action, now)}
	}
	waits := says(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonActionTypeTaken)
	down := says(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAWSUnavailable)
	for name, c := range map[string]struct{ older, newer standing }{
		"suspended":                        {of(2*time.Hour, 0, waits), of(time.Hour, time.Minute, says(v1alpha1.ConditionPolling, metav1.ConditionFalse, v1alpha1.ReasonSuspended))},
		"AWS has not answered for an hour": {of(2*time.Hour, 0, waits), of(time.Hour, time.Hour, down)},
		"both polled":                      {of(2*time.Hour, 90*time.Minute, down), of(time.Hour, time.Hour, down)},
		"a user wrote the time":            {of(2*time.Hour, -1000*time.Hour, waits), of(time.Hour, time.Hour, down)},
		"it polls":                         {of(2*time.Hour, time.Minute, waits), of(time.Hour, 2*time.Minute, says(v1alpha1.ConditionPolling, metav1.ConditionTrue, v1alpha1.ReasonPolling))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(c.newer.before(c.older)).To(BeTrue())
			g.Expect(c.older.before(c.newer)).To(BeFalse())
		})
	}
}
