package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestIdleActionCostsOnePollAnInterval(t *testing.T) {
	const interval, span = 30 * time.Second, 10 * time.Minute
	s := newStation(t)
	s.target.Interval = interval
	s.poller.Ensure(s.target)
	s.pass(span)
	s.Expect(s.polls()).To(And(BeNumerically(">=", int(span/interval)-1), BeNumerically("<=", int(span/interval)+1)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Expect(len(s.published)).To(And(BeNumerically(">=", int(span/notifyEvery)-1), BeNumerically("<=", int(span/notifyEvery)+1)),
		"the time of the last answer is published once a minute")
	s.Expect(s.published[len(s.published)-1].LastPoll).To(BeTemporally(">", s.published[0].LastPoll))
}

// TestFreedSlotIsFilledImmediately has the jobs of an action with one slot end one after
// another. The interval is an hour.
func TestFreedSlotIsFilledImmediately(t *testing.T) {
	eachRedispatch(t, func(_ *testing.T, s *station) {
		const jobs = 6
		s.queue(jobs)
		s.target.MaxConcurrent = 1
		began := s.clock.Now()
		s.poller.Ensure(s.target)
		ended := map[string]bool{}
		for n := range jobs {
			s.awaitJobs(n + 1)
			for name := range s.jobs(s) {
				if !ended[name] {
					s.finish(name)
					ended[name] = true
				}
			}
		}
		s.Expect(s.clock.Since(began)).To(BeNumerically("<", time.Hour), "the poller waited for an interval")
		for _, call := range s.aws.Journal("PollForJobs") {
			s.Expect(string(call.Request)).To(ContainSubstring(`"maxBatchSize":1`))
		}
	})
}

// TestNothingToAskForCostsNoPoll has an action without a free slot, which then may take no new
// jobs.
func TestNothingToAskForCostsNoPoll(t *testing.T) {
	s := newStation(t)
	s.queue(2)
	s.target.MaxConcurrent, s.target.Interval = 1, time.Second
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.Expect(s.polls()).To(Equal(1))
	s.clock.Step(time.Hour)
	s.target.MaxConcurrent = 0
	s.poller.Ensure(s.target)
	s.clock.Step(time.Hour)
	s.finish(first(s.jobs(s)))
	s.clock.Step(time.Hour)
	s.Consistently(s.polls).WithTimeout(200 * time.Millisecond).Should(Equal(1))
	s.target.MaxConcurrent = 1
	s.poller.Ensure(s.target)
	s.awaitJobs(2)
}

func first(jobs map[string]*v1alpha1.PipelineJob) string {
	names := []string{}
	for name := range jobs {
		names = append(names, name)
	}
	return slices.Min(names)
}

// TestAwaitedJobIsFoundBehindNewOnes has a continuation queued after 40 new jobs of an action
// that may take no new jobs. Later, the action may take them.
func TestAwaitedJobIsFoundBehindNewOnes(t *testing.T) {
	const others = 40
	eachRedispatch(t, func(_ *testing.T, s *station) {
		s.queue(1)
		s.target.MaxConcurrent = 1
		s.poller.Ensure(s.target)
		s.awaitJobs(1)
		s.target.MaxConcurrent = 0
		s.poller.Ensure(s.target)
		s.queue(others)
		name := first(s.jobs(s))
		before := s.jobs(s)[name].Spec.CodePipelineJob.ID
		s.continueJob(name)
		s.await(func(g Gomega) {
			s.clock.Step(gatherFor)
			g.Expect(s.jobs(g)[name].Spec.CodePipelineJob).To(And(HaveField("ID", Not(Equal(before))), HaveField("ContinuationToken", "token")))
		})
		s.Expect(s.jobs(s)).To(HaveLen(1), "no new job was recorded")
		s.Expect(s.polls()).To(BeNumerically("<", others), "the batch doubled")

		s.target.MaxConcurrent = 100
		s.poller.Ensure(s.target)
		s.await(func(g Gomega) {
			s.clock.Step(time.Second)
			g.Expect(s.jobs(g)).To(HaveLen(1+others), "none of the jobs left in the queue is lost")
		})
	})
}

// TestJobHandedOutAgainIsNotNews has jobs handed out repeatedly because their claims take
// long.
func TestJobHandedOutAgainIsNotNews(t *testing.T) {
	const interval, span = 30 * time.Second, 5 * time.Minute
	eachRedispatch(t, func(_ *testing.T, s *station) {
		s.target.Interval = interval
		s.queue(3)
		s.poller.Ensure(s.target)
		s.awaitJobs(3)
		polls := s.polls()
		s.pass(span)
		s.Expect(s.polls()-polls).To(BeNumerically("<=", int(span/interval)+6), "1, 2, 4, … seconds, then once per interval")
		s.Expect(s.jobs(s)).To(HaveLen(3))
	})
}

// TestNonceDuringAClaimIsHeldBack has a job handed out again while its claim is in progress.
func TestNonceDuringAClaimIsHeldBack(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = time.Millisecond })
	s.target.Interval = 10 * time.Second // so that the claim starts before the next poll
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	name := first(s.jobs(s))
	s.status(name, func(job *v1alpha1.PipelineJob) {
		job.Status.Protocol.Call = &v1alpha1.Call{Operation: operationAcknowledge, JobID: job.Spec.CodePipelineJob.ID, Nonce: job.Spec.CodePipelineJob.Nonce}
	})
	claimed := s.jobs(s)[name].Spec.CodePipelineJob.Nonce
	polls := s.polls()
	s.pass(time.Minute)
	s.Expect(s.polls()).To(BeNumerically(">", polls))
	s.Expect(s.jobs(s)[name].Spec.CodePipelineJob.Nonce).To(Equal(claimed))

	// By the answer, another worker has the job: the latest nonce takes effect.
	s.status(name, func(job *v1alpha1.PipelineJob) { job.Status.Protocol.Call = nil })
	s.settle(name)
	s.await(func(g Gomega) {
		s.clock.Step(gatherFor)
		g.Expect(s.jobs(g)[name].Spec.CodePipelineJob.Nonce).NotTo(Equal(claimed))
	})
	is := s.jobs(s)[name].Spec.CodePipelineJob
	_, err := s.pipelines.AcknowledgeJob(s.ctx, &sdk.AcknowledgeJobInput{JobId: aws.String(is.ID), Nonce: aws.String(is.Nonce)})
	s.Expect(err).NotTo(HaveOccurred(), "the nonce that took effect is the newest")
}

