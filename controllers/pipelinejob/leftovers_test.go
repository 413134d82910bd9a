package pipelinejob

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// podOf creates a pod of a Job.
func (p *play) podOf(job *batchv1.Job, name string, status corev1.PodStatus) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}}}
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	p.Expect(p.kube.Create(p.ctx, pod)).To(Succeed())
	pod.Status = status
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	return pod
}

// TestLingeringRunDoesNoWorkAgain: the result is reported, and the pod lingers because of a
// webhook's container, which then fails. The Job may then create another pod (backoffLimit, or
// a podFailurePolicy that ignores disruptions), whose steps would do the work again.
func TestLingeringRunDoesNoWorkAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	for range 10 {
		p.tryStep(p.pipelineJob().Name)
	}
	job := p.running()[0]
	job.Spec.BackoffLimit = ptr.To[int32](1)
	p.Expect(p.kube.Update(p.ctx, &job)).To(Succeed())
	pod := p.podOf(&job, job.Name+"-a", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		harness.Terminated(podcontract.ContainerReport, 0, `{"result":{"summary":"done"}}`),
		{Name: "istio-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}})
	for range 5 {
		p.tryStep(p.pipelineJob().Name)
	}
	p.Expect(p.pipelineJob().Settled()).To(BeTrue())
	p.Expect(p.running()).To(HaveLen(1))

	p.clock.Step(2 * time.Second)
	pod.Status.Phase = corev1.PodFailed
	pod.Status.ContainerStatuses[1].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	job.Status.Failed = 1
	p.Expect(p.kube.Status().Update(p.ctx, &job)).To(Succeed())
	p.tryStep(p.pipelineJob().Name) // the Job's event
	p.clock.Step(10 * time.Second)  // the Job controller's backoff
	p.Expect(len(p.running())).To(BeZero(), "the Job controller now creates a second pod, whose steps do the work again for 18 seconds")
}

// TestForgedProgressKeepsNoFailureBack has the progress container report a value that the CRD
// refuses.
func TestForgedProgressKeepsNoFailureBack(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	for range 10 {
		p.tryStep(p.pipelineJob().Name)
	}
	cached := p.operator.Client.(client.WithWatch)
	p.operator.Client = interceptor.NewClient(cached, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			if job, is := object.(*v1alpha1.PipelineJob); is && job.Status.ExecutionDetails != nil && job.Status.ExecutionDetails.PercentComplete != nil && *job.Status.ExecutionDetails.PercentComplete > 100 {
				return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("PipelineJob").GroupKind(), job.Name, field.ErrorList{field.Invalid(field.NewPath("status", "executionDetails", "percentComplete"), 1000, "at most 100")}) // maximum: 100 in the CRD
			}
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	job := p.running()[0]
	p.podOf(&job, job.Name+"-a", corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{
		harness.Terminated(podcontract.ContainerProgress, 0, `{"progress":{"percentComplete":1000}}`),
		harness.Terminated("work", 3, "broken"),
	}})
	job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue})
	p.Expect(p.kube.Status().Update(p.ctx, &job)).To(Succeed())
	for range 60 {
		p.tryStep(p.pipelineJob().Name)
		p.clock.Step(time.Minute)
	}
	p.Expect(p.pipelineJob().Status.HasResult()).To(BeTrue(), "nothing was recorded for an hour")
}
