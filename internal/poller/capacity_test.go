package poller

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

var a, b, c = types.NamespacedName{Namespace: "team", Name: "a"}, types.NamespacedName{Namespace: "team", Name: "b"}, types.NamespacedName{Namespace: "other", Name: "c"}

// slots is a capacity for tests.
type slots struct {
	*capacity
	clock *clocktesting.FakePassiveClock
}

func newSlots(limit int32, actions map[types.NamespacedName]int32) slots {
	clock := clocktesting.NewFakePassiveClock(time.Now())
	l := slots{newCapacity(limit, 24*time.Hour, clock), clock}
	for action, own := range actions {
		l.limitTo(action, own)
	}
	return l
}

// free takes the free slots, and returns them.
func (l slots) free(action types.NamespacedName) int32 {
	defer l.give(action)
	return l.take(action).free
}

// inFlight returns an unsettled job of an action.
func inFlight(action types.NamespacedName, name string) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: action.Namespace, Name: name, Generation: 1}}
	job.Spec.ActionRef.Name, job.Spec.CodePipelineJob.ID = action.Name, name
	return job
}

// settled returns a reported job.
func settled(action types.NamespacedName, name string) *v1alpha1.PipelineJob {
	job := inFlight(action, name)
	job.Settle(metav1.Now())
	return job
}

// awaited returns a job that CodePipeline will hand out again. Its run continues or has ended.
func awaited(action types.NamespacedName, name string, goesOn bool) *v1alpha1.PipelineJob {
	job := inFlight(action, name)
	job.Status.ContinuationToken, job.Status.Protocol.ReportedJobID = "token", name
	if goesOn {
		job.Status.Run = &v1alpha1.Run{Number: 1}
	}
	return job
}

// show makes the informer show jobs of an action.
func (l slots) show(action types.NamespacedName, jobs int) {
	for i := range jobs {
		l.observe(inFlight(action, fmt.Sprintf("%s-%d", action.Name, i)))
	}
}

func TestSlotsFollowTheInformer(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(0, map[types.NamespacedName]int32{a: 3})
	g.Expect(l.free(a)).To(BeEquivalentTo(3))
	g.Expect(l.observe(inFlight(a, "1"))).To(Equal(change{}))
	g.Expect(l.free(a)).To(BeEquivalentTo(2))
	g.Expect(l.observe(inFlight(a, "1"))).To(Equal(change{}), "the same again")
	g.Expect(l.free(a)).To(BeEquivalentTo(2))
	g.Expect(l.observe(settled(a, "1"))).To(Equal(change{freed: true}))
	g.Expect(l.observe(settled(a, "1"))).To(Equal(change{}), "it was freed before")
	g.Expect(l.gone(settled(a, "1"))).To(Equal(change{}))
	g.Expect(l.free(a)).To(BeEquivalentTo(3))

	l.show(a, 4)
	g.Expect(l.free(a)).To(BeZero(), "the limit was lowered")
	g.Expect(l.gone(inFlight(a, "a-0"))).To(Equal(change{freed: true}))
	g.Expect(l.gone(inFlight(a, "a-1"))).To(Equal(change{freed: true}))
	g.Expect(l.free(a)).To(BeEquivalentTo(1))
	l.limitTo(a, 0)
	g.Expect(l.free(a)).To(BeZero(), "no new jobs")
	g.Expect(l.gone(inFlight(a, "a-2"))).To(Equal(change{freed: true}))
	g.Expect(l.gone(inFlight(a, "a-3"))).To(Equal(change{freed: true}))
	g.Expect(l.actions).To(BeEmpty(), "an action without jobs is dropped")
}

func TestAwaitedJobs(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(0, map[types.NamespacedName]int32{a: 1})
	l.observe(inFlight(a, "1"))
	g.Expect(l.observe(awaited(a, "1", true))).To(Equal(change{awaited: true}))
	g.Expect(l.take(a)).To(roomFor(0, 1), "progress: its run continues")
	g.Expect(l.observe(awaited(a, "1", false))).To(Equal(change{freed: true}), "it was awaited before")
	g.Expect(l.take(a)).To(roomFor(1, 1), "it must not block the poll that brings it")
	l.limitTo(a, 0)
	g.Expect(l.take(a)).To(roomFor(0, 1), "even if the action takes no new jobs")
	g.Expect(l.observe(inFlight(a, "1"))).To(Equal(change{}))
	g.Expect(l.take(a)).To(roomFor(0, 0))
}

