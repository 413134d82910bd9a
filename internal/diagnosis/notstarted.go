package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// startEvents are the reasons of events about the start of a pod's containers.
var startEvents = []string{
	"FailedMount", "FailedAttachVolume", "FailedMapVolume", "SuccessfulAttachVolume",
	"FailedCreatePodSandBox", "NetworkNotReady", "FailedPrepareDynamicResources", pulling, "Pulled", "Failed",
}

// notStarted returns the blocker of a pod whose node starts none of its containers, because
// volumes, network or sandbox are missing, or because the node is not healthy.
func (e Evidence) notStarted(pod corev1.Pod) *blocker {
	object := "Pod/" + pod.Name
	held := &blocker{since: scheduledAt(pod), grace: e.GracePeriods.Schedule, object: object}
	what := fmt.Sprintf("node %s started none of the containers of the pod %s for %s", pod.Spec.NodeName, pod.Name, ShortDuration(held.grace))
	lookAtNode := "Retry the action; if it happens again, check the node"
	said := e.newestEvent(object, startEvents...)
	if said == nil {
		held.failure = fail(v1alpha1.FailureSystemUnavailable, lookAtNode, "%s", what)
		return held
	}
	what += ": " + colon(said.Reason, said.Message)
	switch {
	case !slices.Contains([]string{"FailedMount", "FailedAttachVolume", "FailedMapVolume"}, said.Reason):
		held.failure = fail(v1alpha1.FailureSystemUnavailable, lookAtNode, "%s", what)
	case strings.Contains(said.Message, `volume "`+podcontract.CAVolume+`"`):
		held.failure = fail(v1alpha1.FailureConfigurationError,
			"Create the ConfigMap with this key, or correct spec.runner.ca of the CustomAction or, if it has none, --runner-ca of the operator", "%s", what)
	case strings.Contains(said.Message, `volume "`+podcontract.ContainerPrefix):
		held.failure = fail(v1alpha1.FailureSystemUnavailable,
			"It is the operator's own volume: retry the action; if it happens again, tell the operator's administrators", "%s", what)
	default:
		held.failure = fail(v1alpha1.FailureConfigurationError,
			"Create the object that the volume refers to, or correct the volumes "+inTemplate, "%s", what)
	}
	return held
}

// waiting returns the blocker of the container at index i, in the order in which they
// start.
func (e Evidence) waiting(pod corev1.Pod, i int) *blocker {
	all := statusesOf(pod)
	status, waits := all[i], all[i].State.Waiting
	if waits == nil || isForeign(pod, status.Name) || (isSidecar(pod.Spec, status.Name) && anyStepStarted(pod, all[i+1:])) {
		return nil
	}
	held := &blocker{since: dueAt(pod, all[:i]), object: "Pod/" + pod.Name, reasons: []string{"Failed", "BackOff", "InspectFailed"}}
	if isImageFault(waits.Reason) {
		held.grace, held.failure = e.GracePeriods.Image, imageFailure(pod, status)
		return held
	}
	switch waits.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		held.failure = imageFailure(pod, status)
	case "CreateContainerConfigError", v1alpha1.ReasonCreateContainerError, "RunContainerError", reasonStartError, reasonContainerCannotRun,
		"PreStartHookError", reasonPostStartHook:
		held.grace, held.failure = e.GracePeriods.Start, e.startFailure(pod, status)
	case v1alpha1.ReasonCrashLoopBackOff:
		held.grace, held.failure = e.GracePeriods.Start, crashFailure(pod, status)
	default:
		return nil
	}
	return held
}

// imageFaults are the kubelet's reasons for an image that can't be used now.
var imageFaults = []string{"ErrImagePull", v1alpha1.ReasonImagePullBackOff, "RegistryUnavailable", "SignatureValidationFailed", "ImageInspectError"}

func isImageFault(reason string) bool { return slices.Contains(imageFaults, reason) }

// anyStepStarted reports whether a container that is not a sidecar has started.
func anyStepStarted(pod corev1.Pod, statuses []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(statuses, func(s corev1.ContainerStatus) bool {
		return !isBeside(pod, s.Name) && hasStarted(s)
	})
}

// dueAt returns the time from which a container could start: when all containers before it had
// ended or, for sidecars, started.
func dueAt(pod corev1.Pod, before []corev1.ContainerStatus) time.Time {
	due := scheduledAt(pod)
	for _, status := range before {
		switch {
		case status.State.Running != nil:
			due = latest(due, status.State.Running.StartedAt.Time)
		case status.State.Terminated != nil && !isBeside(pod, status.Name):
			due = latest(due, status.State.Terminated.FinishedAt.Time)
		}
	}
	return due
}

func imageFailure(pod corev1.Pod, status corev1.ContainerStatus) *Failure {
	wayOut := "Correct the image or its imagePullSecrets " + inTemplate + ", or make the registry reachable from the cluster's nodes"
	if podcontract.IsWrapper(status.Name) {
		wayOut = "It is the operator's own image: ask the operator's administrators to correct --runner-image, or make the image reachable from the cluster's nodes"
	}
	waits := status.State.Waiting
	return fail(v1alpha1.FailureConfigurationError, wayOut,
		"the image %q of %s can't be used: %s", status.Image, nameIn(pod, status.Name), colon(waits.Reason, waits.Message))
}

func (e Evidence) startFailure(pod corev1.Pod, status corev1.ContainerStatus) *Failure {
	waits := status.State.Waiting
	wayOut := "Correct it " + inTemplate + ", or create the Secret, ConfigMap or volume that it refers to"
	if podcontract.IsWrapper(status.Name) {
		wayOut = "Create the Secret or ConfigMap that spec.runner of the CustomAction refers to, or correct the reference"
	}
	if strings.Contains(waits.Message, "runAsNonRoot") || strings.Contains(waits.Message, "non-root") {
		wayOut = "Set securityContext.runAsUser to a user other than root, by number, " + inTemplate + ", or use an image that has one"
	}
	return fail(v1alpha1.FailureConfigurationError, wayOut,
		"%s can't be started: %s", nameIn(pod, status.Name), colon(waits.Reason, e.startMessage(waits)))
}

// reasonPostStartHook is the reason of a container whose postStart hook has failed. The message has
// the output of the hook.
const reasonPostStartHook = "PostStartHookError"

// startMessage returns the kubelet's message about a container that can't be started, without
// output of a container that must not be shown.
func (e Evidence) startMessage(waits *corev1.ContainerStateWaiting) string {
	if waits.Reason == reasonPostStartHook && e.LogsStay {
		return "(the output of the hook is left out because of spec.failureLog of the CustomAction or its account; see the pod)"
	}
	return waits.Message
}

// crashFailure returns the failure of a sidecar that crashes repeatedly while the steps
// after it wait for it.
func crashFailure(pod corev1.Pod, status corev1.ContainerStatus) *Failure {
	last, printed := "", ""
	if ended := status.LastTerminationState.Terminated; ended != nil {
		last, printed = ", the last time with "+ending(ended), ended.Message
		if ended.Reason == reasonOOMKilled {
			why, _ := outOfMemory(pod, status)
			last += ": " + why
		}
	}
	failure := fail(v1alpha1.FailureConfigurationError,
		"The steps after it can't start: correct the sidecar "+inTemplate+". "+wholeLog(pod, status.Name)+" --previous",
		"%s crashes repeatedly (%s)%s", nameIn(pod, status.Name), status.State.Waiting.Reason, last)
	if !podcontract.IsWrapper(status.Name) {
		failure.Printed = &StepLog{Pod: pod.Name, Container: status.Name, Previous: true}
	}
	return withLog(failure, printed)
}
