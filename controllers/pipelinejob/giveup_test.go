package pipelinejob

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// TestDeletionEndsWithoutAWS deletes PipelineJobs in each state with something to report,
// while AWS can't be reached. They must be gone within minutes, and an event must say what was
// not reported.
func TestDeletionEndsWithoutAWS(t *testing.T) {
	const later = `{"result":{"continuationToken":"later"}}`
	cases := map[string]struct {
		// before is what happens while AWS can still be reached.
		before func(*play)
		within time.Duration
		says   string
	}{
		"the claim's answer is lost": {func(*play) {}, 7 * time.Minute, "may have accepted the claim of job"},
		"the work runs":              {func(p *play) { p.until(runs1) }, 7 * time.Minute, "the failure of job"},
		"the work has succeeded": {func(p *play) {
			p.until(runs1)
			p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
			p.until(reporting)
		}, 7 * time.Minute, "the result of job"},
		"a continuation is awaited": {func(p *play) {
			p.until(runs1)
			p.end(&p.running()[0], later)
			p.until((*v1alpha1.PipelineJob).AwaitsContinuation)
		}, 17 * time.Minute, "has not handed the action out again"},
		"a continuation can't be claimed": {func(p *play) {
			p.until(runs1)
			p.end(&p.running()[0], later)
			p.until(func(job *v1alpha1.PipelineJob) bool {
				return job.Spec.CodePipelineJob.ID != job.Status.Protocol.AcknowledgedJobID
			})
		}, 7 * time.Minute, "may have accepted the claim of job"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			told := events.NewFakeRecorder(100)
			p.operator.Events = told
			p.operator.Self = &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "pipelinejob-system", Name: "manager-1"}
			p.start(nil)
			p.poll(nil)
			c.before(p)
			for _, operation := range []string{operationAcknowledge, operationSuccess, operationFailure, operationDetails, "PollForJobs"} {
				p.Expect(p.aws.Inject(emulator.Fault{Operation: operation, Kind: emulator.ResetBefore, Probability: 1})).To(Succeed())
			}
			job := p.pipelineJob()
			p.step(job.Name)
			p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
			last, deleted := p.awaitRelease(job)
			p.Expect(p.clock.Now().Sub(deleted)).To(BeNumerically("<=", c.within))

			said := meta.FindStatusCondition(last.Status.Conditions, v1alpha1.ConditionReported)
			p.Expect(said).NotTo(BeNil())
			p.Expect(said.Reason).To(Equal(v1alpha1.ReasonNotReported))
			p.Expect(said.Message).To(ContainSubstring(c.says))
			p.Expect(p.running()).To(BeEmpty())
			p.Expect(p.secrets).To(BeEmpty())
			close(told.Events)
			var ofIt []string
			for event := range told.Events {
				ofIt = append(ofIt, event)
			}
			p.Expect(ofIt).To(ContainElement(And(ContainSubstring("NotReported"), ContainSubstring(c.says))))
			p.Expect(ofIt).To(ContainElement(ContainSubstring("NotReported PipelineJob team/"+job.Name+": ")), "the event about the operator's pod")
		})
	}
}

// TestGivingUpIsPublishedThoughAWriteFails gives up a PipelineJob, with the first write of
// each step in turn failing. The event must still be emitted before the object is gone.
func TestGivingUpIsPublishedThoughAWriteFails(t *testing.T) {
	for _, fault := range []writeFault{notWritten, answerLost} {
		t.Run(string(fault), func(t *testing.T) {
			for failing, steps := 0, 1; failing < steps; failing++ {
				steps = giveUpWith(t, fault, failing)
			}
		})
	}
}

// giveUpWith gives up a PipelineJob while a write fails in the step with this number. It
// returns how many steps it took.
func giveUpWith(t *testing.T, fault writeFault, failing int) (steps int) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationFailure, Kind: emulator.ResetBefore, Probability: 1})).To(Succeed())
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	for ; len(p.pipelineJobs()) > 0; steps++ {
		p.Expect(steps).To(BeNumerically("<", 100), "it is not released")
		if p.failing = ""; steps == failing {
			p.failing = fault
		}
		_, _ = advance(p, p.operator, job.Name) // errors are retried
		p.clock.Step(lastRetry)
	}
	p.Expect(p.givenUp).To(HaveKey(job.Spec.Pipeline.ActionExecutionID), "a write failed in step %d", failing)
	return steps
}

