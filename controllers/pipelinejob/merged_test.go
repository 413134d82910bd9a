package pipelinejob

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// reporting takes a job until its result and the first try of its report are recorded, but not
// made.
func (p *play) reporting() {
	p.start(nil)
	p.poll(nil)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseRunning })
	p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseReporting })
	p.Expect(p.pipelineJob().Status.Protocol.Call).To(HaveField("Tries", BeEquivalentTo(1)))
	p.Expect(p.aws.Journal("PutJobSuccessResult")).To(BeEmpty())
}

// TestReportThatWasNotTriedIsNoSecondTry has an execution stopped after the result was
// recorded together with the try of its report. If CodePipeline no longer waits for the job,
// it has no result: this operator knows that it never reported one.
func TestReportThatWasNotTriedIsNoSecondTry(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*play)
		phase  v1alpha1.Phase
	}{
		"immediately":                 {func(*play) {}, v1alpha1.PhaseCancelled},
		"after a wait":                {func(p *play) { p.clock.Step(Takeover) }, v1alpha1.PhaseCancelled},
		"after a write to the status": {func(p *play) { p.note(p.pipelineJob()) }, v1alpha1.PhaseCancelled},
		// Another operator can't know whether there was a try. If neither can be proven, the
		// report counts as accepted, see docs/protocol.md.
		"by another operator": {(*play).restart, v1alpha1.PhaseSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.reporting()
			_, err := p.pipelines.StopPipelineExecution(p.ctx, &sdk.StopPipelineExecutionInput{
				PipelineName: aws.String("p"), PipelineExecutionId: &p.executions[0], Abandon: true,
			})
			p.Expect(err).NotTo(HaveOccurred())
			c.before(p)
			p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
			p.Expect(p.pipelineJob().Status.Phase).To(Equal(c.phase))
			p.Expect(meta.IsStatusConditionTrue(p.pipelineJob().Status.Conditions, v1alpha1.ConditionComplete)).To(BeTrue())
		})
	}
}

// note writes a change that is not part of the protocol.
func (p *play) note(job *v1alpha1.PipelineJob) {
	p.Expect(p.operator.writeStatus(p.ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.ExecutionDetails.Summary += " and noted"
	})).To(Succeed())
}

// TestOnlyAnOwnFreshRecordNeedsNoWrite has the next write fail. A report that needs a write
// first must not be tried then.
func TestOnlyAnOwnFreshRecordNeedsNoWrite(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*play)
		calls  int
	}{
		"immediately":         {func(*play) {}, 1},
		"after a wait":        {func(p *play) { p.clock.Step(Takeover) }, 0},
		"by another operator": {(*play).restart, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.reporting()
			c.before(p)
			p.failing = notWritten
			p.tryStep(p.pipelineJob().Name)
			p.Expect(p.aws.Journal("PutJobSuccessResult")).To(HaveLen(c.calls))
			p.Expect(p.pipelineJob().Settled()).To(BeFalse())
			p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
			p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
		})
	}
}
