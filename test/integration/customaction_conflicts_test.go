package integration

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func named(name string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Name = name }
}

// readyReason waits until condition Ready of an action has a reason.
func (w *world) readyReason(name, reason string) (message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, action)).To(Succeed())
		ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(reason), ready.Message)
		message = ready.Message
	})
	return message
}

func TestOlderObjectKeepsTheActionType(t *testing.T) {
	w := newWorld(t)
	w.operate()
	older, newer := w.twoOfOneType()
	message := w.readyReason(newer.Name, v1alpha1.ReasonActionTypeTaken)
	w.Expect(message).To(Equal("CustomAction " + w.Namespace + "/" + older.Name + ", which is older, takes the jobs of action type Test/work/1 in us-east-1: " +
		"delete one of the two, or give this one another version or queryParam"))
	w.Expect(w.Calls("CreateCustomActionType")).To(Equal(1))
	w.Expect(w.Kube.Delete(w.Ctx, newer)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(newer), newer))).To(BeTrue())
	})
	w.readyReason(older.Name, v1alpha1.ReasonReady)
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
}

// twoOfOneType makes two actions that may both delete their type, and waits for
// the older one to be ready.
func (w *world) twoOfOneType() (older, newer *v1alpha1.CustomAction) {
	deletes := func(a *v1alpha1.CustomAction) { a.Spec.DeletionPolicy = v1alpha1.DeletionDelete }
	older, newer = w.Action(deletes), w.Action(named("two"), deletes)
	w.Expect(w.Kube.Create(w.Ctx, older)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, newer)).To(Succeed())
	if older.CreationTimestamp.Equal(&newer.CreationTimestamp) && newer.UID < older.UID { // made in one second
		older, newer = newer, older
	}
	w.readyReason(older.Name, v1alpha1.ReasonReady)
	return older, newer
}

func TestNewerObjectTakesOver(t *testing.T) {
	w := newWorld(t)
	w.operate()
	older, newer := w.twoOfOneType()
	w.readyReason(newer.Name, v1alpha1.ReasonActionTypeTaken)
	w.Expect(w.Kube.Delete(w.Ctx, older)).To(Succeed())
	w.readyReason(newer.Name, v1alpha1.ReasonReady)
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero(), "it is the newer object's now")
	w.Expect(w.Kube.Delete(w.Ctx, newer)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1)) })
}

func TestObjectsOfOneTypeByQuery(t *testing.T) {
	w := newWorld(t)
	w.operate()
	of := func(name, team string) *v1alpha1.CustomAction {
		return w.Action(named(name), func(a *v1alpha1.CustomAction) {
			a.Spec.ActionType.ConfigurationProperties[0].Required = true
			a.Spec.ActionType.ConfigurationProperties[0].Queryable = ptr.To(true)
			a.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": v1alpha1.QueryValue(team)}
		})
	}
	w.Expect(w.Kube.Create(w.Ctx, of("web", "web"))).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, of("mobile", "mobile"))).To(Succeed())
	w.readyReason("web", v1alpha1.ReasonReady)
	w.readyReason("mobile", v1alpha1.ReasonReady)
	found, err := w.Pipelines.ListActionTypes(w.Ctx, &sdk.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(found.ActionTypes).To(HaveLen(1))
}
