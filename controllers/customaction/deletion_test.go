package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestDecideDeletion(t *testing.T) {
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
		want   deletionDecision
	}{
		"alone":                         {nil, deleteActionType},
		"a newer one stays":             {[]v1alpha1.CustomAction{object(1, false)}, keepActionType},
		"an older one stays":            {[]v1alpha1.CustomAction{object(9, false)}, keepActionType},
		"a newer one goes too":          {[]v1alpha1.CustomAction{object(1, true)}, awaitOthers},
		"an older one goes too":         {[]v1alpha1.CustomAction{object(9, true)}, keepActionType},
		"one goes, and another stays":   {[]v1alpha1.CustomAction{object(1, true), object(2, false)}, keepActionType},
		"an older and a newer one goes": {[]v1alpha1.CustomAction{object(9, true), object(1, true)}, keepActionType},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mine := object(5, true)
			NewWithT(t).Expect(decideDeletion(&mine, c.others)).To(Equal(c.want))
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
