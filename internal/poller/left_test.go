package poller

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestPollUnderWayOfAMovedAction has an action move while a poll is under way. Another action may
// take the jobs there by the time of the answer, so that they are not recorded, unless the action
// returns.
func TestPollUnderWayOfAMovedAction(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	handed, answer := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(handed); <-answer })
	s.poller.Polled = func(_ types.NamespacedName, jobs int, _ error) {
		if jobs > 0 {
			hold()
		}
	}
	s.queue(1)
	s.target.Interval = time.Second
	s.poller.Ensure(s.target)
	<-handed
	here := func(at Place) bool { return at == s.target.Place() }
	s.Expect(s.poller.MayRecord(action, here)).To(BeTrue())
	now := s.target
	now.Identity.Region = "eu-west-1"
	s.poller.Ensure(now)
	s.Expect(s.poller.MayRecord(action, here)).To(BeFalse())
	close(answer)
	s.pass(10 * time.Second)
	s.Expect(s.jobs(s)).To(BeEmpty())
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
}

// TestCreationUnderWayOfAMovedAction: until the informer shows what is being created, others wait.
func TestCreationUnderWayOfAMovedAction(t *testing.T) {
	s := newStation(t)
	creating, create := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(creating); <-create })
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error { hold(); return nil })
	s.queue(1)
	s.poller.Ensure(s.target)
	<-creating
	here := func(at Place) bool { return at == s.target.Place() }
	now := s.target
	now.Identity.Region = "eu-west-1"
	s.poller.Ensure(now)
	s.Expect(s.poller.MayRecord(action, here)).To(BeTrue())
	close(create)
	s.await(func(g Gomega) {
		g.Expect(s.poller.MayRecord(action, here)).To(BeFalse())
		g.Expect(s.jobs(g)).To(HaveLen(1))
	})
}

// away has the API server refuse what it is asked to write until it is called with false.
func away() (refuse func(bool), write func() error) {
	var is atomic.Bool
	is.Store(true)
	return is.Store, func() error {
		if is.Load() {
			return errors.New("the API server is away")
		}
		return nil
	}
}

// TestJobOfALoopThatIsRemovedIsKept has an action lose its access for a moment, such as by a
// mistake in the role of its account, while a job is not recorded that is handed out once.
func TestJobOfALoopThatIsRemovedIsKept(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	refuse, write := away()
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error { return write() })
	s.queue(1)
	s.poller.Ensure(s.target)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.Health(action).Err }).WithTimeout(deadline).Should(HaveOccurred())
	s.poller.Remove(action)
	s.await(func(g Gomega) {
		s.poller.mu.Lock()
		defer s.poller.mu.Unlock()
		g.Expect(len(s.poller.ending)).To(BeZero()) // a loop is not to be printed
	})
	refuse(false)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.poller.Forget(action)
	s.await(func(g Gomega) {
		s.poller.mu.Lock()
		defer s.poller.mu.Unlock()
		g.Expect(len(s.poller.ending)).To(BeZero()) // a loop is not to be printed
		g.Expect(s.poller.kept).To(BeEmpty())
	})
}

// TestContinuationOfAnActionThatReturnsIsKept has an action return to where it awaits a job, which
// was handed out there, once, and is not recorded.
func TestContinuationOfAnActionThatReturnsIsKept(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	s.target.Interval = 5 * time.Second
	s.poller.Ensure(s.target)
	s.queue(1)
	s.awaitJobs(1)
	known := first(s.jobs(s))
	before, now := s.target, s.target
	now.Identity.Region, before.MaxConcurrent = "eu-west-1", 0
	s.poller.Ensure(now, before)
	s.await(func(g Gomega) { // a poll with the target of before may be under way
		s.clock.Step(gatherFor)
		g.Expect(s.pollsIn("eu-west-1")).To(BeNumerically(">", 0))
	})
	refuse, write := away()
	s.onPatch(write)
	s.continueJob(known)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.HealthElsewhere(action, before.Place()).Err }).WithTimeout(deadline).Should(HaveOccurred())
	s.poller.Ensure(s.target)
	refuse(false)
	s.await(func(g Gomega) {
		s.clock.Step(time.Second)
		g.Expect(s.jobs(g)[known].Spec.CodePipelineJob.ContinuationToken).To(Equal("token"))
	})
}

// TestAcceptedJobsAreNotSeen: what a poll takes back does not show the jobs that were accepted.
func TestAcceptedJobsAreNotSeen(t *testing.T) {
	g := NewWithT(t)
	l := newLoop(&Poller{}, Target{}, nil)
	l.awaken()
	l.seen()
	g.Expect(l.wake).To(BeEmpty())
	l.inherit(&v1alpha1.PipelineJob{})
	l.seen()
	g.Expect(l.wake).To(HaveLen(1))
}
