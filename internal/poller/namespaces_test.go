package poller

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

// TestNamespacesShareTheSlots has a namespace with hundreds of actions fill all slots, and
// wait for more, before a neighbour has any jobs. The neighbour must get freed slots until it
// has as many.
func TestNamespacesShareTheSlots(t *testing.T) {
	g := NewWithT(t)
	const limit, many = 4, 300
	neighbour := types.NamespacedName{Namespace: "neighbour", Name: "c"}
	actions := map[types.NamespacedName]int32{neighbour: 10}
	var hostile []types.NamespacedName
	for i := range many {
		hostile = append(hostile, types.NamespacedName{Namespace: "hostile", Name: fmt.Sprint(i)})
		actions[hostile[i]] = 10
	}
	l := newSlots(limit, actions)
	for i := range limit {
		l.observe(inFlight(hostile[i], fmt.Sprint("job-", i)))
	}
	for _, action := range hostile[limit:] {
		g.Expect(l.free(action)).To(BeZero())
	}
	g.Expect(l.free(neighbour)).To(BeZero())

	for done := range 2 {
		l.observe(settled(hostile[done], fmt.Sprint("job-", done)))
		g.Expect(l.next()).To(Equal([]types.NamespacedName{neighbour}), "freed slot %d", done)
		g.Expect(l.free(hostile[limit])).To(BeZero(), "it is left to the neighbour")
		g.Expect(l.free(neighbour)).To(BeEquivalentTo(1))
		l.observe(inFlight(neighbour, fmt.Sprint("job-", done)))
		g.Expect(l.free(neighbour)).To(BeZero())
	}
	l.observe(settled(hostile[2], "job-2"))
	g.Expect(l.next()).To(Equal([]types.NamespacedName{hostile[limit]}), "the neighbour has more slots now, and this action has waited longest")
}

// TestSlotsFreedTogetherAreShared: each namespace gets one, whichever action has waited
// longest.
func TestSlotsFreedTogetherAreShared(t *testing.T) {
	g := NewWithT(t)
	d := types.NamespacedName{Namespace: "other", Name: "d"}
	l := newSlots(2, map[types.NamespacedName]int32{a: 3, b: 1, c: 1, d: 1})
	l.observe(inFlight(a, "1"))
	l.observe(inFlight(a, "2"))
	for _, action := range []types.NamespacedName{b, a, c, d} {
		g.Expect(l.free(action)).To(BeZero())
	}
	l.observe(settled(a, "1"))
	l.observe(settled(a, "2"))
	g.Expect(l.next()).To(Equal([]types.NamespacedName{b, c}), "one for each namespace")
}
