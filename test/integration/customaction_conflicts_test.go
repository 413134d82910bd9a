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
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func named(name string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Name = name }
}

// readyReason waits until the condition Ready of an action has a reason.
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
	w.Expect(message).To(Equal("CustomAction " + older.Name + " takes the jobs of action type Test/work/1 in us-east-1: " +
		"delete one of the two, or give this one another version or queryParam"))
	w.Expect(w.Calls("CreateCustomActionType")).To(Equal(1))
	w.Expect(w.Kube.Delete(w.Ctx, newer)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(newer), newer))).To(BeTrue())
	})
	w.readyReason(older.Name, v1alpha1.ReasonReady)
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
}

// twoOfOneType creates two actions that may both delete their type, and waits until the older one
// is ready.
func (w *world) twoOfOneType(changes ...func(*v1alpha1.CustomAction)) (older, newer *v1alpha1.CustomAction) {
	older, newer = w.Action(append(changes, deletesType)...), w.Action(append(changes, deletesType, named("two"))...)
	w.Expect(w.Kube.Create(w.Ctx, older)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, newer)).To(Succeed())
	if older.CreationTimestamp.Equal(&newer.CreationTimestamp) && newer.UID < older.UID { // created within the same second
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
	w.deleteAction(newer)
	w.notDeregistered(newer.Name, "it was not registered for this object")
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero(), "its tags name the older object")
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

// TestFailingGetCallerIdentityStopsNoPolling: two objects have the same action type in two
// accounts, whose IDs were known before the operator was restarted.
func TestFailingGetCallerIdentityStopsNoPolling(t *testing.T) {
	w := newWorld(t)
	one := w.Action()
	other := w.Action(named("two"), w.ofOtherAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.RoleARN = "arn:aws:iam::444455556666:role/ci" }))
	w.Expect(w.Kube.Create(w.Ctx, one)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, other)).To(Succeed())
	stop := w.operate()
	w.readyReason(one.Name, v1alpha1.ReasonReady)
	w.readyReason(other.Name, v1alpha1.ReasonReady)
	stop()
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "GetCallerIdentity", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
	w.AWS.ClearJournal()
	w.operate()
	w.Await(func(g Gomega) {
		g.Expect(w.AWS.Journal("GetCallerIdentity")).NotTo(BeEmpty())
		g.Expect(w.AWS.Journal("PollForJobs")).To(ContainElements(HaveField("AccountID", "111122223333"), HaveField("AccountID", "444455556666")))
	})
	w.readyReason(one.Name, v1alpha1.ReasonReady)
	w.readyReason(other.Name, v1alpha1.ReasonReady)
}

func labelled(key string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Labels = map[string]string{key: "1"} }
}
