package pipelinejob

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestOverTimeAndOverIsSettled has an action take too long, and CodePipeline answer that it
// has ended. The operator must ask once.
func TestOverTimeAndOverIsSettled(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	for range 10 {
		p.tryStep(p.pipelineJob().Name)
	}
	p.Expect(runs1(p.pipelineJob())).To(BeTrue())
	_, err := p.pipelines.StopPipelineExecution(p.ctx, &sdk.StopPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &p.executions[0], Abandon: true})
	p.Expect(err).NotTo(HaveOccurred())
	p.clock.Step(26 * time.Hour) // the operator was down, or its rounds are disabled
	for range 50 {
		p.tryStep(p.pipelineJob().Name)
	}
	p.Expect(p.pipelineJob().Settled()).To(BeTrue(), "%d calls of ListActionExecutions", len(p.aws.Journal(operationExecutions)))
}

// TestRefusedDeletionKeepsNoResultBack has a policy refuse the deletion of the Job. The result
// must still be reported.
func TestRefusedDeletionKeepsNoResultBack(t *testing.T) {
	for name, history := range map[string][]change{
		"a success whose pod lingers, the first report failed": {working, gave, complete, finishedAgo(time.Minute), failing(stepStopRun, 10*time.Minute)},
		"a failure while the pod continues":                    {working, failed, failing(stepStopRun, 10*time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			next, _ := decide(stateAfter(history))
			NewWithT(t).Expect(next).To(Equal(stepReport))
		})
	}
}

// TestRefusedDeletionKeepsNoObject has the same policy. The object must still be deleted when
// its time to live is over.
func TestRefusedDeletionKeepsNoObject(t *testing.T) {
	next, _ := decide(stateAfter([]change{working, gave, complete, reported, finishedAgo(time.Hour), ttl(0), failing(stepStopRun, 10*time.Minute)}))
	NewWithT(t).Expect(next).To(Equal(stepExpire))
}

func TestRefusedDeletionIsReportedInTheEnd(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	for range 10 {
		p.tryStep(p.pipelineJob().Name)
	}
	cached := p.operator.Client.(client.WithWatch)
	p.operator.Client = interceptor.NewClient(cached, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
			if _, is := o.(*batchv1.Job); is {
				return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, o.GetName(), errors.New("a policy: Jobs are not deleted"))
			}
			return c.Delete(ctx, o, options...)
		},
	})
	// The report container ended with a result, and a webhook's container continues.
	job := p.running()[0]
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}}}
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	p.Expect(p.kube.Create(p.ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: podcontract.ContainerReport, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: `{"result":{"summary":"done"}}`}}},
		{Name: "istio-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}}
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	p.tryStep(p.pipelineJob().Name) // records the result
	p.clock.Step(time.Minute)       // AWS can't be reached for a while, or the operator is restarted
	for range 120 {
		p.tryStep(p.pipelineJob().Name)
		p.clock.Step(time.Minute)
	}
	p.Expect(p.pipelineJob().Settled()).To(BeTrue(), "phase %s after two hours", p.pipelineJob().Status.Phase)
}

// TestDeniedSecretBacksOff has admission deny the Secret, with a status code that has another
// meaning elsewhere. The operator must not call GetJobDetails each second, and the action must
// fail in the end.
func TestDeniedSecretBacksOff(t *testing.T) {
	for name, refusal := range map[string]error{
		"409 of a webhook": &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 409, Reason: metav1.StatusReasonConflict, Message: `admission webhook "x" denied the request: no`}},
		"422 of a policy":  denied(422, metav1.StatusReasonInvalid),
		"401 of a policy":  denied(401, metav1.StatusReasonUnauthorized),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.start(nil)
			p.poll(nil)
			cached := p.operator.Client.(client.WithWatch)
			p.operator.Client = interceptor.NewClient(cached, interceptor.Funcs{
				Create: func(ctx context.Context, kube client.WithWatch, object client.Object, options ...client.CreateOption) error {
					if _, is := object.(*corev1.Secret); is {
						return refusal
					}
					return kube.Create(ctx, object, options...)
				},
			})
			began := p.clock.Now()
			for p.clock.Since(began) < 11*time.Minute && !p.pipelineJob().Status.HasResult() {
				p.tryStep(p.pipelineJob().Name)
				p.clock.Step(time.Second)
			}
			calls := len(p.aws.Journal(operationDetails))
			status := p.pipelineJob().Status
			took := p.clock.Since(began)
			p.Expect(calls).To(BeNumerically("<", 60))
			p.Expect(status.FailureDetails).NotTo(BeNil(), "it fails after the grace period")
			p.Expect(status.FailureDetails.Type).To(Equal(v1alpha1.FailurePermissionError))
			p.Expect(took).To(BeNumerically(">", 30*time.Second), "policies are rolled out in steps")
		})
	}
}

