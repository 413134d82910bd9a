package integration

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// deletesType sets deletionPolicy Delete.
func deletesType(action *v1alpha1.CustomAction) {
	action.Spec.DeletionPolicy = v1alpha1.DeletionDelete
}

// createForeignType creates the action type "work" with a definition that differs from the
// CustomAction's.
func (w *world) createForeignType(tags ...types.Tag) {
	_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 5}, OutputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1},
		Tags: tags,
	})
	w.Expect(err).NotTo(HaveOccurred())
}

// deleteAction deletes an action and waits until it is gone.
func (w *world) deleteAction(action *v1alpha1.CustomAction) {
	w.T.Helper()
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.awaitGone(action)
}

func (w *world) awaitGone(action *v1alpha1.CustomAction) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		err := w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", action.Status.Conditions)
	})
}

// notDeregistered waits for the event with the reason why an action type remains.
func (w *world) notDeregistered(name, why string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		g.Expect(w.events(g, name)).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonNotDeregistered), HaveField("Note", ContainSubstring(why)))))
	})
}

// TestForeignActionTypeIsNotDeleted deletes objects that never owned the action type: it exists
// with another definition, or the template was never valid.
func TestForeignActionTypeIsNotDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.CustomAction)
		reason string
	}{
		"another definition": {func(*v1alpha1.CustomAction) {}, v1alpha1.ReasonDefinitionConflict},
		"a template that is not in order": {func(action *v1alpha1.CustomAction) {
			action.Spec.ActionType.InputArtifactDetails.MaximumCount = 5
			action.Spec.ActionType.ConfigurationProperties = nil
			action.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = ""
		}, v1alpha1.ReasonInvalidJobTemplate},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createForeignType()
			w.operate()
			action := w.Action(deletesType, c.change)
			w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
			w.ready(metav1.ConditionFalse, c.reason)
			w.deleteAction(action)
			w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
			w.notDeregistered(action.Name, "it was not registered for this object")
		})
	}
}

// TestActionTypeThatDiffersIsNotDeleted uses an action type with the tags of an object but another
// definition.
func TestActionTypeThatDiffersIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.createForeignType(w.ownerTags("here", w.Namespace, "work")...)
	w.operate()
	action := w.Action(deletesType)
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonDefinitionConflict)
	w.deleteAction(action)
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
	w.notDeregistered(action.Name, "it differs from spec.actionType in inputArtifactDetails")
}

// ownerTags returns tags that name an object.
func (w *world) ownerTags(cluster, namespace, name string) []types.Tag {
	return []types.Tag{
		{Key: aws.String(v1alpha1.TagCluster), Value: &cluster}, {Key: aws.String(v1alpha1.TagNamespace), Value: &namespace},
		{Key: aws.String(v1alpha1.TagName), Value: &name},
	}
}

// TestTypeOfWhichTheStatusDoesNotTellIsDeleted ends the operator between the registration and the
// update of the status. Deleting the object still deletes the action type, because its tags name
// the object.
func TestTypeOfWhichTheStatusDoesNotTellIsDeleted(t *testing.T) {
	w := newWorld(t)
	var cut atomic.Bool // from now on, the operator can't write
	w.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/customactions/work/status") && w.Calls("CreateCustomActionType") > 0 {
				cut.Store(true)
				return nil, http.ErrHandlerTimeout
			}
			return next.RoundTrip(r)
		})
	}
	stop := w.operate()
	action := w.Action(deletesType)
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(cut.Load()).To(BeTrue()) })
	stop()
	w.wrap = nil
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.operate()
	w.awaitGone(action)
	w.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1))
}

// TestActionTypeThatCantBeDeletedKeepsNoObject deletes a CustomAction while AWS does not delete its
// action type. The object is gone within minutes, and an event in the operator's namespace says
// that the action type remains, and how to delete it.
func TestActionTypeThatCantBeDeletedKeepsNoObject(t *testing.T) {
	w := newWorld(t)
	own := w.runAsPod()
	w.operate()
	action := w.Action(deletesType)
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "DeleteCustomActionType", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(len(w.AWS.Journal("DeleteCustomActionType"))).To(BeNumerically(">=", 2), "it is tried, and tried again")
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		g.Expect(meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionDeregistered)).To(And(
			HaveField("Reason", v1alpha1.ReasonRetrying), HaveField("Message", ContainSubstring("codepipeline:DeleteCustomActionType"))))
	})
	w.Clock.Step(6 * time.Minute)
	w.awaitGone(action)
	w.Await(func(g Gomega) {
		var list eventsv1.EventList
		g.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(own))).To(Succeed())
		g.Expect(list.Items).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonNotDeregistered), HaveField("Regarding.Name", "manager-1"),
			HaveField("Note", And(
				ContainSubstring("CustomAction "+w.Namespace+"/work: "),
				ContainSubstring("action type Test/work/1 remains in CodePipeline in us-east-1 of account 111122223333"),
				ContainSubstring("aws codepipeline delete-custom-action-type --category Test --provider work --action-version 1 --region us-east-1"))))))
	})
	w.notDeregistered(action.Name, "remains in CodePipeline")
	families, err := ctrlmetrics.Registry.Gather()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(families).To(ContainElement(And(
		HaveField("GetName()", "pipelinejob_deleted_not_deregistered_total"), HaveField("GetMetric()", ContainElement(HaveField("GetCounter().GetValue()", BeNumerically(">=", 1)))))))
}

// TestObjectThatWasLetGoDoesNotCount deletes one of two objects with the same action type, which
// the finalizer of another controller keeps.
func TestObjectThatWasLetGoDoesNotCount(t *testing.T) {
	const hold = "example.com/hold"
	letGo := func(w *world, action *v1alpha1.CustomAction) {
		w.T.Helper()
		w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
		w.Await(func(g Gomega) {
			g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
			g.Expect(action.Finalizers).To(Equal([]string{hold}), "%v", action.Status.Conditions)
		})
	}
	held := func(t *testing.T) (w *world, older, newer *v1alpha1.CustomAction) {
		w = newWorld(t)
		w.operate()
		older, newer = w.twoOfOneType(func(a *v1alpha1.CustomAction) { a.Finalizers = []string{hold} })
		w.readyReason(newer.Name, v1alpha1.ReasonActionTypeTaken)
		return w, older, newer
	}
	t.Run("the newer takes over", func(t *testing.T) {
		w, older, newer := held(t)
		letGo(w, older)
		w.readyReason(newer.Name, v1alpha1.ReasonReady)
	})
	t.Run("the older does not wait", func(t *testing.T) {
		w, older, newer := held(t)
		letGo(w, newer)
		letGo(w, older)
		w.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1))
	})
}
