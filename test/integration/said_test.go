package integration

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

var saidBefore = podcontract.Progress{
	Summary: "117 of 120 tests passed, 3 failed: login, logout, search", ExternalExecutionID: "398", PercentComplete: ptr.To[int32](80),
}

// follower returns the status of an ended progress container.
func (w *world) follower(said podcontract.Progress) corev1.ContainerStatus {
	message, err := json.Marshal(podcontract.Envelope{Progress: &said})
	w.Expect(err).NotTo(HaveOccurred())
	return harness.Terminated(podcontract.ContainerProgress, 0, string(message))
}

// failsAsSaid waits for the failure, and checks that it has what steps wrote before.
func (w *world) failsAsSaid(what string) {
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(HavePrefix(saidBefore.Summary + "\n"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring(what))
		status := w.PipelineJob(g).Status
		g.Expect(status.FailureDetails.ExternalExecutionID).To(Equal("398"))
		g.Expect(status.ExecutionDetails.Summary).To(Equal(saidBefore.Summary))
		g.Expect(status.ExecutionDetails.ExternalExecutionID).To(Equal("398"))
		g.Expect(status.ExecutionDetails.PercentComplete).To(HaveValue(BeEquivalentTo(80)))
	})
	executions, err := w.Pipelines.ListActionExecutions(w.Ctx, &sdk.ListActionExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(aws.ToString(executions.ActionExecutionDetails[0].Output.ExecutionResult.ExternalExecutionId)).To(Equal("398"), "the link in the console")
}

func TestFailedStepKeepsItsSummaryAndLink(t *testing.T) {
	for name, c := range map[string]struct {
		step corev1.ContainerStatus
		what string
	}{
		"exit code":     {harness.Terminated("work", 3, "assertion failed"), "\nassertion failed"},
		"out of memory": {outOfMemory("work"), "OOMKilled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.work()
			job := w.RunningJob(1)
			w.AddPod(job, corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{w.follower(saidBefore), c.step}})
			w.EndJob(job, batchv1.JobFailureTarget, batchv1.JobFailed)
			w.failsAsSaid(c.what)
		})
	}
}

func outOfMemory(name string) corev1.ContainerStatus {
	status := harness.Terminated(name, 137, "")
	status.State.Terminated.Reason = "OOMKilled"
	return status
}

// TestDeletedPodKeepsItsSummaryAndLink: the pod is gone when the Job ends, because of a deadline or
// because a user deleted it.
func TestDeletedPodKeepsItsSummaryAndLink(t *testing.T) {
	for name, c := range map[string]struct{ reason, what string }{
		"deadline": {batchv1.JobReasonDeadlineExceeded, "took longer than spec.timeout"},
		"by hand":  {batchv1.JobReasonBackoffLimitExceeded, "was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.work()
			job := w.RunningJob(1)
			w.AddPod(job, corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{
				{Name: podcontract.ContainerProgress, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			}})
			pod := w.podOf(job)
			pod.Finalizers = []string{batchv1.JobTrackingFinalizer}
			w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
			w.Expect(w.Kube.Delete(w.Ctx, pod)).To(Succeed())
			w.endPod(job, corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{
				w.follower(saidBefore), harness.Terminated("work", 143, ""),
			}})
			w.Await(func(g Gomega) {
				g.Expect(w.PipelineJob(g).Status.ExecutionDetails.Summary).To(Equal(saidBefore.Summary))
			})
			pod = w.podOf(job)
			pod.Finalizers = nil
			w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
			w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
			now := metav1.Now()
			job.Status.StartTime = &now
			for _, condition := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
				job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
					Type: condition, Status: corev1.ConditionTrue, Reason: c.reason, LastTransitionTime: now, LastProbeTime: now,
				})
			}
			w.Expect(w.Kube.Status().Update(w.Ctx, job)).To(Succeed())
			w.failsAsSaid(c.what)
		})
	}
}

// TestContainerOfAWebhookKeepsNoResult: the report container has ended, but a container that a
// webhook has added never ends.
func TestContainerOfAWebhookKeepsNoResult(t *testing.T) {
	w := newWorld(t)
	w.work()
	job := w.RunningJob(1)
	message, err := json.Marshal(podcontract.Envelope{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}})
	w.Expect(err).NotTo(HaveOccurred())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "istio-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		harness.Terminated(podcontract.ContainerReport, 0, string(message)),
	}})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(aws.ToString(state.Summary)).To(Equal("done"))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(1), "its logs can be read for a while")
	w.Clock.Step(30 * time.Second)
	pod := w.podOf(job)
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "test/look", "now")
	w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Jobs(g)).To(BeEmpty(), "or the pod would run for ever") })
}