func TestCompare(t *testing.T) {
	known := func(change func(*v1alpha1.PipelineJob)) *v1alpha1.PipelineJob {
		job := &v1alpha1.PipelineJob{}
		job.Spec.Pipeline.ActionExecutionID = "execution"
		job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "2", Nonce: "n1"}
		change(job)
		return job
	}
	same := func(*v1alpha1.PipelineJob) {}
	call := func(operation, id string) func(*v1alpha1.PipelineJob) {
		return func(job *v1alpha1.PipelineJob) {
			job.Status.Protocol.Call = &v1alpha1.Call{Operation: operation, JobID: id}
		}
	}
	polled := metav1.Now()
	unconfirmed := func(reported time.Duration) func(*v1alpha1.PipelineJob) {
		return func(job *v1alpha1.PipelineJob) {
			job.Status.Protocol.ReportedJobID, job.Status.Protocol.ClaimUnconfirmed = "2", true
			job.Status.ReportedAt = &metav1.Time{Time: polled.Add(reported)}
		}
	}
	for name, c := range map[string]struct {
		known     func(*v1alpha1.PipelineJob)
		id, nonce string
		want      intakeResult
	}{
		"a duplicate":                          {same, "2", "n1", intakeKnown},
		"handed out again":                     {same, "2", "n2", intakeRenewed},
		"its continuation":                     {same, "3", "n2", intakeContinued},
		"during its claim":                     {call(operationAcknowledge, "2"), "2", "n2", intakeHeld},
		"a duplicate during its claim":         {call(operationAcknowledge, "2"), "2", "n1", intakeKnown},
		"during the claim of another":          {call(operationAcknowledge, "1"), "2", "n2", intakeRenewed},
		"during another call":                  {call("PutJobSuccessResult", "2"), "2", "n2", intakeRenewed},
		"its result was accepted":              {func(job *v1alpha1.PipelineJob) { job.Status.Protocol.ReportedJobID = "2" }, "2", "n2", intakeKnown},
		"nothing about it was confirmed":       {unconfirmed(-time.Minute), "2", "n2", intakeRenewed},
		"polled before its unconfirmed report": {unconfirmed(time.Minute), "2", "n2", intakeKnown},
		"an earlier job, already reported":     {func(job *v1alpha1.PipelineJob) { job.Status.Protocol.ReportedJobID = "1" }, "1", "n2", intakeKnown},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			offered := known(same)
			offered.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: c.id, Nonce: c.nonce, PolledAt: &polled}
			g.Expect(compare(known(c.known), offered)).To(Equal(c.want))
		})
	}
	stranger := known(func(job *v1alpha1.PipelineJob) { job.Spec.Pipeline.ActionExecutionID = "another" })
	_, err := compare(stranger, known(same))
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("belongs to another action execution")))
}

