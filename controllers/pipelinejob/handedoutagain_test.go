package pipelinejob

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// claimSeemsOurs has the claim of the job that was polled last fail before its effect, and
// another worker poll the job: InvalidNonce then looks as if the claim was ours.
func (p *play) claimSeemsOurs() {
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationAcknowledge, Kind: emulator.ResetBefore})).To(Succeed())
	p.tryStep(p.pipelineJob().Name)
	p.clock.Step(10 * time.Minute)
	p.otherPoll()
	p.step(p.pipelineJob().Name)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
}

// continuation polls until another job of the action is there, and returns its ID.
func (p *play) continuation() string {
	before := p.pipelineJob().Spec.CodePipelineJob.ID
	for range 30 {
		p.clock.Step(10 * time.Second)
		p.poll(nil)
		if is := p.pipelineJob().Spec.CodePipelineJob.ID; is != before {
			return is
		}
	}
	p.Expect(p.pipelineJob().Status).To(BeNil(), "it was not continued")
	return ""
}

// TestResultWithTheTokenOfItsJobIsReported has work ask after a deployment with the same
// continuation token each time. CodePipeline takes neither the claim of the second job nor the
// result of its run, and hands the job out again: that the job carries the token which the run
// ended with does not prove that CodePipeline has it. The result is reported, and the work is
// not done again.
func TestResultWithTheTokenOfItsJobIsReported(t *testing.T) {
	for name, reportFails := range map[string]bool{"the report looks as if it was taken": true, "handed out before the report": false} {
		t.Run(name, func(t *testing.T) { resultWithTheTokenOfItsJob(t, reportFails) })
	}
}

func resultWithTheTokenOfItsJob(t *testing.T, reportFails bool) {
	const later = `{"result":{"continuationToken":"deployment-1","summary":"it deploys"}}`
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.end(&p.running()[0], later)
	p.until((*v1alpha1.PipelineJob).AwaitsContinuation)
	second := p.continuation()
	p.claimSeemsOurs()
	p.steps(runs2)
	p.end(&p.running()[0], later)
	if reportFails {
		p.Expect(p.aws.Inject(emulator.Fault{Operation: operationSuccess, Kind: emulator.ResetBefore})).To(Succeed())
		p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Status.Protocol.ReportedJobID == second })
	} else {
		p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Status.ContinuationToken != "" })
	}

	p.clock.Step(10 * time.Minute)
	p.poll(nil)
	p.Expect(p.pipelineJob().Spec.CodePipelineJob.ID).To(Equal(second), "it is handed out again")
	p.steps(func(job *v1alpha1.PipelineJob) bool {
		return !job.Status.Protocol.ClaimUnconfirmed && job.AwaitsContinuation()
	})
	p.Expect(p.pipelineJob().Status.Run.Number).To(BeEquivalentTo(2), "the work is not done again")

	p.Expect(p.continuation()).NotTo(Equal(second), "CodePipeline has the token of run 2")
	p.steps(func(job *v1alpha1.PipelineJob) bool { return runsAs(job, 3) })
	p.end(&p.running()[0], `{"result":{"summary":"deployed"}}`)
	p.until((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.made).To(HaveLen(3))
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Succeeded"))))
}

// progressing starts work without artifacts, of which the progress is told.
func (p *play) progressing() {
	p.withProgress(time.Minute)
	p.start(nil)
	p.poll(nil)
	plain := p.pipelineJob()
	plain.Spec.InputArtifacts = nil
	p.Expect(p.kube.Update(p.ctx, plain)).To(Succeed())
}

// writeProgress has a step write its progress, a minute after the last.
func (p *play) writeProgress(percent int) {
	pod := p.runningPod(&p.running()[0])
	p.operator.Logs.(*harness.LogBook).Write(pod.Name, podcontract.ContainerProgress, fmt.Sprintf("codepipeline-progress {\"percentComplete\":%d}\n", percent))
	p.clock.Step(time.Minute)
}

// TestProgressOfAJobThatIsHandedOutAgainIsTold has CodePipeline take neither the claim of a job
// nor its progress, which looks as if it was taken: it is told when the job is claimed again.
func TestProgressOfAJobThatIsHandedOutAgainIsTold(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.progressing()
	p.claimSeemsOurs()
	p.steps(runs1)
	p.writeProgress(30)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationSuccess, Kind: emulator.ResetBefore})).To(Succeed())
	p.steps((*v1alpha1.PipelineJob).AwaitsContinuation)

	first := p.pipelineJob().Spec.CodePipelineJob.ID
	p.clock.Step(10 * time.Minute)
	p.poll(nil)
	p.Expect(p.pipelineJob().Spec.CodePipelineJob.ID).To(Equal(first), "it is handed out again")
	p.steps(func(job *v1alpha1.PipelineJob) bool {
		return !job.Status.Protocol.ClaimUnconfirmed && job.AwaitsContinuation()
	})
	calls := p.aws.Journal(operationSuccess)
	p.Expect(string(calls[len(calls)-1].Request)).To(ContainSubstring(`"percentComplete":30`))
	p.Expect(p.continuation()).NotTo(Equal(first), "CodePipeline has the progress")
}
