package poller

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

var a, b, c = types.NamespacedName{Namespace: "team", Name: "a"}, types.NamespacedName{Namespace: "team", Name: "b"}, types.NamespacedName{Namespace: "other", Name: "c"}

// flying are unsettled jobs of an action.
func flying(action types.NamespacedName, count int) (jobs []v1alpha1.PipelineJob) {
	for i := range count {
		job := v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: action.Namespace, Name: fmt.Sprintf("%s-%d", action.Name, i)}}
		job.Spec.ActionRef.Name = action.Name
		jobs = append(jobs, job)
	}
	return jobs
}

func TestSlotsOfAnAction(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	l := newCapacity(0, clock)
	g.Expect(l.take(a, 3, nil)).To(BeEquivalentTo(3))
	g.Expect(l.take(a, 3, flying(a, 2))).To(BeEquivalentTo(1))
	g.Expect(l.take(a, 3, flying(a, 4))).To(BeZero(), "the limit was lowered")
	g.Expect(l.take(a, 0, nil)).To(BeZero(), "draining")

	made := types.NamespacedName{Namespace: "team", Name: "a-2"}
	l.made(a, made)
	g.Expect(l.take(a, 3, flying(a, 2))).To(BeZero(), "one was made that the cache does not show yet")
	g.Expect(l.take(b, 3, nil)).To(BeEquivalentTo(3), "which is not the others'")
	g.Expect(l.take(a, 3, flying(a, 3))).To(BeZero())
	g.Expect(l.take(a, 3, flying(a, 2))).To(BeEquivalentTo(1), "the cache has shown it, and it has ended")
	l.made(a, made)
	clock.SetTime(clock.Now().Add(cacheLag + time.Second))
	g.Expect(l.take(a, 3, nil)).To(BeEquivalentTo(3), "it was deleted before the cache showed it")
}

func TestJobThatWaitsToComeBackTakesNoSlot(t *testing.T) {
	g := NewWithT(t)
	job := flying(a, 1)[0]
	job.Spec.CodePipelineJob.ID = "1"
	job.Status.ContinuationToken, job.Status.Protocol.ReportedJobID = "token", "1"
	g.Expect(TakesSlot(&job)).To(BeFalse())
	job.Status.Run = &v1alpha1.Run{Number: 1}
	g.Expect(TakesSlot(&job)).To(BeTrue(), "progress: its run goes on")
}

func TestSlotsOfAllActions(t *testing.T) {
	g := NewWithT(t)
	l := newCapacity(4, clocktesting.NewFakePassiveClock(time.Now()))
	g.Expect(l.take(a, 3, nil)).To(BeEquivalentTo(3))
	g.Expect(l.take(b, 3, nil)).To(BeEquivalentTo(1), "a may fill three")
	g.Expect(l.take(c, 3, nil)).To(BeZero())
	next, waits := l.next()
	g.Expect(waits).To(BeTrue())
	g.Expect(next).To(Equal(c))
	l.give(a)
	l.give(b)

	// a asks again before c does: it leaves c a slot.
	g.Expect(l.take(a, 4, nil)).To(BeEquivalentTo(3))
	g.Expect(l.take(c, 4, nil)).To(BeEquivalentTo(1))
	_, waits = l.next()
	g.Expect(waits).To(BeFalse())
	l.give(a)
	l.give(c)

	full := append(flying(a, 3), flying(b, 1)...)
	g.Expect(l.take(c, 1, full)).To(BeZero())
	g.Expect(l.take(a, 4, full)).To(BeZero())
	g.Expect(l.take(a, 4, full[1:])).To(BeZero(), "the one free slot is c's, who has waited for longer")
	g.Expect(l.take(c, 1, full[1:])).To(BeEquivalentTo(1))
	l.forget(c)
	g.Expect(l.take(a, 4, full[1:])).To(BeEquivalentTo(1))
}

// TestNobodyStarves has actions that always have jobs share few slots, from
// whatever came before: the limit holds, and each gets its turn.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int32Range(1, 5).Draw(t, "limit")
		actions := []types.NamespacedName{a, b, c, {Namespace: "other", Name: "d"}}[:rapid.IntRange(1, 4).Draw(t, "actions")]
		l := newCapacity(limit, clocktesting.NewFakePassiveClock(time.Now()))
		var jobs []v1alpha1.PipelineJob
		made := 0
		ask := func(action types.NamespacedName) int {
			granted := l.take(action, 3, jobs)
			for range granted {
				job := flying(action, 1)[0]
				job.Name = fmt.Sprintf("job-%d", made)
				made++
				jobs = append(jobs, job)
			}
			l.give(action)
			if len(jobs) > int(limit) {
				t.Fatalf("%d jobs are in flight", len(jobs))
			}
			return int(granted)
		}
		for range rapid.IntRange(0, 30).Draw(t, "before") {
			ask(rapid.SampledFrom(actions).Draw(t, "asks"))
			if len(jobs) > 0 && rapid.Bool().Draw(t, "one ends") {
				jobs = jobs[1:]
			}
		}
		served := map[types.NamespacedName]int{}
		for range 3 * len(actions) {
			jobs = jobs[min(1, len(jobs)):] // one ends
			for _, action := range actions {
				served[action] += ask(action)
			}
		}
		for _, action := range actions {
			if served[action] == 0 {
				t.Fatalf("%s never got a slot: %v", action, served)
			}
		}
	})
}
