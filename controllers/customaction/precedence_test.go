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
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	waits := says(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonActionTypeTaken)
	down := says(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAWSUnavailable)
	suspended := says(v1alpha1.ConditionPolling, metav1.ConditionFalse, v1alpha1.ReasonSuspended)
	polling := says(v1alpha1.ConditionPolling, metav1.ConditionTrue, v1alpha1.ReasonPolling)
	type status struct {
		polled    time.Duration // how long ago; zero: never
		condition metav1.Condition
		region    v1alpha1.Region
	}
	for name, c := range map[string]struct{ older, newer status }{
		"suspended":                        {status{0, waits, "us-east-1"}, status{time.Minute, suspended, "us-east-1"}},
		"AWS has not answered for an hour": {status{0, waits, "us-east-1"}, status{time.Hour, down, "us-east-1"}},
		"both polled":                      {status{90 * time.Minute, down, "us-east-1"}, status{time.Hour, down, "us-east-1"}},
		"a user wrote the time":            {status{-1000 * time.Hour, waits, "us-east-1"}, status{time.Hour, down, "us-east-1"}},
		"the older one polled elsewhere":   {status{time.Minute, polling, "eu-west-1"}, status{time.Hour, down, "us-east-1"}},
		"it polls":                         {status{time.Minute, waits, "us-east-1"}, status{2 * time.Minute, polling, "us-east-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r, account := deciding(g)
			of := func(age time.Duration, was status) standing {
				action := harness.NewAction("team")
				action.CreationTimestamp, action.Status.Conditions = metav1.NewTime(now.Add(-age)), []metav1.Condition{was.condition}
				action.Status.AccountID, action.Status.Region = account.Status.AccountID, was.region
				if was.polled != 0 {
					action.Status.LastPollTime = &metav1.Time{Time: now.Add(-was.polled)}
				}
				found, err := r.standingOf(t.Context(), action, access{account: account, region: "us-east-1"}, func(place) bool { return true })
				g.Expect(err).NotTo(HaveOccurred())
				return found
			}
			older, newer := of(2*time.Hour, c.older), of(time.Hour, c.newer)
			g.Expect(newer.before(older)).To(BeTrue())
			g.Expect(older.before(newer)).To(BeFalse())
		})
	}
}

// deciding returns a reconciler that reads the given objects, and an account in use.
func deciding(g *WithT, objects ...client.Object) (*Reconciler, *v1alpha1.CodePipelineAccount) {
	account := harness.NewAccount("team")
	harness.InUse(account, "team")
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(account).WithObjects(objects...).
		WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
		WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
	return &Reconciler{Client: kube, Clock: clock.RealClock{}, Poller: &poller.Poller{Clock: clock.RealClock{}}}, account
}

// TestDeletedTypeIsRegisteredByWhoTookItsJobs has an action type be deleted by other means. The
// older one of two objects waited for its jobs.
func TestDeletedTypeIsRegisteredByWhoTookItsJobs(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	of := func(name string, age time.Duration, conditions ...metav1.Condition) *v1alpha1.CustomAction {
		return harness.NewAction("team", func(a *v1alpha1.CustomAction) {
			a.Name, a.UID, a.CreationTimestamp = name, types.UID(name), metav1.NewTime(time.Now().Add(-age))
			a.Spec.Registration, a.Status.Conditions = v1alpha1.RegistrationManaged, conditions
			a.Status.AccountID, a.Status.Region = "111122223333", "us-east-1"
		})
	}
	older := of("older", 2*time.Hour, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonActionTypeTaken})
	newer := of("newer", time.Hour, metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPolling})
	r, _ := deciding(g, older, newer)
	for action, waits := range map[*v1alpha1.CustomAction]bool{older: true, newer: false} {
		allowed, err := r.accessOf(ctx, action)
		g.Expect(err).NotTo(HaveOccurred())
		taken, err := r.createdByAnother(ctx, action, allowed)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(taken.err != nil).To(Equal(waits), action.Name)
	}
}
