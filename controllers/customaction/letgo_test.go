package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestLetGoThoughOthersKeepIt has users take the operator's finalizer off an object that is being
// deleted, which a finalizer of their own keeps: it takes no jobs, and keeps them from nobody.
func TestLetGoThoughOthersKeepIt(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	clock := clocktesting.NewFakeClock(time.Now())
	kube := fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
		WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
	action := harness.NewAction("team", func(a *v1alpha1.CustomAction) { a.Finalizers = []string{"example.com/kept"} })
	account := harness.NewAccount("team")
	harness.InUse(account, "team")
	g.Expect(kube.Create(ctx, account)).To(Succeed())
	g.Expect(kube.Create(ctx, action)).To(Succeed())
	r := &Reconciler{Client: kube, Live: kube, Clock: clock, AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}), Poller: &poller.Poller{Clock: clock}}
	allowed, err := r.accessOf(ctx, action)
	g.Expect(err).NotTo(HaveOccurred())
	name, key := client.ObjectKeyFromObject(action), keyOf(action, allowed)
	g.Expect(r.holders.take(key, name)).To(BeTrue())
	r.poll(action, allowed, true, nil)
	polled := func() int { return r.Poller.WakeType("us-east-1", "111122223333", actionTypeID(action)) }
	g.Expect(polled()).To(Equal(1))

	g.Expect(kube.Delete(ctx, action)).To(Succeed())
	g.Expect(r.Reconcile(ctx, ctrl.Request{NamespacedName: name})).Error().NotTo(HaveOccurred())
	g.Expect(kube.Get(ctx, name, action)).To(Succeed(), "it is kept")
	g.Expect(polled()).To(BeZero())
	_, held := r.holders.holder(key)
	g.Expect(held).To(BeFalse())
}
