package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestActionOverItsTimeIsAskedFor: an action takes more than a day, in an account whose quota was
// raised.
func TestActionOverItsTimeIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.work()
	job := w.RunningJob(1)
	look := func() {
		pj := w.PipelineJob(w)
		metav1.SetMetaDataAnnotation(&pj.ObjectMeta, "test/look", time.Now().String())
		w.Expect(w.Kube.Update(w.Ctx, pj)).To(Succeed())
	}
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"), waits("work", "ErrImagePull", "not found"),
	}})
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonImagePullBackOff)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"),
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	w.isRunning(metav1.ConditionTrue, v1alpha1.ReasonJobStarted)
	w.Clock.Step(26 * time.Hour)
	look()
	w.Await(func(g Gomega) { g.Expect(w.Calls("ListActionExecutions")).To(Equal(1)) })
	w.Succeed(job, podcontract.Result{Summary: "at last"})
	w.Await(func(g Gomega) {
		g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("at last"))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
}

// TestPipelineThatIsChangedStopsWork: an event reports that the execution was cancelled.
func TestPipelineThatIsChangedStopsWork(t *testing.T) {
	w, _ := eventful(t)
	w.StartPipeline(nil)
	w.RunningJob(1)
	got, err := w.Pipelines.GetPipeline(w.Ctx, &sdk.GetPipelineInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	got.Pipeline.Stages[1].Actions[0].Name = aws.String("renamed")
	_, err = w.Pipelines.UpdatePipeline(w.Ctx, &sdk.UpdatePipelineInput{Pipeline: got.Pipeline})
	w.Expect(err).NotTo(HaveOccurred())
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
		g.Expect(pj.Status.FailureDetails.Message).To(ContainSubstring("the pipeline was changed while the action ran"))
		g.Expect(w.Jobs(g)).To(BeEmpty())
	})
	executions, err := w.Pipelines.ListPipelineExecutions(w.Ctx, &sdk.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(executions.PipelineExecutionSummaries[0].Status).To(Equal(types.PipelineExecutionStatusCancelled))
}
