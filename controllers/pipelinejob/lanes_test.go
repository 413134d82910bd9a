package pipelinejob

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// reconcileOnce acts as the controller: a worker reconciles the only PipelineJob, and the
// lanes take what is submitted. It reports whether the PipelineJob is requeued.
func (p *play) reconcileOnce() (again bool) {
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
	p.Expect(p.reconcileOnce()).To(BeTrue(), "events may have arrived during the claim")
	p.Expect(p.pipelineJob().Status.Protocol.AcknowledgedJobID).NotTo(BeEmpty())
	p.Expect(p.pipelineJob().Status.Run).NotTo(BeNil(), "in the same write")
	p.Expect(p.reconcileOnce()).To(BeTrue())
	p.Expect(p.secrets).NotTo(BeEmpty())
	p.reconcileOnce()
	p.Expect(p.running()).To(HaveLen(1))
	p.Expect(p.aws.Journal("AcknowledgeJob", "GetJobDetails")).To(HaveLen(2))
}

// TestOneAtATime has a worker start while a lane is busy with a PipelineJob, and the other way
// round. The second one must do nothing, and the job must be reconciled again.
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
	p.Expect(queue.Len()).To(BeZero(), "the lane requeues it at its end")
	p.operator.takeInLane(p.ctx, key, takerAccount)
	p.Expect(queue.Len()).To(Equal(1))
	p.Expect(p.aws.Journal("AcknowledgeJob")).To(BeEmpty())

	p.operator.busy.leave(key)
	p.operator.takeInLane(p.ctx, key, takerAccount)
	p.Expect(p.aws.Journal("AcknowledgeJob")).To(HaveLen(1))
	p.Expect(p.operator.busy.with).To(BeEmpty())
}

// TestStepThatWaitsIsDecidedOnAgain has a job deleted while its claim waits for the lane. The
// job must not be claimed.
func TestStepThatWaitsIsDecidedOnAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	p.operator.takeInLane(p.ctx, requestFor(job.Name).NamespacedName, takerAccount)
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
	p.Expect(p.operator.advanceInLane(p.ctx, key, takerAccount)).Error().NotTo(HaveOccurred()) // the claim, which does not use Executions
	_, err := p.operator.advanceInLane(p.ctx, key, takerAccount)
	p.Expect(err).To(MatchError(ContainSubstring("panic")))
	p.operator.takeInLane(p.ctx, key, takerAccount)
	p.Expect(p.operator.busy.with).To(BeEmpty())
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseAcknowledged))
}

// fill submits as many calls as a lane has room for. They return when answer is called.
func fill(in *lanes.Lanes, of lanes.Key, operation string) (answer func()) {
	answered := make(chan struct{})
	for i := range lanes.DefaultInFlight {
		in.Submit(of, lanes.Call{ID: i, Operation: operation, Do: func(context.Context) { <-answered }})
	}
	return func() { close(answered) }
}

// TestLogsAreReadByALaneOfTheirNode has a node hang, so that its lane has no room. A worker
// must not wait for the progress of a job on that node.
func TestLogsAreReadByALaneOfTheirNode(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	job := p.pipelineJob()
	action := &v1alpha1.CustomAction{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKey{Namespace: job.Namespace, Name: job.Spec.ActionRef.Name}, action)).To(Succeed())
	action.Spec.Progress = &v1alpha1.Progress{Interval: metav1.Duration{Duration: time.Second}}
	p.Expect(p.kube.Update(p.ctx, action)).To(Succeed())
	p.clock.Step(time.Minute)
	p.reconcileOnce() // another step that is due first

	answer := fill(p.operator.NodeLanes, lanes.Key{}, operationLogs)
	p.reconcileOnce()
	p.Expect(p.operator.reads.of(job.UID)).To(BeZero())
	answer()
	p.operator.NodeLanes.Wait()
	p.Expect(p.operator.reads.of(job.UID)).To(Equal(p.clock.Now()))
}

func TestTakers(t *testing.T) {
	failed := &diagnosis.Failure{}
	secret := &v1alpha1.PipelineJob{}
	secret.Spec.SecretConfiguration = []string{"Token"}
	access := codepipeline.Identity{Region: "us-east-1"}
	for name, c := range map[string]struct {
		step step
		state
		want taker
	}{
		"a claim":                {stepAcknowledge, state{job: &v1alpha1.PipelineJob{}, identity: access}, takerAccount},
		"a claim without access": {stepAcknowledge, state{job: &v1alpha1.PipelineJob{}}, takerNoAccount},
		"a Job":                  {stepCreateJob, state{job: &v1alpha1.PipelineJob{}}, takerWorker},
		"progress":               {stepReadProgress, state{job: &v1alpha1.PipelineJob{}}, takerNode},
		"a result":               {stepRecordResult, state{job: &v1alpha1.PipelineJob{}}, takerWorker},
		"a result in a log":      {stepRecordResult, state{job: &v1alpha1.PipelineJob{}, outcome: diagnosis.Outcome{Log: &diagnosis.LogResult{}}}, takerNode},
		"a failure":              {stepRecordResult, state{job: &v1alpha1.PipelineJob{}, outcome: diagnosis.Outcome{Failure: failed}}, takerWorker},
		"a failure with secrets": {stepRecordResult, state{job: secret, identity: access, outcome: diagnosis.Outcome{Failure: failed}}, takerAccount},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(takerOf(c.step, c.state)).To(Equal(c.want))
		})
	}
}

// TestCallAfterWhichTheObjectChangedIsNotRepeatedAtOnce has the object change during each call
// that renews its credentials. The retry must wait: otherwise, anyone who may change the
// object could cause repeated calls.
func TestCallAfterWhichTheObjectChangedIsNotRepeatedAtOnce(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	key := requestFor(p.pipelineJob().Name).NamespacedName
	this := attempt{stepRenewSecret, 1}
	conflict := apierrors.NewConflict(schema.GroupResource{}, key.Name, nil)
	p.Expect(p.operator.settle(key, this, afterCall(conflict))).To(Equal(reconcile.Result{RequeueAfter: conflictRetry}))
	p.Expect(p.operator.retries.wait(key, this, p.clock.Now())).To(Equal(firstRetry))
	this = attempt{stepPlanRun, 1}
	p.Expect(p.operator.settle(key, this, conflict)).To(Equal(reconcile.Result{RequeueAfter: conflictRetry}))
	p.Expect(p.operator.retries.wait(key, this, p.clock.Now())).To(BeZero())
}

// TestAccessThatComesWhileAJobWaits: a step without access only fails, in a separate lane. If
// access is granted by then, the call must move to the account's lane: an account that does
// not answer would otherwise hold up all jobs without access.
func TestAccessThatComesWhileAJobWaits(t *testing.T) {
	g := NewWithT(t)
	job := version1()
	s := state{job: job}
	g.Expect(takerOf(stepAcknowledge, s)).To(Equal(takerNoAccount))
	s.identity.Region = "us-east-1"
	g.Expect(takerOf(stepAcknowledge, s)).To(BeNumerically(">", takerNoAccount), "it is handed over to the account's lane")
	g.Expect(takerOf(stepNoteRunning, s)).To(Equal(takerWorker))
}
