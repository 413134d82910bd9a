package customaction

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// TestActionsOfAnAccount lists what a change of an account affects: its CustomActions, and those
// that have moved to another account and left jobs with this one.
func TestActionsOfAnAccount(t *testing.T) {
	g := NewWithT(t)
	action := func(name, account string) *v1alpha1.CustomAction {
		a := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}
		a.Spec.AccountRef.Name = account
		return a
	}
	job := func(of, account string) *v1alpha1.PipelineJob {
		j := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: of + "-1"}}
		j.Spec.ActionRef.Name, j.Spec.AccountRef.Name = of, account
		return j
	}
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	kube := fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&v1alpha1.CustomAction{}, identity.IndexAccount, identity.ByAccount).
		WithIndex(&v1alpha1.PipelineJob{}, identity.IndexAccount, identity.ByAccount).
		WithObjects(action("stays", "a"), action("moved", "b"), action("elsewhere", "b"),
			job("stays", "a"), job("moved", "a"), job("elsewhere", "b")).Build()
	r := &Reconciler{Client: kube}

	account := &v1alpha1.CodePipelineAccount{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	g.Expect(r.ofAccount(t.Context(), account)).To(ConsistOf(
		reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "n", Name: "stays"}},
		reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "n", Name: "moved"}}))
}
