package pipelinejob

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// claimSeemsOurs has the claim of the last polled job fail before its effect, and another
// worker poll the job. InvalidNonce then looks as if our claim had its effect.
func (p *play) claimSeemsOurs() {
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationAcknowledge, Kind: emulator.ResetBefore})).To(Succeed())
	p.tryStep(p.pipelineJob().Name)
	p.clock.Step(10 * time.Minute)
	p.otherPoll()
	p.step(p.pipelineJob().Name)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
}

// continuation polls until the action has another job, and returns its ID.
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

// TestResultWithTheTokenOfItsJobIsReported has work that returns the same continuation token
// each time, such as the ID of a deployment. CodePipeline accepts neither the claim of the
// second job nor the result of its run, and hands the job out again. The job carries the token
// that the run returned, but that does not prove that CodePipeline has it. The result must be
// reported, and the work must not be done again.
func TestResultWithTheTokenOfItsJobIsReported(t *testing.T) {
	for name, reportFails := range map[string]bool{"the report seems to be accepted": true, "handed out before the report": false} {
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

// progressing starts work without artifacts that reports progress.
func (p *play) progressing() {
	p.withProgress(time.Minute)
	p.start(nil)
	p.poll(nil)
	plain := p.pipelineJob()
	plain.Spec.InputArtifacts = nil
	p.Expect(p.kube.Update(p.ctx, plain)).To(Succeed())
}

// writeProgress writes progress as the step of the only run, and lets a minute pass.
func (p *play) writeProgress(percent int) {
	p.say(p.runningPod(&p.running()[0]), percent)
	p.clock.Step(time.Minute)
}

// say writes progress as the step of a pod.
func (p *play) say(pod *corev1.Pod, percent int) {
	p.operator.Logs.(*harness.LogBook).Write(pod.Name, podcontract.ContainerProgress, fmt.Sprintf("codepipeline-progress {\"percentComplete\":%d}\n", percent))
}

// TestProgressOfAJobThatIsHandedOutAgainIsReported has CodePipeline accept neither the claim
// of a job nor its progress, although both seem to be accepted. The progress must be reported
// when the job is claimed again.
func TestProgressOfAJobThatIsHandedOutAgainIsReported(t *testing.T) {
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

// handOutTwice records the job with a nonce that CodePipeline does not know, as from a
// duplicate hand-out.
func (p *play) handOutTwice() {
	job := p.pipelineJob()
	job.Spec.CodePipelineJob.Nonce += "0"
	job.Spec.CodePipelineJob.PolledAt = &metav1.Time{Time: p.clock.Now()}
	job.Generation++ // as the API server does
	p.Expect(p.kube.Update(p.ctx, job)).To(Succeed())
}

// TestDuplicateLeavesAClaimConfirmed has a job handed out twice after CodePipeline confirmed
// its claim. Progress that finds the job closed must end the stopped work, as without the
// duplicate.
func TestDuplicateLeavesAClaimConfirmed(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.progressing()
	p.steps(runs1)
	p.handOutTwice()
	p.step(p.pipelineJob().Name)
	p.Expect(p.aws.Journal(operationAcknowledge)).To(HaveLen(2))
	job := p.pipelineJob()
	p.Expect(job.Status.Protocol.AcknowledgedNonce).To(Equal(job.Spec.CodePipelineJob.Nonce))
	p.Expect(job.Status.Protocol.ClaimUnconfirmed).To(BeFalse())
	said := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionAcknowledged)
	p.Expect(said.Message).To(HavePrefix("CodePipeline accepted the claim of job "))

	p.abandon1()
	p.writeProgress(30)
	p.steps((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
	p.steps(func(*v1alpha1.PipelineJob) bool { return len(p.running()) == 0 })
}

// abandon1 stops the only execution and abandons its action.
func (p *play) abandon1() {
	_, err := p.pipelines.StopPipelineExecution(p.ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &p.executions[0], Abandon: true,
	})
	p.Expect(err).NotTo(HaveOccurred())
}

// TestDuplicateDuringAReport has the answer to a report lost after its effect, and the job
// handed out twice before the next try. CodePipeline has the result, and the object must say
// so.
func TestDuplicateDuringAReport(t *testing.T) {
	const later = `{"result":{"continuationToken":"later"}}`
	for name, message := range map[string]string{"success": `{"result":{"summary":"done"}}`, "failure": "", "continuation": later} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.start(nil)
			p.poll(nil)
			p.until(runs1)
			p.end(&p.running()[0], message)
			for _, operation := range []string{operationSuccess, operationFailure} {
				p.Expect(p.aws.Inject(emulator.Fault{Operation: operation, Kind: emulator.ResetAfter})).To(Succeed())
			}
			p.steps(func(job *v1alpha1.PipelineJob) bool {
				call := job.Status.Protocol.Call
				return call != nil && call.Operation != operationAcknowledge && len(p.aws.Journal(call.Operation)) > 0
			})
			p.aws.ClearFaults()
			p.handOutTwice()
			p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Status.Protocol.ReportedJobID != "" })
			if message == later {
				p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseContinuing))
				p.until(runs2)
				p.Expect(p.pipelineJob().Status.FailureDetails).To(BeNil())
				return
			}
			p.Expect(p.pipelineJob().Settled()).To(BeTrue())
			p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo(p.pipelineJob().Status.Phase))))
		})
	}
}

