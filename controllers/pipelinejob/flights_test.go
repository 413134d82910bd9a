package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// fly plays the controller: a worker reconciles the one PipelineJob, and the lanes do
// what they are given. It returns whether the PipelineJob is put back into the queue.
func (p *play) fly() (again bool) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	p.operator.queue = queue
	_, err := p.operator.Reconcile(p.ctx, requestFor(p.pipelineJob().Name))
	p.Expect(err).NotTo(HaveOccurred())
	p.operator.Lanes.Wait()
	return queue.Len() > 0
}

// TestStepThatCallsAWSIsTakenByALane takes a job to its Kubernetes Job by Reconcile alone.
func TestStepThatCallsAWSIsTakenByALane(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.Expect(p.fly()).To(BeTrue(), "events may have come during the claim")
	p.Expect(p.pipelineJob().Status.Protocol.AcknowledgedJobID).NotTo(BeEmpty())
	p.Expect(p.pipelineJob().Status.Run).NotTo(BeNil(), "by the same write")
	p.Expect(p.fly()).To(BeTrue())
	p.Expect(p.secrets).NotTo(BeEmpty())
	p.fly()
	p.Expect(p.running()).To(HaveLen(1))
	p.Expect(p.aws.Journal("AcknowledgeJob", "GetJobDetails")).To(HaveLen(2))
}

// TestOneAtATime has a worker come while a lane is at work for a PipelineJob, and the
// other way round: who comes second does nothing, and the job is reconciled again.
func TestOneAtATime(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	key := requestFor(p.pipelineJob().Name).NamespacedName
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	p.operator.queue = queue

	p.Expect(p.operator.busy.enter(key)).To(BeTrue())
	p.Expect(p.operator.Reconcile(p.ctx, reconcile.Request{NamespacedName: key})).To(Equal(reconcile.Result{}))
	p.Expect(queue.Len()).To(BeZero(), "the lane's end brings it back")
	p.operator.fly(p.ctx, key)
	p.Expect(queue.Len()).To(Equal(1))
	p.Expect(p.aws.Journal("AcknowledgeJob")).To(BeEmpty())

	p.operator.busy.leave(key)
	p.operator.fly(p.ctx, key)
	p.Expect(p.aws.Journal("AcknowledgeJob")).To(HaveLen(1))
	p.Expect(p.operator.busy.with).To(BeEmpty())
}

// TestStepThatWaitsIsDecidedOnAnew has a job deleted while its claim waits for the
// lane: it is not claimed any more.
func TestStepThatWaitsIsDecidedOnAnew(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	p.operator.fly(p.ctx, requestFor(job.Name).NamespacedName)
	p.Expect(p.pipelineJobs()).To(BeEmpty())
	p.Expect(p.aws.Journal("AcknowledgeJob")).To(BeEmpty())
}

func TestPanicInALaneIsAnError(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	key := requestFor(p.pipelineJob().Name).NamespacedName
	p.operator.Executions = nil
	p.Expect(p.operator.advanceInLane(p.ctx, key)).Error().NotTo(HaveOccurred()) // the claim, which asks no Executions
	_, err := p.operator.advanceInLane(p.ctx, key)
	p.Expect(err).To(MatchError(ContainSubstring("panic")))
	p.operator.fly(p.ctx, key)
	p.Expect(p.operator.busy.with).To(BeEmpty())
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseAcknowledged))
}
