package diagnosis

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// anyAtWork reports whether the status of a pod shows where it was stopped.
func anyAtWork(pods []corev1.Pod) bool {
	return slices.ContainsFunc(stopped(pods), func(pod corev1.Pod) bool { return atWork(pod) != nil || waitReason(pod) != "" })
}

// atWork returns the step or wrapper container that runs, or was stopped while it ran.
func atWork(pod corev1.Pod) *corev1.ContainerStatus {
	for _, status := range statusesOf(pod) {
		state := status.State
		if !isBeside(pod, status.Name) && (state.Running != nil || (state.Terminated != nil && state.Terminated.ExitCode != 0)) {
			return &status
		}
	}
	return outOfMemoryStep(pod)
}

// badEnd returns the first container that failed: the kubelet starts none after it.
func badEnd(pod corev1.Pod) *corev1.ContainerStatus {
	if step := outOfMemoryStep(pod); step != nil {
		return step
	}
	for _, status := range statusesOf(pod) {
		if ended := status.State.Terminated; ended != nil && ended.ExitCode != 0 && !isBeside(pod, status.Name) {
			return &status
		}
	}
	return nil
}

// outOfMemoryStep returns the init container that ended because it ran out of memory, whatever its
// exit code: a shell may exit with 0 after one of its processes was killed. The kubelet starts no
// container after it. For regular containers, only the exit code counts, as for the kubelet.
func outOfMemoryStep(pod corev1.Pod) *corev1.ContainerStatus {
	for _, status := range pod.Status.InitContainerStatuses {
		if ended := status.State.Terminated; ended != nil && ended.Reason == reasonOOMKilled && !isBeside(pod, status.Name) {
			return &status
		}
	}
	return nil
}

// statusesOf returns the statuses of a pod's containers, in the order in which they start.
func statusesOf(pod corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// isBeside reports whether a container runs alongside the steps and the wrapper containers:
// the work does not wait for its end.
func isBeside(pod corev1.Pod, name string) bool {
	return isSidecar(pod.Spec, name) || isForeign(pod, name)
}

// isForeign reports whether a webhook has added a regular container: the only one of the operator's
// pods is codepipeline-report.
func isForeign(pod corev1.Pod, name string) bool {
	return name != podcontract.ContainerReport &&
		slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == name })
}

func isSidecar(spec corev1.PodSpec, name string) bool {
	return name == podcontract.ContainerProgress || slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// nameIn returns the name of a container of a pod for messages.
func nameIn(pod corev1.Pod, name string) string {
	if isForeign(pod, name) {
		return fmt.Sprintf("container %q, which is not of the CustomAction", name)
	}
	return displayName(pod.Spec, name)
}

// displayName returns the name of a step, a sidecar or a wrapper container for messages.
func displayName(spec corev1.PodSpec, name string) string {
	switch {
	case podcontract.IsWrapper(name):
		return "the operator's container " + name
	case isSidecar(spec, name):
		return fmt.Sprintf("sidecar %q", name)
	default:
		return fmt.Sprintf("step %q", name)
	}
}

func podCondition(pod corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}