// TestStoppedWorkIsNotHandedOutAgain: an abandoned action is over, whether or not CodePipeline
// confirmed the claim. Its object must not be kept for a hand-out that can't come.
func TestStoppedWorkIsNotHandedOutAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.changeAction(func(action *v1alpha1.CustomAction) { action.Spec.TTLSecondsAfterFinished = ptr.To[int32](60) })
	p.progressing()
	p.claimSeemsOurs()
	p.steps(runs1)
	p.abandon1()
	p.clock.Step(2 * time.Minute)
	p.look()
	p.steps((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeFalse())
	p.clock.Step(2 * time.Minute)
	p.stepAll(5)
	p.Expect(p.pipelineJobs()).To(BeEmpty(), "its time to live is over")
}

// TestStoppedWorkOfAnUnconfirmedClaimEndsWithoutRounds has an operator that does not look for
// stopped executions. A claim has its effect, but its answer is lost, so progress that finds
// the job closed does not show whether the work continues. The operator must ask CodePipeline.
func TestStoppedWorkOfAnUnconfirmedClaimEndsWithoutRounds(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.operator.Executions.Interval = 0
	p.progressing()
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationAcknowledge, Kind: emulator.ResetAfter})).To(Succeed())
	p.steps(runs1)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
	p.abandon1()
	p.writeProgress(30)
	p.steps((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
	p.Expect(p.pipelineJob().Status.FailureDetails.Message).To(ContainSubstring("abandoned"))
	p.stepAll(2)
	p.Expect(p.running()).To(BeEmpty())
	p.Expect(p.aws.Journal(operationExecutions)).To(HaveLen(1))
	p.Expect(p.operator.Executions.over).To(BeEmpty(), "nothing is kept about settled jobs")
	p.Expect(p.operator.Executions.answers).To(BeEmpty())
}

// TestUnconfirmedWorkIsAskedForSeldom has CodePipeline still wait for an action whose claim it
// did not accept. The work must continue, and the operator must ask once per rejected update.
func TestUnconfirmedWorkIsAskedForSeldom(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.operator.Executions.Interval = 0
	p.progressing()
	p.claimSeemsOurs()
	p.steps(runs1)
	pod := p.runningPod(&p.running()[0])
	for percent := 10; percent <= 30; percent += 10 {
		p.say(pod, percent)
		p.clock.Step(time.Minute)
		p.stepAll(8)
	}
	p.Expect(p.aws.Journal(operationSuccess)).To(HaveLen(3))
	p.clock.Step(10 * time.Minute)
	p.stepAll(8)
	p.Expect(p.aws.Journal(operationExecutions)).To(HaveLen(3))
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseRunning))

	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationExecutions, Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	p.say(pod, 40)
	p.clock.Step(time.Minute)
	p.stepAll(8)
	p.Expect(p.kube.Delete(p.ctx, pod)).To(Succeed()) // end creates another
	p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
	p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Status.HasResult() })
}
