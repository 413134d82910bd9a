package controllers

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func named(name string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Name = name }
}

// readyReason waits until condition Ready of an action has a reason.
func (w *world) readyReason(name, reason string) (message string) {
	w.t.Helper()
	w.eventually(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.kube.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, action)).To(Succeed())
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
	w.Expect(message).To(Equal("CustomAction " + w.namespace + "/" + older.Name + ", which is older, takes the jobs of action type Test/work/1 in us-east-1: " +
		"delete one of the two, or give this one another version or queryParam"))
	w.Expect(w.calls("CreateCustomActionType")).To(Equal(1))
	w.Expect(w.kube.Delete(w.ctx, newer)).To(Succeed())
	w.eventually(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.kube.Get(w.ctx, client.ObjectKeyFromObject(newer), newer))).To(BeTrue())
	})
	w.readyReason(older.Name, v1alpha1.ReasonReady)
	w.Expect(w.calls("DeleteCustomActionType")).To(BeZero())
}

// twoOfOneType makes two actions that may both delete their type, and waits for
// the older one to be ready.
func (w *world) twoOfOneType() (older, newer *v1alpha1.CustomAction) {
	deletes := func(a *v1alpha1.CustomAction) { a.Spec.DeletionPolicy = v1alpha1.DeletionDelete }
	older, newer = w.action(deletes), w.action(named("two"), deletes)
	w.Expect(w.kube.Create(w.ctx, older)).To(Succeed())
	w.Expect(w.kube.Create(w.ctx, newer)).To(Succeed())
	if isOlder(newer, older) { // made in one second
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
	w.Expect(w.kube.Delete(w.ctx, older)).To(Succeed())
	w.readyReason(newer.Name, v1alpha1.ReasonReady)
	w.Expect(w.calls("DeleteCustomActionType")).To(BeZero(), "it is the newer object's now")
	w.Expect(w.kube.Delete(w.ctx, newer)).To(Succeed())
	w.eventually(func(g Gomega) { g.Expect(w.calls("DeleteCustomActionType")).To(Equal(1)) })
}

func TestObjectsOfOneTypeByQuery(t *testing.T) {
	w := newWorld(t)
	w.operate()
	of := func(name, team string) *v1alpha1.CustomAction {
		return w.action(named(name), func(a *v1alpha1.CustomAction) {
			a.Spec.ActionType.ConfigurationProperties[0].Required = true
			a.Spec.ActionType.ConfigurationProperties[0].Queryable = ptr.To(true)
			a.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": v1alpha1.QueryValue(team)}
		})
	}
	w.Expect(w.kube.Create(w.ctx, of("web", "web"))).To(Succeed())
	w.Expect(w.kube.Create(w.ctx, of("mobile", "mobile"))).To(Succeed())
	w.readyReason("web", v1alpha1.ReasonReady)
	w.readyReason("mobile", v1alpha1.ReasonReady)
	found, err := w.pipelines.ListActionTypes(w.ctx, &sdk.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(found.ActionTypes).To(HaveLen(1))
}

func TestFateOfAnActionType(t *testing.T) {
	start := time.Now()
	object := func(age int, deleting bool) v1alpha1.CustomAction {
		made := v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(start.Add(time.Duration(-age) * time.Hour))}}
		if deleting {
			made.DeletionTimestamp = ptr.To(metav1.Now())
		}
		return made
	}
	cases := map[string]struct {
		others []v1alpha1.CustomAction
		want   fate
	}{
		"alone":                         {nil, fateDelete},
		"a newer one stays":             {[]v1alpha1.CustomAction{object(1, false)}, fateKeep},
		"an older one stays":            {[]v1alpha1.CustomAction{object(9, false)}, fateKeep},
		"a newer one goes too":          {[]v1alpha1.CustomAction{object(1, true)}, fateWait},
		"an older one goes too":         {[]v1alpha1.CustomAction{object(9, true)}, fateKeep},
		"one goes, and another stays":   {[]v1alpha1.CustomAction{object(1, true), object(2, false)}, fateKeep},
		"an older and a newer one goes": {[]v1alpha1.CustomAction{object(9, true), object(1, true)}, fateKeep},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mine := object(5, true)
			NewWithT(t).Expect(fateOf(&mine, c.others)).To(Equal(c.want))
		})
	}
}

func TestOfOneSecondTheUIDDecides(t *testing.T) {
	g := NewWithT(t)
	now := metav1.Now()
	object := func(uid string) *v1alpha1.CustomAction {
		return &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{UID: k8stypes.UID(uid), CreationTimestamp: now}}
	}
	g.Expect(isOlder(object("a"), object("b"))).To(BeTrue())
	g.Expect(isOlder(object("b"), object("a"))).To(BeFalse())
}