// TestSettledJobIsAwaited has CodePipeline confirm neither the claim nor the report of a
// settled job. The job takes no slot, and is awaited until it changes, is deleted, or its time
// is over.
func TestSettledJobIsAwaited(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(0, map[types.NamespacedName]int32{a: 1})
	unconfirmed := func(name string) *v1alpha1.PipelineJob {
		job := inFlight(a, name)
		job.Status.Protocol.ClaimUnconfirmed = true
		return job
	}
	job := unconfirmed("1")
	g.Expect(l.observe(job)).To(Equal(change{awaited: true}))
	g.Expect(l.take(a)).To(roomFor(0, 1))
	l.clock.SetTime(l.clock.Now().Add(time.Hour))
	job.Settle(metav1.NewTime(l.clock.Now()))
	g.Expect(l.observe(job)).To(Equal(change{freed: true, awaited: true}), "it is polled for immediately")
	g.Expect(l.observe(job)).To(Equal(change{}), "the same again")
	g.Expect(l.take(a)).To(roomFor(1, 1))
	g.Expect(l.take(a).since).To(Equal(job.Status.ReportedAt.Time))
	l.limitTo(a, 0)
	g.Expect(l.take(a)).To(roomFor(0, 1), "even if the action takes no new jobs")

	other := unconfirmed("2")
	other.Settle(metav1.NewTime(l.clock.Now()))
	g.Expect(l.observe(other).awaited).To(BeTrue())
	g.Expect(l.take(a)).To(roomFor(0, 2))
	l.gone(other)
	g.Expect(l.take(a)).To(roomFor(0, 1))
	g.Expect(l.observe(settled(a, "3"))).To(Equal(change{}), "CodePipeline accepted its result")

	l.clock.SetTime(l.clock.Now().Add(l.keepFor))
	g.Expect(l.take(a)).To(roomFor(0, 0), "CodePipeline no longer waits")
	g.Expect(l.observe(job)).To(Equal(change{}))
	g.Expect(l.take(a)).To(roomFor(0, 0))
	g.Expect(l.actions).To(BeEmpty())
}

// roomFor matches a room by what may be asked for.
func roomFor(free, awaited int32) gomegatypes.GomegaMatcher {
	return WithTransform(func(r room) [2]int32 { return [2]int32{r.free, r.awaited} }, Equal([2]int32{free, awaited}))
}

// TestReservations has jobs that the informer has not shown.
func TestReservations(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(0, map[types.NamespacedName]int32{a: 2})
	g.Expect(l.reserve(a, "1", Place{})).To(BeFalse(), "nothing was taken")
	l.take(a)
	g.Expect(l.reserve(a, "1", Place{})).To(BeTrue())
	g.Expect(l.reserve(a, "1", Place{})).To(BeTrue(), "the same again")
	g.Expect(l.reserve(a, "2", Place{})).To(BeTrue())
	g.Expect(l.reserve(a, "3", Place{})).To(BeFalse(), "no slot is left")
	l.give(a)
	g.Expect(l.free(a)).To(BeZero())

	// The first event replaces the reservation, even if the job has settled by then.
	g.Expect(l.observe(settled(a, "1"))).To(Equal(change{freed: true}))
	g.Expect(l.free(a)).To(BeEquivalentTo(1), "it settled before it was counted, and takes no slot")
	g.Expect(l.observe(inFlight(a, "2"))).To(Equal(change{}))
	g.Expect(l.free(a)).To(BeEquivalentTo(1))

	l.take(a)
	g.Expect(l.reserve(a, "3", Place{})).To(BeTrue())
	l.give(a)
	l.release(a, "3")
	g.Expect(l.free(a)).To(BeEquivalentTo(1), "it was not created")

	l.take(a)
	g.Expect(l.reserve(a, "4", Place{})).To(BeTrue())
	l.give(a)
	l.gone(settled(a, "4")) // an earlier object of this name
	l.clock.SetTime(l.clock.Now().Add(reservationLife - time.Second))
	g.Expect(l.take(a)).To(Equal(room{recheck: time.Second}))
	l.clock.SetTime(l.clock.Now().Add(time.Second))
	g.Expect(l.take(a)).To(Equal(room{free: 1}), "it was never shown")
}

