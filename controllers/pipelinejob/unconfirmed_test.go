package pipelinejob

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// steps takes steps, without polls, until the PipelineJob is as wanted.
func (p *play) steps(is func(*v1alpha1.PipelineJob) bool) {
	for range 30 {
		if is(p.pipelineJob()) {
			return
		}
		p.step(p.pipelineJob().Name)
	}
	p.Expect(p.pipelineJob().Status).To(BeNil(), "it did not get there")
}

// TestJobThatWasNeverClaimedComesBack has a claim fail before its effect, and the job
// handed out again meanwhile, in an answer that was lost: InvalidNonce looks as if the
// claim was ours. The report fails before its effect, and InvalidJobState looks as if
// CodePipeline took it. When the job is handed out once more, that proves that it took
// neither: the result is reported, and the work is not done again.
func TestJobThatWasNeverClaimedComesBack(t *testing.T) {
	for name, message := range map[string]string{
		"success":      `{"result":{"summary":"done"}}`,
		"failure":      "",
		"continuation": `{"result":{"continuationToken":"later"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.start(nil)
			p.poll(nil)
			p.Expect(p.aws.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.ResetBefore})).To(Succeed())
			p.tryStep(p.pipelineJob().Name)
			p.clock.Step(10 * time.Minute)
			p.otherPoll()
			p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseRunning })
			p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
			p.end(&p.running()[0], message)
			for _, operation := range []string{operationSuccess, operationFailure} {
				p.Expect(p.aws.Inject(emulator.Fault{Operation: operation, Kind: emulator.ResetBefore})).To(Succeed())
			}
			p.steps(func(job *v1alpha1.PipelineJob) bool {
				return job.Status.Protocol.ReportedJobID != ""
			})

			p.withoutFaults()
			p.until(func(job *v1alpha1.PipelineJob) bool {
				return job.Settled() && !job.Status.Protocol.ClaimUnconfirmed || job.Status.Run.Number == 2
			})
			p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeFalse())
			for _, made := range p.made {
				p.Expect(made).To(Equal(1))
			}
			if name == "continuation" {
				return
			}
			p.Expect(p.made).To(HaveLen(1))
			p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo(p.pipelineJob().Status.Phase))))
		})
	}
}

// TestUnconfirmedClaimsAreKept: without its object, the work would be done again if the
// job is handed out again.
func TestUnconfirmedClaimsAreKept(t *testing.T) {
	g := NewWithT(t)
	job, now := version1(), time.Now()
	job.Status.Protocol.AcknowledgedJobID, job.Status.Protocol.AcknowledgedNonce = "1", "1"
	job.Status.Protocol.ReportedJobID = "1"
	job.Settle(metav1.NewTime(now))
	s := state{job: job, ttl: ptr.To(time.Minute), now: now.Add(time.Hour), longest: DefaultActionTimeout + timeoutMargin}
	next, _ := decide(s)
	g.Expect(next).To(Equal(stepExpire))
	job.Status.Protocol.ClaimUnconfirmed = true
	next, wait := decide(s)
	g.Expect(next).To(Equal(stepWait))
	g.Expect(wait).To(Equal(DefaultActionTimeout))
	job.Spec.CodePipelineJob.Nonce = "2"
	next, _ = decide(s)
	g.Expect(next).To(Equal(stepAcknowledge))
}

// TestCancelledWorkDoesNotBeginAgain has a claim fail before its effect, which looks as if it
// was ours, and a user delete the PipelineJob. When the job is handed out again, it is failed.
// So it is if the report of the cancellation fails before its effect, too, and then finds the
// job not open, which looks as if CodePipeline took it.
func TestCancelledWorkDoesNotBeginAgain(t *testing.T) {
	for name, reportFails := range map[string]bool{"the report finds the job not open": false, "the report looks as if it was taken": true} {
		t.Run(name, func(t *testing.T) { cancelledWorkDoesNotBeginAgain(t, reportFails) })
	}
}

func cancelledWorkDoesNotBeginAgain(t *testing.T, reportFails bool) {
	p := newPlay(t, func(o *emulator.Options) { o.RedispatchAfter = 30 * time.Second })
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.ResetBefore})).To(Succeed())
	p.tryStep(p.pipelineJob().Name)
	p.clock.Step(time.Minute)
	p.otherPoll()
	p.Expect(p.kube.Delete(p.ctx, p.pipelineJob())).To(Succeed())
	if reportFails {
		p.Expect(p.aws.Inject(emulator.Fault{Operation: operationFailure, Kind: emulator.ResetBefore})).To(Succeed())
	}
	p.steps(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
	p.Expect(p.pipelineJob().Status.Protocol.ReportedJobID != "").To(Equal(reportFails))
	p.step(p.pipelineJob().Name)
	p.Expect(p.pipelineJobs()).To(HaveLen(1), "it may be handed out again")

	p.clock.Step(time.Minute)
	p.poll(nil)
	p.stepAll(10)
	p.Expect(p.pipelineJobs()).To(BeEmpty())
	p.Expect(p.made).To(BeEmpty(), "no work has begun")
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Failed"))))
}

// TestDeletionWaitsBriefly for a job that is not handed out again.
func TestDeletionWaitsBriefly(t *testing.T) {
	g := NewWithT(t)
	job, now := version1(), time.Now()
	job.Status.Protocol.AcknowledgedJobID, job.Status.Protocol.AcknowledgedNonce = "1", "1"
	job.Status.Protocol.ClaimUnconfirmed = true
	job.Settle(metav1.NewTime(now))
	job.DeletionTimestamp = &metav1.Time{Time: now}
	next, wait := decide(state{job: job, now: now.Add(time.Minute)})
	g.Expect(next).To(Equal(stepWait))
	g.Expect(wait).To(Equal(deletionGracePeriod - time.Minute))
	next, _ = decide(state{job: job, now: now.Add(deletionGracePeriod)})
	g.Expect(next).To(Equal(stepRelease))
	job.DeletionTimestamp = &metav1.Time{Time: now.Add(time.Hour)}
	next, _ = decide(state{job: job, now: now.Add(time.Hour)})
	g.Expect(next).To(Equal(stepRelease), "it would have come by now")
	job.DeletionTimestamp, job.Status.Protocol.ReportedJobID = &metav1.Time{Time: now}, job.Spec.CodePipelineJob.ID
	next, _ = decide(state{job: job, now: now})
	g.Expect(next).To(Equal(stepWait), "the report only looks as if it was taken")
	job.Status.Protocol.ClaimUnconfirmed = false
	next, _ = decide(state{job: job, now: now})
	g.Expect(next).To(Equal(stepRelease), "CodePipeline has the cancellation")

	job.Status.Protocol.ClaimUnconfirmed = true
	next, wait = decide(state{job: job, now: now.Add(time.Hour), leadingSince: now.Add(time.Hour - time.Minute)})
	g.Expect(next).To(Equal(stepWait), "nobody led before, and could ask for the job")
	g.Expect(wait).To(Equal(deletionGracePeriod - time.Minute))
}

// cancelledUnconfirmed has a user cancel work of which CodePipeline takes neither the claim nor
// the cancellation.
func (p *play) cancelledUnconfirmed() {
	p.start(nil)
	p.poll(nil)
	p.claimSeemsOurs()
	p.Expect(p.kube.Delete(p.ctx, p.pipelineJob())).To(Succeed())
	p.steps((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
}

// stepAll takes so many steps of each PipelineJob.
func (p *play) stepAll(times int) {
	for range times {
		for _, name := range p.names() {
			p.step(name)
		}
	}
}

// TestCancelledWorkDoesNotBeginAfterAnOutage has no operator lead for longer than a deletion
// waits for a job to be handed out again. The informer shows the next one all objects before it
// polls.
func TestCancelledWorkDoesNotBeginAfterAnOutage(t *testing.T) {
	p := newPlay(t, func(o *emulator.Options) { o.RedispatchAfter = 30 * time.Second })
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.cancelledUnconfirmed()
	p.clock.Step(deletionGracePeriod + time.Minute)
	p.restart()
	p.stepAll(5)
	p.Expect(p.pipelineJobs()).To(HaveLen(1), "it may be handed out again")
	p.poll(nil)
	p.stepAll(10)
	p.Expect(p.pipelineJobs()).To(BeEmpty())
	p.Expect(p.made).To(BeEmpty(), "no work has begun")
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Failed"))))
}

// TestDeletionTellsThatWorkMayBeginAgain has CodePipeline not hand out a job of which it took
// neither the claim nor the cancellation before the object goes, as in an outage.
func TestDeletionTellsThatWorkMayBeginAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	told := &selfEvents{}
	p.operator.Events = told
	p.operator.Self = &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "pipelinejob-system", Name: "manager-1"}
	p.cancelledUnconfirmed()
	job := p.pipelineJob()
	told.self, told.all = nil, nil // of the refused cancellation
	_, deleted := p.letGo(job)
	p.Expect(p.clock.Now().Sub(deleted)).To(BeNumerically("<=", deletionGracePeriod+time.Minute))
	neither := And(ContainSubstring("NotReported"), ContainSubstring("confirmed neither the claim of job "+job.Spec.CodePipelineJob.ID+" nor a result"))
	p.Expect(told.self).To(ConsistOf(neither))
	p.Expect(told.all).To(ContainElement(neither))
}

// TestDeletionOfAnEndedActionTellsNothing: it is not handed out again.
func TestDeletionOfAnEndedActionTellsNothing(t *testing.T) {
	g := NewWithT(t)
	job, now := version1(), time.Now()
	job.Status.Protocol.AcknowledgedJobID, job.Status.Protocol.ClaimUnconfirmed = "1", true
	job.Status.AcknowledgedAt = &metav1.Time{Time: now}
	s := state{job: job, now: now.Add(time.Hour), longest: DefaultActionTimeout + timeoutMargin}
	g.Expect(s.unreported()).NotTo(BeEmpty())
	s.now = now.Add(s.longest)
	g.Expect(s.unreported()).To(BeEmpty(), "it has timed out")
	s.now, job.Status.Protocol.ClaimUnconfirmed = now, false
	g.Expect(s.unreported()).To(BeEmpty(), "CodePipeline has the result")
}

// TestWorkOfAnUnconfirmedClaimGoesOn plays what happened to a job under load: the claim
// fails before its effect, and the job is handed out again in an answer that was lost, so that
// InvalidNonce looks as if the claim was ours. The progress finds the job not open. The run
// goes on; the job comes with a newer nonce, and its result counts.
func TestWorkOfAnUnconfirmedClaimGoesOn(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.withProgress(time.Minute)
	p.start(nil)
	p.poll(nil)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.ResetBefore})).To(Succeed())
	p.tryStep(p.pipelineJob().Name)
	p.clock.Step(10 * time.Minute)
	p.otherPoll()
	p.steps(runs1)
	name, run := p.pipelineJob().Name, p.running()[0].Name
	pod := p.runningPod(&p.running()[0])
	logs := p.operator.Logs.(*harness.LogBook)
	for percent := 30; percent <= 40; percent += 10 { // each is tried, and none ends the work
		logs.Write(pod.Name, podcontract.ContainerProgress, fmt.Sprintf("codepipeline-progress {\"percentComplete\":%d}\n", percent))
		p.clock.Step(time.Minute)
		p.steps(func(job *v1alpha1.PipelineJob) bool {
			details := job.Status.ExecutionDetails
			return details.PercentComplete != nil && int(*details.PercentComplete) == percent && job.Status.ProgressToken() == ""
		})
		said := meta.FindStatusCondition(p.pipelineJob().Status.Conditions, v1alpha1.ConditionReported)
		p.Expect(said.Reason).To(Equal(v1alpha1.ReasonClaimUnconfirmed))
		p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		p.Expect(p.running()).To(ConsistOf(HaveField("Name", run)))
	}

	p.clock.Step(10 * time.Minute)
	p.poll(nil)
	p.step(name)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeFalse())
	p.Expect(meta.FindStatusCondition(p.pipelineJob().Status.Conditions, v1alpha1.ConditionReported)).To(BeNil())
	p.Expect(p.kube.Delete(p.ctx, pod)).To(Succeed()) // end makes another
	p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
	p.Expect(p.made).To(Equal(map[string]int{run: 1}))
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Succeeded"))))
}

// TestRunThatWasStoppedIsNotBlamedOnOthers: when the operator has stopped a run because
// CodePipeline seemed to wait for nothing, and the action is handed out again, the failure
// says so.
func TestRunThatWasStoppedIsNotBlamedOnOthers(t *testing.T) {
	g := NewWithT(t)
	job := version1()
	job.Status.Run = &v1alpha1.Run{JobName: "work-1", JobUID: "u"}
	setCondition(&job.Status, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonJobStarted, "runs")
	g.Expect(lost(job)).To(ContainSubstring("deleted while it was running, and not by the operator"))
	(&Reconciler{Options: Options{Clock: clocktesting.NewFakeClock(time.Now())}}).endCancelled(job, "claimed elsewhere")
	resume(&job.Status, false)
	g.Expect(lost(job)).To(ContainSubstring("stopped because CodePipeline no longer accepted reports for the action"))
}
