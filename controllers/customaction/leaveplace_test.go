package customaction

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestMovedObjectLeavesItsJobsAtOnce has an object be changed before CodePipeline answers: it
// keeps the jobs that it takes unless it has moved to others.
func TestMovedObjectLeavesItsJobsAtOnce(t *testing.T) {
	value := func(of string) func(*v1alpha1.CustomAction) {
		return func(a *v1alpha1.CustomAction) {
			a.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": v1alpha1.QueryValue(of)}
		}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.CustomAction)
		keeps  bool
	}{
		"another interval": {func(a *v1alpha1.CustomAction) { a.Spec.Polling.Interval = metav1.Duration{Duration: time.Minute} }, true},
		"another value":    {value("b"), false},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), t.Context()
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
			account := harness.NewAccount("team")
			harness.InUse(account, "team")
			action := harness.NewAction("team", value("a"), func(a *v1alpha1.CustomAction) {
				a.Finalizers = []string{v1alpha1.FinalizerCustomAction}
				a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
			})
			kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(account, action).
				WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
				WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
			clock := clocktesting.NewFakeClock(time.Now())
			r := &Reconciler{Client: kube, Live: kube, Clock: clock, Lanes: lanes.New(lanes.Options{Clock: clock}),
				AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}), Poller: &poller.Poller{Clock: clock}}
			allowed, err := r.accessOf(ctx, action)
			g.Expect(err).NotTo(HaveOccurred())
			answer := make(chan struct{})
			defer close(answer)
			for i := range lanes.DefaultInFlight { // calls that are not answered
				r.Lanes.Submit(lanes.Of(r.identity(allowed, action)), lanes.Call{ID: i, Operation: "PutJobFailureResult", Do: func(context.Context) { <-answer }})
				clock.Step(time.Second)
			}
			key, object := keyOf(action, allowed), client.ObjectKeyFromObject(action)
			g.Expect(r.holders.take(key, object)).To(BeTrue())

			g.Expect(kube.Get(ctx, object, action)).To(Succeed())
			c.change(action)
			g.Expect(kube.Update(ctx, action)).To(Succeed())
			g.Expect(r.Reconcile(ctx, ctrl.Request{NamespacedName: object})).Error().NotTo(HaveOccurred())
			_, held := r.holders.holder(key)
			g.Expect(held).To(Equal(c.keeps))
		})
	}
}
