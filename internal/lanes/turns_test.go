package lanes

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// submitFor submits a call of a namespace that runs until the test ends it.
func (f *field) submitFor(namespace, id, operation string) {
	end := make(chan struct{})
	f.mu.Lock()
	f.end[id] = end
	f.mu.Unlock()
	f.Submit(here, Call{ID: id, Namespace: namespace, Operation: operation, Do: func(context.Context) {
		f.mu.Lock()
		f.started = append(f.started, id)
		f.mu.Unlock()
		<-end
	}})
}

// oneByOne ends each call as soon as it starts, until count calls have started, and returns them in
// order.
func (f *field) oneByOne(count int) []string {
	for i := range count {
		f.Eventually(f.begun).WithTimeout(deadline).Should(WithTransform(length, BeNumerically(">", i)))
		f.endOf(f.begun()[i])
		f.clock.Step(time.Second)
	}
	return f.begun()[:count]
}

// TestNamespacesTakeTurns: a namespace submits thousands of calls before others submit one or two.
func TestNamespacesTakeTurns(t *testing.T) {
	for _, operation := range []string{"PutJobSuccessResult", "AcknowledgeJob", "GetJobDetails", "ListActionTypes", "ListActionExecutions", "PollForJobs"} {
		t.Run(operation, func(t *testing.T) {
			f := newField(t, Options{InFlight: 1})
			defer f.endAll()
			for i := range 5000 {
				f.submitFor("many", fmt.Sprint("many ", i), operation)
			}
			f.submitFor("few", "few 0", operation)
			f.submitFor("few", "few 1", operation)
			f.submitFor("one", "one 0", operation)
			f.clock.Step(time.Second)
			f.Expect(f.oneByOne(6)).To(Equal([]string{"many 0", "many 1", "few 0", "one 0", "many 2", "few 1"}))
			f.Expect(f.lanes[here].waiting[priorityOf(operation)].of).To(HaveLen(1), "only namespaces with calls that wait are in memory")
		})
	}
}

// TestNamespacesTakeTurnsAmongOperations: two operations put results, and a namespace uses both.
func TestNamespacesTakeTurnsAmongOperations(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	for i := range 100 {
		f.submitFor("many", fmt.Sprint("many's success ", i), "PutJobSuccessResult")
		f.submitFor("many", fmt.Sprint("many's failure ", i), "PutJobFailureResult")
	}
	f.submitFor("few", "few", "PutJobSuccessResult")
	f.clock.Step(time.Second)
	f.Expect(f.oneByOne(3)).To(ContainElement("few"))
}

// TestTurnIsNotLostForWantOfAToken: a namespace whose operation has no token does not delay other
// operations, and is next when there is a token.
func TestTurnIsNotLostForWantOfAToken(t *testing.T) {
	f := newField(t, Options{})
	defer f.endAll()
	f.submitFor("many", "many 0", "PutJobSuccessResult")
	f.expectBegun("many 0")
	f.submitFor("few", "few", "PutJobSuccessResult")
	f.submitFor("many", "many 1", "PutJobSuccessResult")
	f.submitFor("many", "many's failure", "PutJobFailureResult")
	f.expectBegun("many 0", "many's failure")
	f.clock.Step(time.Second / startRate)
	f.expectBegun("many 0", "many's failure", "few")
}

// TestHangingCallsOfANamespaceLeaveRoom: more calls hang than there is room for, both of a priority
// that may use the whole lane and of one with a share.
func TestHangingCallsOfANamespaceLeaveRoom(t *testing.T) {
	for operation, most := range map[string]int{"PutJobSuccessResult": 6, "PollForJobs": 3} {
		t.Run(operation, func(t *testing.T) {
			f := newField(t, Options{InFlight: 8})
			defer f.endAll()
			for i := range 20 {
				f.submitFor("hangs", fmt.Sprint("hangs ", i), operation)
				f.clock.Step(time.Second)
			}
			f.Eventually(f.begun).WithTimeout(deadline).Should(WithTransform(length, BeNumerically(">", most-1)))
			f.submitFor("neighbour", "neighbour", operation)
			f.Eventually(f.begun).WithTimeout(deadline).Should(ContainElement("neighbour"))
			begun := slices.DeleteFunc(f.begun(), func(id string) bool { return id == "neighbour" })
			f.Expect(begun).To(HaveLen(most))
			f.endOf(begun[0])
			f.Eventually(f.begun).WithTimeout(deadline).Should(WithTransform(length, BeNumerically(">", most+1)))
		})
	}
}

// TestNamespacesInFlightAreForgotten when none of their calls is in flight.
func TestNamespacesInFlightAreForgotten(t *testing.T) {
	f := newField(t, Options{})
	for i := range 100 {
		f.submitFor(fmt.Sprint("namespace ", i), fmt.Sprint(i), "AcknowledgeJob")
		f.clock.Step(time.Second)
	}
	f.Eventually(f.begun).WithTimeout(deadline).Should(WithTransform(length, BeNumerically(">", 0)))
	f.Eventually(func() int { f.endAll(); f.clock.Step(time.Second); return len(f.begun()) }).WithTimeout(deadline).Should(Equal(100))
	f.Wait()
	f.Expect(f.lanes[here].namespaces).To(BeEmpty())
	f.Expect(f.lanes[here].waiting[claim].of).To(BeEmpty())
}

func length(of []string) int { return len(of) }
