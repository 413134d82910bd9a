package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
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

// TestDeletedTypeIsRegisteredByWhoTookItsJobs has an action type be deleted by other means. The
// older one of two objects waited for its jobs.
func TestDeletedTypeIsRegisteredByWhoTookItsJobs(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	account := harness.NewAccount("team")
	harness.InUse(account, "team")
	of := func(name string, age time.Duration, conditions ...metav1.Condition) *v1alpha1.CustomAction {
		return harness.NewAction("team", func(a *v1alpha1.CustomAction) {
			a.Name, a.UID, a.CreationTimestamp = name, types.UID(name), metav1.NewTime(time.Now().Add(-age))
			a.Spec.Registration, a.Status.Conditions = v1alpha1.RegistrationManaged, conditions
		})
	}
	older := of("older", 2*time.Hour, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonActionTypeTaken})
	newer := of("newer", time.Hour, metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPolling})
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(account, older, newer).
		WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
		WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
	r := &Reconciler{Client: kube, Clock: clock.RealClock{}, Poller: &poller.Poller{Clock: clock.RealClock{}}}
	for action, waits := range map[*v1alpha1.CustomAction]bool{older: true, newer: false} {
		allowed, err := r.accessOf(ctx, action)
		g.Expect(err).NotTo(HaveOccurred())
		taken, err := r.createdByAnother(ctx, action, allowed)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(taken.err != nil).To(Equal(waits), action.Name)
	}
}
