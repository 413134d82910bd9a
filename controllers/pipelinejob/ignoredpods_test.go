package pipelinejob

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestPodThatTheJobIgnoresIsNotItsEnd has a Job's first pod evicted, which its
// podFailurePolicy ignores and does not count, and a step of the second pod fail. The cache
// shows that the Job failed, with one failed pod, before it shows the second pod.
func TestPodThatTheJobIgnoresIsNotItsEnd(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	run := &p.running()[0]
	evicted := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "zz-evicted", Namespace: run.Namespace, Labels: map[string]string{batchv1.JobNameLabel: run.Name}}}
	p.Expect(controllerutil.SetControllerReference(run, &evicted, p.kube.Scheme())).To(Succeed())
	status := corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Conditions: []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet", LastTransitionTime: metav1.NewTime(p.clock.Now()),
	}}}
	p.Expect(p.kube.Create(p.ctx, &evicted)).To(Succeed())
	evicted.Status = status
	p.Expect(p.kube.Status().Update(p.ctx, &evicted)).To(Succeed())
	run.Status.Failed = 1 // the second pod: the first one is ignored
	p.end(run, "")

	cached := p.operator.Client.(client.WithWatch)
	p.operator.Client = interceptor.NewClient(cached, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if pods, ok := list.(*corev1.PodList); ok {
				pods.Items = []corev1.Pod{evicted}
				return nil
			}
			return c.List(ctx, list, options...)
		},
	})
	p.until((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.FailureDetails).To(HaveField("Type", v1alpha1.FailureJobFailed), p.pipelineJob().Status.FailureDetails.Message)
}