func TestSlotsOfAllActions(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(4, map[types.NamespacedName]int32{a: 3, b: 3, c: 3})
	g.Expect(l.take(a)).To(roomFor(3, 0))
	g.Expect(l.take(b)).To(roomFor(1, 0), "a may fill three slots")
	g.Expect(l.take(c)).To(roomFor(0, 0))
	g.Expect(l.next()).To(BeEmpty(), "there is no slot")
	l.give(a)
	g.Expect(l.next()).To(ConsistOf(c))
	l.give(b)

	// a asks again before c does: it leaves c a slot.
	l.limitTo(a, 4)
	g.Expect(l.take(a)).To(roomFor(3, 0))
	g.Expect(l.take(c)).To(roomFor(1, 0))
	l.give(a)
	l.give(c)
	g.Expect(l.next()).To(BeEmpty(), "no action waits")

	l.show(a, 3)
	l.show(b, 1)
	g.Expect(l.free(c)).To(BeZero())
	g.Expect(l.free(a)).To(BeZero())
	l.observe(settled(a, "a-0"))
	g.Expect(l.free(a)).To(BeZero(), "the free slot is for c, which has waited longer")
	g.Expect(l.next()).To(Equal([]types.NamespacedName{c}))
	g.Expect(l.free(c)).To(BeEquivalentTo(1))
}

// TestASlotIsNotHeldForWhoCantUseIt has an action wait for a slot that it can no longer use.
func TestASlotIsNotHeldForWhoCantUseIt(t *testing.T) {
	for name, end := range map[string]func(slots){
		"suspended":        func(l slots) { l.limitTo(c, 0) },
		"removed":          func(l slots) { l.forget(c) },
		"its polls fail":   func(l slots) { l.standBack(c) },
		"at its own limit": func(l slots) { l.limitTo(c, 1); l.observe(inFlight(c, "continued")); l.observe(settled(a, "a-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			l := newSlots(2, map[types.NamespacedName]int32{a: 2, c: 2})
			l.show(a, 2)
			g.Expect(l.free(c)).To(BeZero())
			l.observe(settled(a, "a-0"))
			g.Expect(l.free(a)).To(BeZero(), "c waits")
			end(l)
			g.Expect(l.next()).To(Equal([]types.NamespacedName{a}))
			g.Expect(l.free(a)).To(BeEquivalentTo(1))
		})
	}
}

// TestNoActionStarves has actions that always have jobs share few slots, after a random
// history. The limit must hold, each action must get slots, and a woken action must get one.
func TestNoActionStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int32Range(1, 5).Draw(t, "limit")
		actions := []types.NamespacedName{a, b, c, {Namespace: "other", Name: "d"}}[:rapid.IntRange(1, 4).Draw(t, "actions")]
		l := newSlots(limit, nil)
		for _, action := range actions {
			l.limitTo(action, 3)
		}
		var jobs []*v1alpha1.PipelineJob
		made := 0
		ask := func(action types.NamespacedName) int {
			granted := l.take(action).free
			for range granted {
				job := inFlight(action, fmt.Sprintf("job-%d", made))
				made++
				if !l.reserve(action, job.Name, Place{}) {
					t.Fatalf("%s was granted %d slots and has none", action, granted)
				}
				if rapid.Bool().Draw(t, "shown") {
					l.observe(job)
				}
				jobs = append(jobs, job)
			}
			l.give(action)
			if len(jobs) > int(limit) {
				t.Fatalf("%d jobs are in flight", len(jobs))
			}
			return int(granted)
		}
		end := func() {
			if len(jobs) > 0 {
				l.observe(settled(types.NamespacedName{Namespace: jobs[0].Namespace, Name: jobs[0].Spec.ActionRef.Name}, jobs[0].Name))
				jobs = jobs[1:]
			}
		}
		for range rapid.IntRange(0, 30).Draw(t, "before") {
			ask(rapid.SampledFrom(actions).Draw(t, "asks"))
			if rapid.Bool().Draw(t, "one ends") {
				end()
			}
		}
		served := map[types.NamespacedName]int{}
		for range 3 * len(actions) {
			end()
			for _, action := range actions {
				served[action] += ask(action)
			}
		}
		for _, action := range actions {
			if served[action] == 0 {
				t.Fatalf("%s never got a slot: %v", action, served)
			}
		}
		for _, action := range l.next() {
			if ask(action) == 0 {
				t.Fatalf("%s was woken for nothing", action)
			}
		}
	})
}