// TestCompareWithAJobWhoseResultSeemedAccepted: a newer nonce proves that it was not.
func TestCompareWithAJobWhoseResultSeemedAccepted(t *testing.T) {
	reported := metav1.NewTime(time.Date(2026, time.January, 1, 12, 0, 7, 0, time.UTC)) // the API server stores whole seconds
	for name, c := range map[string]struct {
		nonce string
		after time.Duration
		want  intakeResult
	}{
		"handed out again":            {"n2", 20 * time.Second, intakeRenewed},
		"in the same second":          {"n2", 900 * time.Millisecond, intakeKnown},
		"by a poll before the report": {"n2", -time.Second, intakeKnown},
		"a duplicate, long after":     {"n1", time.Hour, intakeKnown},
	} {
		for _, token := range []string{"", "later"} {
			t.Run(name+" "+token, func(t *testing.T) {
				known, offered := &v1alpha1.PipelineJob{}, &v1alpha1.PipelineJob{}
				known.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "1", Nonce: "n1"}
				known.Status.Protocol = v1alpha1.ProtocolStatus{AcknowledgedJobID: "1", AcknowledgedNonce: "n1", ReportedJobID: "1", ClaimUnconfirmed: true}
				known.Status.ContinuationToken = token
				if token == "" {
					known.Settle(reported)
				} else {
					known.Status.Protocol.ContinuedAt = &reported
				}
				offered.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "1", Nonce: c.nonce, PolledAt: &metav1.Time{Time: reported.Add(c.after)}}
				g := NewWithT(t)
				g.Expect(compare(known, offered)).To(Equal(c.want))
				g.Expect(known.Settled()).To(Equal(token == ""))
				known.Spec = offered.Spec
				g.Expect(known.Settled()).To(Equal(token == "" && c.nonce == "n1"))
			})
		}
	}
}

// TestOneJobThatCantBeRecorded has the API server fail for one job of a batch. The poller must
// drop neither the others nor that job, which CodePipeline hands out only once.
func TestOneJobThatCantBeRecorded(t *testing.T) {
	const jobs = 40
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	refused := ""
	var mu sync.Mutex
	s.onCreate(func(_ context.Context, job *v1alpha1.PipelineJob) error {
		mu.Lock()
		defer mu.Unlock()
		if refused == "" || refused == job.Name {
			refused = job.Name
			return apierrors.NewInternalError(errors.New("out of order"))
		}
		return nil
	})
	s.queue(jobs)
	s.target.MaxConcurrent = jobs
	s.poller.Ensure(s.target)
	s.awaitJobs(jobs - 1)
	s.await(func(g Gomega) {
		g.Expect(s.poller.Health(action).Err).To(MatchError(And(ContainSubstring("record job"), ContainSubstring("out of order"))))
	})
	s.pass(10 * time.Minute)
	s.mu.Lock()
	failures := 0
	for _, told := range s.published {
		if told.Err != nil {
			failures++
		}
	}
	s.mu.Unlock()
	s.Expect(failures).To(BeNumerically("<=", 11), "the error is published once, and the time of the last answer once a minute")
	s.onCreate(nil)
	s.await(func(g Gomega) {
		s.clock.Step(time.Second)
		g.Expect(s.jobs(g)).To(HaveLen(jobs))
	})
	s.await(func(g Gomega) { g.Expect(s.poller.Health(action).Err).NotTo(HaveOccurred()) })
}

