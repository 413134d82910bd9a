package customaction

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
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

// TestActionTypeDoesNotWaitInASilentLane queues the deletion of an action type after reports that get
// no response: the object is released within minutes.
func TestActionTypeDoesNotWaitInASilentLane(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	clock := clocktesting.NewFakeClock(time.Now())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.CustomAction{}).
		WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
		WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
	action := harness.NewAction("team", func(a *v1alpha1.CustomAction) {
		a.Spec.DeletionPolicy, a.Spec.Registration = v1alpha1.DeletionDelete, v1alpha1.RegistrationManaged
		a.Finalizers = []string{v1alpha1.FinalizerCustomAction}
	})
	g.Expect(kube.Create(ctx, action)).To(Succeed())
	g.Expect(kube.Delete(ctx, action)).To(Succeed())

	account := harness.NewAccount("team")
	harness.InUse(account, "team")
	g.Expect(kube.Create(ctx, account)).To(Succeed())

	told := events.NewFakeRecorder(1000)
	r := &Reconciler{Client: kube, Live: kube, Lanes: lanes.New(lanes.Options{Clock: clock}), Clock: clock,
		AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}), Poller: &poller.Poller{Clock: clock}, Events: told}
	allowed, err := r.accessOf(ctx, action)
	g.Expect(err).NotTo(HaveOccurred())
	silent := lanes.Of(r.identity(allowed, action))
	answer := make(chan struct{})
	for i := range lanes.DefaultInFlight {
		r.Lanes.Submit(silent, lanes.Call{ID: i, Operation: "PutJobFailureResult", Do: func(context.Context) { <-answer }})
		clock.Step(time.Second)
	}
	defer close(answer)
	began, name := clock.Now(), client.ObjectKeyFromObject(action)
	for kube.Get(ctx, name, action) == nil {
		g.Expect(clock.Since(began)).To(BeNumerically("<=", 7*time.Minute))
		r.Lanes.Answered(silent, "PutJobFailureResult", lanes.AnswerNone)
		g.Expect(r.Reconcile(ctx, ctrl.Request{NamespacedName: name})).Error().NotTo(HaveOccurred())
		clock.Step(time.Minute)
	}
	close(told.Events)
	var said []string
	for event := range told.Events {
		said = append(said, event)
	}
	g.Expect(said).To(ContainElement(And(ContainSubstring(v1alpha1.ReasonNotDeregistered), ContainSubstring("aws codepipeline delete-custom-action-type"))))
}
