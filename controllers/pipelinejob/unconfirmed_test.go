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
	p.Expect(p.pipelineJob().Status).To(BeNil(), "the PipelineJob never got there")
}

// TestJobThatWasNeverClaimedIsHandedOutAgain has a claim fail before its effect, and the job
// handed out again in an answer that is lost: InvalidNonce looks as if our claim had its
// effect. The report also fails before its effect, and InvalidJobState looks as if
// CodePipeline accepted it. When the job is handed out again, that proves that CodePipeline
// accepted neither. The result must be reported, and the work must not be done again.
func TestJobThatWasNeverClaimedIsHandedOutAgain(t *testing.T) {
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

// TestUnconfirmedClaimsAreKept: without its object, a new hand-out of the job would start the
// work again.
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

// TestCancelledWorkDoesNotBeginAgain has a claim fail before its effect but seem to have it,
// and a user delete the PipelineJob. When the job is handed out again, it must be failed. The
// same holds if the report of the cancellation also fails before its effect, and then finds
// the job not open, as if CodePipeline had accepted it.
func TestCancelledWorkDoesNotBeginAgain(t *testing.T) {
	for name, reportFails := range map[string]bool{"the report finds the job not open": false, "the report seems to be accepted": true} {
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
	p.Expect(p.made).To(BeEmpty(), "no work has started")
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Failed"))))
}

// TestDeletionWaitsBriefly: a deletion waits a few minutes in case its job is handed out again.
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
	g.Expect(next).To(Equal(stepRelease), "it would have been handed out by now")
	job.DeletionTimestamp, job.Status.Protocol.ReportedJobID = &metav1.Time{Time: now}, job.Spec.CodePipelineJob.ID
	next, _ = decide(state{job: job, now: now})
	g.Expect(next).To(Equal(stepWait), "the report only seems to be accepted")
	job.Status.Protocol.ClaimUnconfirmed = false
	next, _ = decide(state{job: job, now: now})
	g.Expect(next).To(Equal(stepRelease), "CodePipeline has the cancellation")

	job.Status.Protocol.ClaimUnconfirmed = true
	next, wait = decide(state{job: job, now: now.Add(time.Hour), leadingSince: now.Add(time.Hour - time.Minute)})
	g.Expect(next).To(Equal(stepWait), "without a leader, nothing polled for the job")
	g.Expect(wait).To(Equal(deletionGracePeriod - time.Minute))
}

// cancelledUnconfirmed cancels work of which CodePipeline accepts neither the claim nor the
// cancellation.
func (p *play) cancelledUnconfirmed() {
	p.start(nil)
	p.poll(nil)
	p.claimSeemsOurs()
	p.Expect(p.kube.Delete(p.ctx, p.pipelineJob())).To(Succeed())
	p.steps((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Protocol.ClaimUnconfirmed).To(BeTrue())
}

// stepAll takes a number of steps of each PipelineJob.
func (p *play) stepAll(times int) {
	for range times {
		for _, name := range p.names() {
			p.step(name)
		}
	}
}

// TestCancelledWorkDoesNotBeginAfterAnOutage has no leader for longer than a deletion waits
// for a new hand-out. The informer shows all objects to the next leader before it polls.
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
	p.Expect(p.made).To(BeEmpty(), "no work has started")
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Failed"))))
}

// TestDeletionPublishesThatWorkMayStartAgain has CodePipeline accept neither the claim nor the
// cancellation of a job, and not hand it out again before the object is released, as in an
// outage.
func TestDeletionPublishesThatWorkMayStartAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	told := &selfEvents{}
	p.operator.Events = told
	p.operator.Self = &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "pipelinejob-system", Name: "manager-1"}
	p.cancelledUnconfirmed()
	job := p.pipelineJob()
	told.self, told.all = nil, nil // events about the refused cancellation
	_, deleted := p.awaitRelease(job)
	p.Expect(p.clock.Now().Sub(deleted)).To(BeNumerically("<=", deletionGracePeriod+time.Minute))
	neither := And(ContainSubstring("NotReported"), ContainSubstring("confirmed neither the claim of job "+job.Spec.CodePipelineJob.ID+" nor a result"))
	p.Expect(told.self).To(ConsistOf(neither))
	p.Expect(told.all).To(ContainElement(neither))
}

// TestDeletionOfAnEndedActionPublishesNothing: an ended action is not handed out again.
func TestDeletionOfAnEndedActionPublishesNothing(t *testing.T) {
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

// TestWorkOfAnUnconfirmedClaimGoesOn repeats what happened to a job under load. The claim
// fails before its effect, and the job is handed out again in an answer that is lost, so that
// InvalidNonce looks as if our claim had its effect. The progress finds the job not open. The
// run must continue until the job is handed out with a newer nonce, and its result must count.
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
	for percent := 30; percent <= 40; percent += 10 { // each is rejected, which does not end the work
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
	p.Expect(p.kube.Delete(p.ctx, pod)).To(Succeed()) // end creates another
	p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
	p.Expect(p.made).To(Equal(map[string]int{run: 1}))
	p.Expect(p.actions()).To(ConsistOf(HaveField("Status", BeEquivalentTo("Succeeded"))))
}

// TestRunThatWasStoppedIsNotBlamedOnOthers: if the operator stopped a run because CodePipeline
// no longer seemed to wait, and the action is handed out again, the failure must say so.
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
