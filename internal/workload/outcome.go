package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

// Outcome is what became of a run. Exactly one member is set; none while the
// run goes on.
type Outcome struct {
	// Result is what the steps gave back.
	Result *result.Result
	// Log says where to read the result: in the log of the report container.
	Log *LogResult
	// Failure is why the run failed.
	Failure *Failure
}

// Ended says whether the run is over.
func (o Outcome) Ended() bool { return o.Result != nil || o.Log != nil || o.Failure != nil }

// LogResult is a result that was too large for a termination message.
type LogResult struct {
	Pod     string
	Pointer result.LogPointer
}

// Failure is why a run failed, in CodePipeline's terms.
type Failure struct {
	Type    v1alpha1.FailureType
	Message string
}

// imagePatience is how long an image may fail to be pulled before the run is
// given up: registries have hiccups.
const imagePatience = 2 * time.Minute

// Observe says what became of a run, from its Job and the Job's pods.
func Observe(job *batchv1.Job, pods []corev1.Pod, now time.Time) Outcome {
	pods = newestFirst(pods)
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			return completed(pods)
		case batchv1.JobFailed:
			return Outcome{Failure: failed(condition, pods)}
		}
	}
	for _, pod := range pods {
		if failure := stuck(pod, now); failure != nil {
			return Outcome{Failure: failure}
		}
	}
	return Outcome{}
}

// Finished says whether a Job has ended, so that none of its pods works.
func Finished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

func newestFirst(pods []corev1.Pod) []corev1.Pod {
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// completed reads the result from the report container's termination message.
func completed(pods []corev1.Pod) Outcome {
	for _, pod := range pods {
		for _, status := range pod.Status.ContainerStatuses {
			if status.Name != contract.ContainerReport || status.State.Terminated == nil || status.State.Terminated.ExitCode != 0 {
				continue
			}
			envelope, err := result.ParseEnvelope(status.State.Terminated.Message)
			switch {
			case err != nil:
				return systemUnavailable("the result of the pod %s can't be read: %v", pod.Name, err)
			case envelope.Log != nil:
				return Outcome{Log: &LogResult{Pod: pod.Name, Pointer: *envelope.Log}}
			case envelope.Result != nil:
				return Outcome{Result: envelope.Result}
			}
		}
	}
	return systemUnavailable("the Job completed, but the pod that holds its result is gone: retry the action")
}

// failed explains a failed Job by its newest failed container, and by the
// Job's own condition where no container tells.
func failed(condition batchv1.JobCondition, pods []corev1.Pod) *Failure {
	if condition.Reason == batchv1.JobReasonDeadlineExceeded {
		return &Failure{v1alpha1.FailureJobFailed, "the run took longer than spec.timeout allows and was stopped" + stoppedStep(pods)}
	}
	for _, pod := range pods {
		if failure := failedContainer(pod); failure != nil {
			return failure
		}
		if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
			return &Failure{v1alpha1.FailureSystemUnavailable,
				fmt.Sprintf("the pod %s failed: %s: %s", pod.Name, pod.Status.Reason, pod.Status.Message)}
		}
	}
	return &Failure{v1alpha1.FailureJobFailed, fmt.Sprintf("the Job failed: %s: %s", condition.Reason, condition.Message)}
}

func stoppedStep(pods []corev1.Pod) string {
	for _, pod := range pods {
		for _, status := range pod.Status.InitContainerStatuses {
			if status.State.Running != nil || (status.State.Terminated != nil && status.State.Terminated.ExitCode != 0) {
				return fmt.Sprintf(" in step %q", status.Name)
			}
		}
	}
	return ""
}

// failedContainer explains a pod by its first container that ended badly:
// the kubelet starts none after it.
func failedContainer(pod corev1.Pod) *Failure {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		ended := status.State.Terminated
		if ended == nil || ended.ExitCode == 0 || isSidecar(pod, status.Name) {
			continue
		}
		if strings.HasPrefix(status.Name, contract.ContainerPrefix) {
			return ownFailure(status.Name, ended)
		}
		return stepFailure(status.Name, ended)
	}
	return nil
}

func isSidecar(pod corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// ownFailure takes the failure that one of the product's containers wrote.
func ownFailure(name string, ended *corev1.ContainerStateTerminated) *Failure {
	envelope, err := result.ParseEnvelope(ended.Message)
	if err == nil && envelope.Failure != nil {
		return &Failure{v1alpha1.FailureType(envelope.Failure.Type), envelope.Failure.Message}
	}
	return &Failure{v1alpha1.FailureSystemUnavailable,
		fmt.Sprintf("the container %s ended without saying why: %s", name, ending(ended))}
}

func stepFailure(name string, ended *corev1.ContainerStateTerminated) *Failure {
	message := fmt.Sprintf("step %q failed: %s", name, ending(ended))
	if last := strings.TrimSpace(ended.Message); last != "" {
		message += "\n" + last
	}
	kind := v1alpha1.FailureJobFailed
	if ended.Reason == "ContainerCannotRun" || ended.Reason == "StartError" {
		kind = v1alpha1.FailureConfigurationError
	}
	return &Failure{kind, message}
}

// ending is an exit code or signal, with the reason when it adds anything.
func ending(ended *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("exit code %d", ended.ExitCode)
	if ended.Signal != 0 {
		text = fmt.Sprintf("signal %d", ended.Signal)
	}
	if ended.Reason != "" && ended.Reason != "Error" {
		text += " (" + ended.Reason + ")"
	}
	return text
}

// stuck finds a container that can't start for a reason that will not pass.
func stuck(pod corev1.Pod, now time.Time) *Failure {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := status.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "InvalidImageName", "ErrImageNeverPull":
			return imageFailure(status, waiting)
		case "ErrImagePull", "ImagePullBackOff":
			if now.Sub(pod.CreationTimestamp.Time) > imagePatience {
				return imageFailure(status, waiting)
			}
		}
	}
	return nil
}

func imageFailure(status corev1.ContainerStatus, waiting *corev1.ContainerStateWaiting) *Failure {
	return &Failure{v1alpha1.FailureConfigurationError,
		fmt.Sprintf("the image %q of step %q can't be used: %s: %s", status.Image, status.Name, waiting.Reason, waiting.Message)}
}

func systemUnavailable(format string, args ...any) Outcome {
	return Outcome{Failure: &Failure{v1alpha1.FailureSystemUnavailable, fmt.Sprintf(format, args...)}}
}