// TestFirstRefusalOfAPolicyIsNoEnd: a refusal after two minutes without an answer does not
// count as two minutes of refusals.
func TestFirstRefusalOfAPolicyIsNoEnd(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	kube := p.operator.Client
	answer := errors.New("context deadline exceeded")
	p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			if _, is := o.(*batchv1.Job); is {
				return answer
			}
			return c.Create(ctx, o, options...)
		},
	})
	began := p.clock.Now()
	p.goOnUntil(func(*v1alpha1.PipelineJob) bool { return p.clock.Since(began) > 2*time.Minute })
	answer = denied(422, metav1.StatusReasonInvalid)
	p.goOnUntil(func(job *v1alpha1.PipelineJob) bool {
		running := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionRunning)
		return running != nil && running.Reason == v1alpha1.ReasonJobRefused || job.Status.HasResult()
	})
	p.Expect(p.pipelineJob().Status.FailureDetails).To(BeNil(), "it was refused once, not for a minute")
	p.operator.Client = kube
	p.goOnUntil(runs1)
}

// TestSummaryIsOfThisRun has the second run fail before it has a Job. The message must not
// contain the summary of the first run.
func TestSummaryIsOfThisRun(t *testing.T) {
	g := NewWithT(t)
	job := &v1alpha1.PipelineJob{}
	job.Status.ExecutionDetails = &v1alpha1.ExecutionDetails{Summary: "Job work-1-1 took 3s"}
	finished := metav1.NewTime(noon)
	job.Status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1", JobUID: "u", FinishedAt: &finished}
	planNext(job)
	r := &Reconciler{Options: Options{Clock: newPlay(t).clock}}
	r.endInFailure(job, v1alpha1.ReasonFailed, &v1alpha1.FailureDetails{Type: v1alpha1.FailureConfigurationError, Message: "Kubernetes refused the Job"})
	g.Expect(job.Status.FailureDetails.Message).To(HavePrefix("Kubernetes refused the Job"))
}

// TestOldMessageIsNotNews has the progress container restarted, because it ran out of memory.
// Its last termination message is older than the progress read from its log since, and must
// not replace it.
func TestOldMessageIsNotNews(t *testing.T) {
	g := NewWithT(t)
	s := stateAfter([]change{working})
	s.job.Status.ExecutionDetails = &v1alpha1.ExecutionDetails{ExternalExecutionID: "deploy-2", Summary: "new"} // read from the log
	pod := corev1.Pod{Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{
		Name: podcontract.ContainerProgress, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", Message: `{"progress":{"summary":"old","externalExecutionId":"deploy-1"}}`}},
	}}}}
	pod.DeletionTimestamp = &metav1.Time{Time: noon}
	s.pods = []corev1.Pod{pod}
	s.outcome = diagnosis.Observe(diagnosis.Evidence{Job: s.run, Pods: s.pods, Now: noon, GracePeriods: diagnosis.DefaultGracePeriods})
	next, _ := decide(s)
	g.Expect(next).NotTo(Equal(stepSaveProgress), "it would write %+v over %+v", s.outcome.Said, s.job.Status.ExecutionDetails)
}
