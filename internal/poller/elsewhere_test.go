package poller

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestContinuationIsPolledForWhereItIs moves an action to another region while it awaits a
// job, which CodePipeline hands out again in the previous region. There are also new jobs
// there, which the action must not take.
func TestContinuationIsPolledForWhereItIs(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = time.Minute })
	s.target.Interval = 5 * time.Second
	s.poller.Ensure(s.target)
	s.queue(1)
	s.awaitJobs(1)
	var name string
	for name = range s.jobs(s) {
	}
	before, now := s.target, s.target
	now.Identity.Region, before.MaxConcurrent = "eu-west-1", 0
	s.poller.Ensure(now, before)
	s.await(func(g Gomega) { // a poll with the previous target may be in progress
		s.clock.Step(gatherFor)
		g.Expect(s.pollsIn("eu-west-1")).To(BeNumerically(">", 0))
	})
	s.queue(2)
	s.continueJob(name)
	s.await(func(g Gomega) {
		s.clock.Step(time.Second)
		g.Expect(s.jobs(g)[name].Spec.CodePipelineJob.ContinuationToken).To(Equal("token"), "the continuation is recorded")
	})
	s.Expect(s.jobs(s)).To(HaveLen(1), "no new job is taken there")
	s.settle(name)
	s.poller.Ensure(now)
	s.Expect(s.poller.elsewhere).To(BeEmpty())
	s.pass(time.Minute) // a poll may have been in progress
	polls := s.pollsIn("us-east-1")
	s.pass(time.Minute)
	s.Expect(s.pollsIn("us-east-1")).To(Equal(polls), "nothing is awaited there anymore")
}

// TestNewJobHandedOutElsewhereIsTheActionsOwn has an action take jobs in a place that is still
// polled as a former place, as just after the action returned there. New jobs are handed out
// once, to that poll, and must be recorded.
func TestNewJobHandedOutElsewhereIsTheActionsOwn(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) {
		o.RedispatchAfter, o.ContinuationDelay = emulator.RedispatchNever, 10*time.Hour
	})
	s.target.Account, s.target.AccountID = "old", "111122223333"
	s.queue(1) // for the first poll: the next one is an hour later
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.continueJob(first(s.jobs(s)))
	before, now := s.target, s.target
	before.MaxConcurrent, before.Interval = 0, time.Second
	now.Account = "new"
	s.poller.Ensure(now, before)
	for recorded := 2; recorded <= 5; recorded++ {
		s.pass(time.Minute) // the action's own polls become rare
		s.queue(1)
		s.pass(10 * time.Second)
		s.await(func(g Gomega) {
			s.clock.Step(gatherFor / 10)
			g.Expect(s.jobs(g)).To(HaveLen(recorded), "it is recorded long before the action's next poll")
		})
	}
	for name, job := range s.jobs(s) {
		if !job.AwaitsContinuation() {
			s.Expect(job.Spec.AccountRef.Name).To(Equal("new"), name)
		}
	}
}

func (s *station) pollsIn(region string) (polls int) {
	for _, call := range s.aws.Journal("PollForJobs") {
		if call.Region == region {
			polls++
		}
	}
	return polls
}

func TestWhereJobsAreHandedOut(t *testing.T) {
	target := Target{Account: "shared", AccountID: "111122223333", QueryKey: "Cluster", QueryValue: "eu-1"}
	target.Identity.Region = "us-east-1"
	cases := map[string]struct {
		change func(*v1alpha1.PipelineJobSpec)
		want   bool
	}{
		"where it was taken":                              {func(*v1alpha1.PipelineJobSpec) {}, true},
		"in another region":                               {func(s *v1alpha1.PipelineJobSpec) { s.Region = "eu-west-1" }, false},
		"with another account of the same AWS account":    {func(s *v1alpha1.PipelineJobSpec) { s.AccountRef.Name = "other" }, true},
		"with another account without a recorded ID":      {func(s *v1alpha1.PipelineJobSpec) { s.AccountRef.Name, s.AccountID = "other", "" }, false},
		"with an account of another AWS account":          {func(s *v1alpha1.PipelineJobSpec) { s.AccountRef.Name, s.AccountID = "other", "444455556666" }, false},
		"in a former AWS account of the account":          {func(s *v1alpha1.PipelineJobSpec) { s.AccountID = "444455556666" }, false},
		"with another queryParam":                         {func(s *v1alpha1.PipelineJobSpec) { s.QueryParam["Cluster"] = "eu-2" }, false},
		"recorded without queryParam by an older version": {func(s *v1alpha1.PipelineJobSpec) { s.QueryParam = nil }, true},
		"without a recorded AWS account":                  {func(s *v1alpha1.PipelineJobSpec) { s.AccountID = "" }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.PipelineJob{Spec: v1alpha1.PipelineJobSpec{
				AccountRef: v1alpha1.AccountReference{Name: "shared"}, AccountID: "111122223333", Region: "us-east-1",
				QueryParam: map[string]v1alpha1.QueryValue{"Cluster": "eu-1"},
			}}
			c.change(&job.Spec)
			NewWithT(t).Expect(target.HandsOut(job)).To(Equal(c.want))
		})
	}
}
