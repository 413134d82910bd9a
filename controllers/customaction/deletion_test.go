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
	object := func(namespace, name string, deleting bool) standing {
		made := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if deleting {
			made.DeletionTimestamp = ptr.To(metav1.Now())
		}
		return standing{CustomAction: made}
	}
	cases := map[string]struct {
		others []standing
		want   deletionDecision
		why    string
	}{
		"alone":                         {nil, deleteActionType, ""},
		"another one stays":             {[]standing{object("team", "other", false)}, keepActionType, ""},
		"another one is deleted too":    {[]standing{object("team", "other", true)}, awaitOthers, "CustomAction other, which has the same action type and is being deleted too"},
		"another team's is deleted too": {[]standing{object("foe", "secret", true)}, awaitOthers, "a CustomAction of another namespace, which has the same action type and is being deleted too"},
		"one is deleted, one stays":     {[]standing{object("team", "other", true), object("team", "third", false)}, keepActionType, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			decided, why := decideDeletion(object("team", "mine", true).CustomAction, c.others)
			NewWithT(t).Expect(decided).To(Equal(c.want))
			NewWithT(t).Expect(why).To(Equal(c.why))
		})
	}
}

// TestStanding: running work must not run twice, tags prove the owner of an action type, and age
// decides last.
func TestStanding(t *testing.T) {
	g := NewWithT(t)
	aged := func(hours int) *v1alpha1.CustomAction {
		return &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Duration(hours) * time.Hour))}}
	}
	order := []standing{
		{CustomAction: aged(1), jobs: true, owns: true},
		{CustomAction: aged(9), jobs: true, polls: true},
		{CustomAction: aged(1), owns: true},
		{CustomAction: aged(1), polls: true},
		{CustomAction: aged(9)},
		{CustomAction: aged(5)},
	}
	for i := range order {
		for j := range order {
			g.Expect(order[i].before(order[j])).To(Equal(i < j), "%d %d", i, j)
		}
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
