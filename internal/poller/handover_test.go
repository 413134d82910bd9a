package poller

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestCreationKeepsOthersOutOfItsPlaceOnly: a busy action is recording jobs all the time. Others may
// not take the jobs there, but those of other regions.
func TestCreationKeepsOthersOutOfItsPlaceOnly(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	c := newCapacity(0, time.Hour, clock)
	us, eu := Place{AccountID: "111122223333", Region: "us-east-1"}, Place{AccountID: "111122223333", Region: "eu-west-1"}
	in := func(place Place) func(Place) bool { return func(of Place) bool { return of == place } }
	c.setPlace(action, us)
	c.limitTo(action, 1)
	c.take(action)
	g.Expect(c.reserve(action, "new", us)).To(BeTrue())
	g.Expect(c.mayRecord(action, in(eu))).To(BeFalse())
	g.Expect(c.mayRecord(action, in(us))).To(BeTrue())
	c.setPlace(action, eu)
	g.Expect(c.mayRecord(action, in(us))).To(BeTrue(), "it has moved during the creation")
	clock.SetTime(clock.Now().Add(reservationLife))
	g.Expect(c.mayRecord(action, in(us))).To(BeFalse(), "the informer never showed it")
}

// TestJobOfALoopThatIsRemovedTwiceIsKept has an action lose its access, get it back, and lose it
// again, while a job is not recorded that is handed out once.
func TestJobOfALoopThatIsRemovedTwiceIsKept(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	creating, create := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(creating); <-create })
	refuse, write := away()
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error { hold(); return write() })
	s.queue(1)
	s.poller.Ensure(s.target)
	<-creating
	s.poller.Remove(action)
	s.poller.Ensure(s.target)
	s.poller.Remove(action)
	close(create)
	s.awaitEnd()
	refuse(false)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
}

// TestLoopsOfAForgottenActionKeepNothing: nobody would ever take the jobs.
func TestLoopsOfAForgottenActionKeepNothing(t *testing.T) {
	s := newStation(t)
	creating, create := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(creating); <-create })
	_, write := away()
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error { hold(); return write() })
	s.queue(1)
	s.poller.Ensure(s.target)
	<-creating
	s.poller.Remove(action)
	s.poller.Ensure(s.target)
	s.poller.Remove(action)
	s.poller.Forget(action)
	close(create)
	s.awaitEnd()
	s.poller.mu.Lock()
	defer s.poller.mu.Unlock()
	s.Expect(s.poller.kept).To(BeEmpty())
}

// TestContinuationOfAFormerPlaceIsKept has the account of a former place be out of use for a moment
// while a continuation is not recorded that was handed out there, once.
func TestContinuationOfAFormerPlaceIsKept(t *testing.T) {
	for name, lose := range map[string]func(s *station, now Target){
		"the former place": func(s *station, now Target) { s.poller.Ensure(now) },
		"both places":      func(s *station, _ Target) { s.poller.Remove(action) },
	} {
		t.Run(name, func(t *testing.T) { continuationIsKept(t, lose) })
	}
}

func continuationIsKept(t *testing.T, lose func(s *station, now Target)) {
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
	lose(s, now)
	s.awaitEnd()
	refuse(false)
	s.poller.Ensure(now, before)
	s.await(func(g Gomega) {
		s.clock.Step(time.Second)
		g.Expect(s.jobs(g)[known].Spec.CodePipelineJob.ContinuationToken).To(Equal("token"))
	})
}

// awaitEnd waits until no removed loop is running.
func (s *station) awaitEnd() {
	s.await(func(g Gomega) {
		s.poller.mu.Lock()
		defer s.poller.mu.Unlock()
		g.Expect(len(s.poller.ending)).To(BeZero()) // a loop is not to be printed
	})
}

// TestContinuationOfARemovedLoopIsRecorded has an action move to a place without access while a
// continuation is not recorded that was handed out where it was, once.
func TestContinuationOfARemovedLoopIsRecorded(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	s.target.Interval = 5 * time.Second
	s.poller.Ensure(s.target)
	s.queue(1)
	s.awaitJobs(1)
	known := first(s.jobs(s))
	refuse, write := away()
	s.onPatch(write)
	s.continueJob(known)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.Health(action).Err }).WithTimeout(deadline).Should(HaveOccurred())
	before := s.target
	before.MaxConcurrent = 0
	s.poller.Remove(action, before)
	refuse(false)
	s.await(func(g Gomega) {
		s.clock.Step(time.Second)
		g.Expect(s.jobs(g)[known].Spec.CodePipelineJob.ContinuationToken).To(Equal("token"))
	})
}

// TestNothingIsKeptOfAForgottenAction has an action be deleted while a PipelineJob is created that
// the informer never shows.
func TestNothingIsKeptOfAForgottenAction(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	c := newCapacity(10, time.Hour, clock)
	c.limitTo(action, 1)
	c.take(action)
	g.Expect(c.reserve(action, "new", Place{})).To(BeTrue())
	c.forget(action)
	clock.SetTime(clock.Now().Add(reservationLife))
	other := types.NamespacedName{Namespace: "team", Name: "other"}
	c.limitTo(other, 1)
	g.Expect(c.take(other).free).To(BeEquivalentTo(1))
	g.Expect(c.actions).To(HaveLen(1))
}

// TestLaterHandOutIsKept has a loop that ends late pass on a job that was handed out again since:
// its nonce is no longer valid.
func TestLaterHandOutIsKept(t *testing.T) {
	handedOut := func(nonce string, at time.Time) *v1alpha1.PipelineJob {
		job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "work-1"}}
		job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "1", Nonce: nonce, PolledAt: &metav1.Time{Time: at}}
		return job
	}
	now := time.Now()
	first, second := handedOut("first", now), handedOut("second", now.Add(time.Second))
	for name, jobs := range map[string]struct{ kept, accepted *v1alpha1.PipelineJob }{
		"passed on late": {second, first},
		"handed out now": {first, second},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(&Poller{}, Target{}, nil)
			l.kept = []*v1alpha1.PipelineJob{jobs.kept}
			l.inherit(jobs.accepted)
			l.keepAccepted()
			NewWithT(t).Expect(l.kept).To(ConsistOf(second))
		})
	}
}

// TestKeptJobOfAnotherAccountOfItsAWSAccount has an action name another CodePipelineAccount of the
// same AWS account while a job is not recorded: calls may no longer be made with the one before.
func TestKeptJobOfAnotherAccountOfItsAWSAccount(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	refuse, write := away()
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error { return write() })
	s.queue(1)
	s.target.Account, s.target.AccountID = "old", "111122223333"
	s.poller.Ensure(s.target)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.Health(action).Err }).WithTimeout(deadline).Should(HaveOccurred())
	s.target.Account = "new"
	s.poller.Ensure(s.target)
	refuse(false)
	s.awaitJobs(1)
	s.Expect(s.jobs(s)[first(s.jobs(s))].Spec.AccountRef.Name).To(Equal("new"))
}
