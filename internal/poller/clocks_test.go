package poller

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// behind is how far the leader's clock is behind that of the previous leader.
const behind = 2 * time.Minute

// TestContinuationIsKnownByItsToken has the clock of the polling operator behind the clock of
// the one that recorded the last job. By the times of the polls, its answer is outdated.
func TestContinuationIsKnownByItsToken(t *testing.T) {
	now := time.Now()
	reports := func(token string) func(*v1alpha1.PipelineJob) {
		return func(job *v1alpha1.PipelineJob) {
			job.Status.ContinuationToken, job.Status.Protocol.ReportedJobID = token, "3"
		}
	}
	for name, c := range map[string]struct {
		change    func(*v1alpha1.PipelineJob)
		id, token string
		want      intakeResult
	}{
		"the token that was reported": {reports("c"), "4", "c", intakeContinued},
		"progress that was reported": {func(job *v1alpha1.PipelineJob) {
			job.Status.Protocol.Progress, job.Status.Protocol.ReportedJobID = &v1alpha1.ProgressReport{ContinuationToken: "progress/1"}, "3"
		}, "4", "progress/1", intakeContinued},
		"another token":                {reports("c"), "2", "a", intakeKnown},
		"no token":                     {reports("c"), "1", "", intakeKnown},
		"a token that is not reported": {func(job *v1alpha1.PipelineJob) { job.Status.ContinuationToken = "c" }, "4", "c", intakeKnown},
		"the token of the same run":    {reports("b"), "2", "b", intakeKnown},
		"the token of an earlier run":  {reports("a"), "2", "a", intakeKnown},
		"maybe the token of a run long ago": {func(job *v1alpha1.PipelineJob) {
			reports("c")(job)
			job.Status.Run.Number = 30
		}, "4", "c", intakeKnown},
	} {
		t.Run(name, func(t *testing.T) {
			known, offered := &v1alpha1.PipelineJob{}, &v1alpha1.PipelineJob{}
			known.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "3", Nonce: "n3", ContinuationToken: "b", PolledAt: &metav1.Time{Time: now}}
			known.Status.Protocol.AcknowledgedJobID, known.Status.Protocol.AcknowledgedNonce = "3", "n3"
			known.Status.PreviousRuns = []v1alpha1.Run{{Number: 1}, {Number: 2, ContinuationToken: "a"}}
			known.Status.Run = &v1alpha1.Run{Number: 3, ContinuationToken: "b"}
			c.change(known)
			offered.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: c.id, Nonce: "n4", ContinuationToken: c.token, PolledAt: &metav1.Time{Time: now.Add(-behind)}}
			NewWithT(t).Expect(compare(known, offered)).To(Equal(c.want))
		})
	}
}

// TestContinuationIsNoticedByAClockThatIsBehind has CodePipeline hand the continuation out
// only once.
func TestContinuationIsNoticedByAClockThatIsBehind(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	name := first(s.jobs(s))
	job := s.jobs(s)[name]
	later := metav1.NewTime(s.clock.Now().Add(behind).Truncate(time.Second))
	job.Spec.CodePipelineJob.PolledAt = &later
	s.Expect(s.kube.Update(s.ctx, job)).To(Succeed())
	s.status(name, func(job *v1alpha1.PipelineJob) { job.Status.Run = &v1alpha1.Run{Number: 1, FinishedAt: &later} })
	s.continueJob(name)
	s.await(func(g Gomega) {
		s.clock.Step(gatherFor)
		g.Expect(s.jobs(g)[name].Spec.CodePipelineJob.ContinuationToken).To(Equal("token"))
	})
	s.Expect(s.jobs(s)[name].Spec.CodePipelineJob.PolledAt.Time).To(BeTemporally("==", later.Time), "the poll time never goes back")
}
