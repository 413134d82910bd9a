package integration

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestForeignObjectKeepsNoSuccessorOut has a neighbour's CustomAction wait for the jobs of an
// action type that the tags rule out for it. It is older than the one to which the team goes on,
// with another name, and does not keep the action type from being deleted.
func TestForeignObjectKeepsNoSuccessorOut(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	theirs := w.Action(w.in(neighbour), using(w.Namespace))
	w.Expect(w.Kube.Create(w.Ctx, theirs)).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.deleteAction(w.Action())
	w.createdLater(theirs, func() *v1alpha1.CustomAction { return w.Action(named("successor")) })
	w.readyReason("successor", v1alpha1.ReasonReady)

	w.deleteAction(w.Action(named("successor")))
	w.Expect(w.Kube.Create(w.Ctx, w.Action(deletesType))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.deleteAction(w.Action())
	w.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1))
}

// createdLater creates an action, again and again until it is younger than another one by the
// seconds that the API server keeps.
func (w *world) createdLater(than *v1alpha1.CustomAction, made func() *v1alpha1.CustomAction) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		tried := made()
		dry := tried.DeepCopy()
		g.Expect(w.Kube.Create(w.Ctx, dry, client.DryRunAll)).To(Succeed())
		g.Expect(than.CreationTimestamp.Before(&dry.CreationTimestamp)).To(BeTrue())
		g.Expect(w.Kube.Create(w.Ctx, tried)).To(Succeed())
	})
}

// TestTypeIsCreatedThoughOthersCant has an older CustomAction of a neighbour that may not create
// the action type, and whose template is too large.
func TestTypeIsCreatedThoughOthersCant(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = append(account.Spec.Grants, v1alpha1.Grant{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{neighbour}}})
	})
	w.operate()
	theirs := w.Action(w.in(neighbour), using(w.Namespace), func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{strings.Repeat("x", 100<<10)}
	})
	w.Expect(w.Kube.Create(w.Ctx, theirs)).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonTooLarge)
	w.createdLater(theirs, func() *v1alpha1.CustomAction { return w.Action() })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestARNInAStatusIsNoProof has the status of a neighbour's CustomAction name an action type whose
// tags name that: those of its own action type count.
func TestARNInAStatusIsNoProof(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.deleteAction(w.Action())
	stop()
	_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("own"), Version: aws.String("1"), Tags: w.ownerTags("here", neighbour, "work"),
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1}, OutputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1},
	})
	w.Expect(err).NotTo(HaveOccurred())
	theirs := w.Action(w.in(neighbour), using(w.Namespace), deletesType)
	w.Expect(w.Kube.Create(w.Ctx, theirs)).To(Succeed())
	theirs.Status.AccountID, theirs.Status.Region = "111122223333", "us-east-1"
	theirs.Status.ActionTypeARN = strings.Replace(workARN, "/work/", "/own/", 1)
	w.Expect(w.Kube.Status().Update(w.Ctx, theirs)).To(Succeed())
	w.operate()
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.deleteAction(theirs)
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
}