// awaitRelease takes steps until a PipelineJob is gone. It returns its last state, and when it
// was deleted.
func (p *play) awaitRelease(job *v1alpha1.PipelineJob) (last *v1alpha1.PipelineJob, deleted time.Time) {
	deleted = p.clock.Now()
	for range 300 {
		known := &v1alpha1.PipelineJob{}
		err := p.kube.Get(p.ctx, client.ObjectKeyFromObject(job), known)
		if client.IgnoreNotFound(err) == nil && err != nil {
			return last, deleted
		}
		p.Expect(err).NotTo(HaveOccurred())
		last = known
		_, _ = advance(p, p.operator, job.Name) // errors are retried
		p.clock.Step(5 * time.Second)
	}
	p.Expect(last.Status).To(BeNil(), "it was not released")
	return nil, deleted
}

// TestClaimIsGivenUp has a claim not answered for longer than an action may take. The job must
// be dropped, deleted or not.
func TestClaimIsGivenUp(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationAcknowledge, Kind: emulator.ResetBefore, Probability: 1})).To(Succeed())
	p.start(nil)
	p.poll(nil)
	p.step(p.pipelineJob().Name)
	p.clock.Step(DefaultActionTimeout + timeoutMargin)
	p.step(p.pipelineJob().Name)
	job := p.pipelineJob()
	p.Expect(job.Settled()).To(BeTrue())
	p.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseDropped))
	said := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionAcknowledged)
	p.Expect(said.Reason).To(Equal(v1alpha1.ReasonJobNoLongerOpen))
}

// TestDeletionEndsThoughAWebhookRefuses has a webhook refuse to delete the Job and the Secret
// of a PipelineJob that is being deleted. The cancellation must still be reported, and the
// PipelineJob must be gone within minutes. The garbage collector keeps trying.
func TestDeletionEndsThoughAWebhookRefuses(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	told := events.NewFakeRecorder(1000)
	p.operator.Events = told
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.Expect(p.secrets).NotTo(BeEmpty())
	p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
		Delete: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.DeleteOption) error {
			return apierrors.NewForbidden(schema.GroupResource{}, object.GetName(), errors.New("denied by a webhook"))
		},
	})
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	last, deleted := p.awaitRelease(job)
	p.Expect(p.clock.Now().Sub(deleted)).To(BeNumerically("<=", 7*time.Minute))
	p.Expect(last.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
	p.Expect(p.aws.Journal(operationFailure)).To(HaveLen(1))
	p.Expect(p.running()).To(HaveLen(1))
	close(told.Events)
	var said []string
	for event := range told.Events {
		said = append(said, event)
	}
	p.Expect(said).To(ContainElements(
		And(ContainSubstring("delete Job "+last.Status.Run.JobName), ContainSubstring("denied by a webhook")),
		And(ContainSubstring("delete Secret "), ContainSubstring("denied by a webhook")),
	))
}

// TestDeletionDoesNotWaitInASilentLane has a job's report wait for its turn after calls that
// are never answered, such as those of thousands of other jobs.
func TestDeletionDoesNotWaitInASilentLane(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	p.Expect(p.operator.Reconcile(p.ctx, requestFor(job.Name))).Error().NotTo(HaveOccurred()) // cancels it
	p.Expect(p.operator.Reconcile(p.ctx, requestFor(job.Name))).Error().NotTo(HaveOccurred()) // stops the run

	p.operator.Lanes = lanes.New(lanes.Options{Clock: p.clock})
	id, err := p.operator.Identities.OfJob(p.ctx, job)
	p.Expect(err).NotTo(HaveOccurred())
	silent := lanes.Of(id)
	defer fill(p.operator.Lanes, silent, operationFailure)()
	p.operator.Lanes.Answered(silent, operationFailure, lanes.AnswerNone)
	waits, err := p.operator.Reconcile(p.ctx, requestFor(job.Name))
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(waits.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", deletionGracePeriod)))

	p.clock.Step(2 * deletionGracePeriod) // the time of the deletion is not by this clock
	p.operator.Lanes.Answered(silent, operationFailure, lanes.AnswerNone)
	for range 3 {
		p.Expect(p.operator.Reconcile(p.ctx, requestFor(job.Name))).Error().NotTo(HaveOccurred())
	}
	p.Expect(p.pipelineJobs()).To(BeEmpty())
	p.Expect(p.givenUp).To(HaveKey(job.Spec.Pipeline.ActionExecutionID))
	p.Expect(p.aws.Journal(operationFailure)).To(BeEmpty())
}
