package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// waits is the status of a container that waits.
func waits(name, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: "work:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// endedNow is the status of a container that has just ended.
func endedNow(name string, code int32, reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, FinishedAt: metav1.Now(),
	}}}
}

// touch has the operator look at a Job's pod again.
func (w *world) touch(job *batchv1.Job) {
	w.T.Helper()
	pod := w.podOf(job)
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "test/touched", w.Clock.Now().String())
	w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
}

// failsStopped expects that an action fails although its Job has not ended, and that
// the Job is stopped.
func (w *world) failsStopped(code string, message ...string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal(code))
		for _, part := range message {
			g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring(part))
		}
		g.Expect(w.Jobs(g)).To(BeEmpty(), "the Job is stopped")
	})
}

// TestStepOutOfMemoryWithExitCode0 has a step whose shell exits with 0 after its
// memory ran out: the kubelet leaves such a pod at PodInitializing for ever.
func TestStepOutOfMemoryWithExitCode0(t *testing.T) {
	w, _ := begin(t)
	w.AddPod(w.RunningJob(1), corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow("work", 0, "OOMKilled"), waits(podcontract.ContainerReport, "PodInitializing", ""),
	}})
	w.failsStopped("JobFailed", `step "work" failed: exit code 0 (OOMKilled)`)
}

// TestPodInWhichNothingRuns has a kubelet that does not go on after a container, and
// no word of what it waits for.
func TestPodInWhichNothingRuns(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, 0, "Completed"), waits("work", "PodInitializing", ""),
	}})
	w.Clock.Step(diagnosis.DefaultGracePeriods.Idle + time.Second)
	w.touch(job)
	w.failsStopped("SystemUnavailable", `has not started step "work" for 10m`, "no container runs")
}

// TestQuietStepIsNotTouched has a step that says nothing for a day.
func TestQuietStepIsNotTouched(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, 0, "Completed"),
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	w.Clock.Step(24 * time.Hour)
	w.touch(job)
	w.Consistently(func(g Gomega) {
		g.Expect(w.PipelineJob(g).Status.FinishedAt).To(BeNil())
		g.Expect(w.Jobs(g)).To(HaveLen(1))
	}).WithTimeout(time.Second).Should(Succeed())
}