// TestHoldOfAPollEnds has a poll that is not answered for a long time.
func TestHoldOfAPollEnds(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(2, map[types.NamespacedName]int32{a: 2, b: 2})
	g.Expect(l.take(a).free).To(BeEquivalentTo(2))
	g.Expect(l.take(b)).To(Equal(room{recheck: pollLife}))
	l.clock.SetTime(l.clock.Now().Add(pollLife))
	g.Expect(l.take(b).free).To(BeEquivalentTo(2))
	g.Expect(l.reserve(b, "1", Place{})).To(BeTrue())
	l.give(b)
	g.Expect(l.reserve(a, "2", Place{})).To(BeTrue(), "the answer came late, and there is a slot")
	g.Expect(l.reserve(a, "3", Place{})).To(BeFalse(), "the other slot is taken")
}

// TestAwaitedAgain has the informer skip the version in which an awaited job was handed out,
// before it was continued again.
func TestAwaitedAgain(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(0, map[types.NamespacedName]int32{a: 1})
	since := metav1.NewTime(l.clock.Now())
	job := awaited(a, "1", true)
	job.Status.Protocol.ContinuedAt = &since
	g.Expect(l.observe(job).awaited).To(BeTrue())
	g.Expect(l.observe(job).awaited).To(BeFalse())
	later := metav1.NewTime(since.Add(10 * time.Minute))
	job.Status.Protocol.ContinuedAt = &later
	g.Expect(l.observe(job).awaited).To(BeTrue())
	g.Expect(l.take(a).since).To(Equal(later.Time))
}

// TestPlaceIsKeptUntilThePoll has an action take its slot again when its lane has room, while
// another one waits.
func TestPlaceIsKeptUntilThePoll(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(1, map[types.NamespacedName]int32{a: 1, b: 1})
	g.Expect(l.take(a).free).To(BeEquivalentTo(1))
	g.Expect(l.take(b)).To(Equal(room{recheck: pollLife}))
	g.Expect(l.take(a).free).To(BeEquivalentTo(1))
	l.clock.SetTime(l.clock.Now().Add(pollLife))
	g.Expect(l.take(a).free).To(BeZero(), "its lane had no room for a long time: it is the other action's turn")
	g.Expect(l.take(b).free).To(BeEquivalentTo(1))
}

// TestSlotsAreHeldWhileJobsAreRecorded has the jobs of an answer recorded for longer than a
// poll holds slots.
func TestSlotsAreHeldWhileJobsAreRecorded(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(8, map[types.NamespacedName]int32{a: 8, b: 8})
	g.Expect(l.take(a).free).To(BeEquivalentTo(8))
	l.answered(a, 4)
	l.clock.SetTime(l.clock.Now().Add(pollLife))
	g.Expect(l.take(b).free).To(BeEquivalentTo(4))
	for i := range 4 {
		g.Expect(l.reserve(a, fmt.Sprint(i), Place{})).To(BeTrue())
	}
	g.Expect(l.reserve(a, "more", Place{})).To(BeFalse())
}

// TestNoSlotIsLeftToAnActionInItsLane has the action that has waited longest for a slot wait
// for its lane, because one of its jobs is awaited.
func TestNoSlotIsLeftToAnActionInItsLane(t *testing.T) {
	g := NewWithT(t)
	l := newSlots(1, map[types.NamespacedName]int32{a: 1, b: 1, c: 1})
	l.observe(inFlight(c, "1"))
	g.Expect(l.free(a)).To(BeZero())
	l.enterLane(a)
	g.Expect(l.free(b)).To(BeZero())
	l.observe(settled(c, "1"))
	g.Expect(l.next()).To(Equal([]types.NamespacedName{b}))
	g.Expect(l.free(b)).To(BeEquivalentTo(1))
	g.Expect(l.take(a).free).To(BeEquivalentTo(1), "it kept its place in the queue")
}