// TestOneJobWhoseRecordHangs has the API server not answer for one job.
func TestOneJobWhoseRecordHangs(t *testing.T) {
	const jobs = 40
	s := newStation(t)
	hung, release := make(chan time.Time, 1), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	var met atomic.Bool
	s.onCreate(func(ctx context.Context, _ *v1alpha1.PipelineJob) error {
		if met.CompareAndSwap(false, true) {
			ends, _ := ctx.Deadline()
			hung <- ends
			<-release
		}
		return nil
	})
	s.queue(jobs)
	s.target.MaxConcurrent = jobs
	s.poller.Ensure(s.target)
	s.awaitJobs(jobs - 1)
	s.Expect(<-hung).To(BeTemporally("~", time.Now(), recordTimeout), "it has its own deadline")
	goOn()
	s.awaitJobs(jobs)
}

func TestJobsAreRecordedInParallel(t *testing.T) {
	s := newStation(t)
	var mu sync.Mutex
	atWork, most, together := 0, 0, make(chan struct{})
	goOn := sync.OnceFunc(func() { close(together) })
	defer goOn()
	s.onCreate(func(ctx context.Context, _ *v1alpha1.PipelineJob) error {
		mu.Lock()
		if atWork++; atWork > most {
			if most = atWork; most == recorders {
				goOn()
			}
		}
		mu.Unlock()
		defer func() { mu.Lock(); atWork--; mu.Unlock() }()
		select {
		case <-together:
			return nil
		case <-time.After(time.Second): // the first poll may hand out fewer
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	s.queue(2 * recorders)
	s.target.MaxConcurrent = 2 * recorders
	s.poller.Ensure(s.target)
	s.awaitJobs(2 * recorders)
	s.Expect(most).To(Equal(recorders), "and never more at the same time")
}

// TestNoSecondLoopIsAtWork removes an action and adds it again while the jobs of a poll are
// being recorded.
func TestNoSecondLoopIsAtWork(t *testing.T) {
	s := newStation(t)
	begun, release := make(chan struct{}, 100), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error {
		begun <- struct{}{}
		<-release
		return nil
	})
	s.queue(1)
	s.target.MaxConcurrent = 2
	s.poller.Ensure(s.target)
	<-begun
	s.queue(1)
	for range 3 {
		s.poller.Remove(action)
		s.poller.Ensure(s.target)
	}
	s.clock.Step(time.Hour)
	s.Consistently(s.polls).WithTimeout(300*time.Millisecond).Should(Equal(1), "the first loop has not ended")
	goOn()
	s.awaitJobs(2)
	s.await(func(g Gomega) {
		s.poller.mu.Lock()
		defer s.poller.mu.Unlock()
		g.Expect(s.poller.ending).To(BeEmpty())
	})
}

// TestFailedPollsArePublishedOnce has polls fail with a request ID that differs each time.
func TestFailedPollsArePublishedOnce(t *testing.T) {
	s := newStation(t)
	s.poller.Ensure(s.target)
	s.await(func(g Gomega) { g.Expect(s.polls()).To(Equal(1)) })
	s.Expect(s.aws.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	s.target.Interval = time.Second
	s.poller.Ensure(s.target)
	s.pass(5 * time.Minute)
	s.Expect(s.polls()).To(BeNumerically(">", 5))
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := []string{}
	for _, told := range s.published {
		texts = append(texts, fmt.Sprint(told.Err))
	}
	s.Expect(texts).To(HaveLen(2), "the first answer, and the error")
}
