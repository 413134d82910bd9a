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
	object := func(age int, deleting bool) sharer {
		made := v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(start.Add(time.Duration(-age) * time.Hour))}}
		if deleting {
			made.DeletionTimestamp = ptr.To(metav1.Now())
		}
		return sharer{made, sameAccount, ""}
	}
	unclear := func(other sharer) sharer {
		other.account = unclearAccount
		return other
	}
	cases := map[string]struct {
		others []sharer
		want   deletionDecision
	}{
		"alone":                                         {nil, deleteActionType},
		"a newer one stays":                             {[]sharer{object(1, false)}, keepActionType},
		"an older one stays":                            {[]sharer{object(9, false)}, keepActionType},
		"a newer one goes too":                          {[]sharer{object(1, true)}, awaitOthers},
		"an older one goes too":                         {[]sharer{object(9, true)}, keepActionType},
		"one goes, and another stays":                   {[]sharer{object(1, true), object(2, false)}, keepActionType},
		"a newer one of an unclear account stays":       {[]sharer{unclear(object(1, false))}, awaitAccount},
		"an older one of an unclear account stays":      {[]sharer{unclear(object(9, false))}, awaitAccount},
		"a newer one of an unclear account goes too":    {[]sharer{unclear(object(1, true))}, awaitOthers},
		"an older one of an unclear account goes too":   {[]sharer{unclear(object(9, true))}, awaitAccount},
		"one goes, and one of an unclear account stays": {[]sharer{object(1, true), unclear(object(2, false))}, awaitAccount},
		"an unclear one stays, and one that is not":     {[]sharer{unclear(object(9, false)), object(1, false)}, keepActionType},
		"an older and a newer one goes":                 {[]sharer{object(9, true), object(1, true)}, keepActionType},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mine := object(5, true)
			decided, by := decideDeletion(&mine.CustomAction, c.others)
			NewWithT(t).Expect(decided).To(Equal(c.want))
			NewWithT(t).Expect(by != nil).To(Equal(len(c.others) > 0))
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
