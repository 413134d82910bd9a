package diagnosis

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// podBlocker returns the blocker of a pod that has not ended and is not being deleted.
func (e Evidence) podBlocker(pod corev1.Pod) *blocker {
	if !scheduled(pod) {
		return e.unscheduled(pod)
	}
	if failed := badEnd(pod); failed != nil && failed.State.Terminated.ExitCode == 0 {
		// The kubelet starts no container after it, but does not end the pod either, because it
		// looks at the exit code: the Job would never end.
		return &blocker{failure: explained(pod)}
	}
	var soonest *blocker
	started := false
	for i, status := range statusesOf(pod) {
		started = started || hasStarted(status)
		held := e.waiting(pod, i)
		if held != nil && (soonest == nil || held.since.Add(held.grace).Before(soonest.since.Add(soonest.grace))) {
			soonest = held
		}
	}
	switch {
	case soonest != nil:
		return soonest
	case started:
		return e.idle(pod)
	default:
		return e.notStarted(pod)
	}
}

// idle returns the blocker of a started pod in which no container runs, although the next one
// should start. It returns nil if a container runs, even without output, or if the next one waits
// for the startup probe of a sidecar. Only events show that an image is being pulled, and clusters
// keep them for an hour, so a longer pull counts as idle.
func (e Evidence) idle(pod corev1.Pod) *blocker {
	next := nextContainer(pod)
	if next == nil {
		return nil
	}
	held := &blocker{since: lastChange(pod), grace: e.GracePeriods.Idle}
	said := e.newestEvent("Pod/"+pod.Name, pulling, "Pulled", "Created", "Started", "Failed", "BackOff", "Killing")
	if said != nil && !said.Last.Before(held.since) {
		held.since = said.Last
		if said.Reason == pulling {
			return held // it is checked again
		}
	}
	if held.failure = explained(pod); held.failure == nil {
		held.failure = fail(v1alpha1.FailureSystemUnavailable, "Retry the action; if it happens again, check the node",
			"node %s has not started %s for %s after the containers before it: in the pod %s no container runs, and its status has no reason",
			pod.Spec.NodeName, displayName(pod.Spec, next.Name), ShortDuration(held.grace), pod.Name)
	}
	return held
}

// startingUp returns the sidecar for whose startup probe the next container waits, or an empty
// string.
func startingUp(pod corev1.Pod) string {
	for _, status := range statusesOf(pod) {
		if isBeside(pod, status.Name) && isStartingUp(status) {
			return status.Name
		}
	}
	return ""
}

func isStartingUp(status corev1.ContainerStatus) bool {
	return status.State.Running != nil && status.Started != nil && !*status.Started
}

// pulling is the reason of the kubelet's event when it starts to pull an image.
const pulling = "Pulling"

// nextContainer returns the first container that waits to be started. It returns nil if a container
// runs, or if none waits. Sidecars don't count, unless one is about to start.
func nextContainer(pod corev1.Pod) *corev1.ContainerStatus {
	var next *corev1.ContainerStatus
	for _, status := range statusesOf(pod) {
		if isBeside(pod, status.Name) {
			if isStartingUp(status) {
				return nil
			}
			continue
		}
		if status.State.Running != nil {
			return nil
		}
		if next == nil && status.State.Waiting != nil {
			next = &status
		}
	}
	return next
}

// lastChange returns the time of the last known change in the status of a pod. Sidecars don't count
// while steps run, because they may crash repeatedly.
func lastChange(pod corev1.Pod) time.Time {
	last := scheduledAt(pod)
	for _, condition := range pod.Status.Conditions {
		last = latest(last, condition.LastTransitionTime.Time)
	}
	sidecarsCount := !anyStepStarted(pod, statusesOf(pod))
	for _, status := range statusesOf(pod) {
		if isBeside(pod, status.Name) && !sidecarsCount {
			continue
		}
		if running := status.State.Running; running != nil {
			last = latest(last, running.StartedAt.Time)
		}
		if ended := status.State.Terminated; ended != nil {
			last = latest(last, ended.FinishedAt.Time)
		}
	}
	return last
}

func scheduled(pod corev1.Pod) bool {
	condition := podCondition(pod, corev1.PodScheduled)
	return pod.Spec.NodeName != "" || len(statusesOf(pod)) > 0 || (condition != nil && condition.Status == corev1.ConditionTrue)
}

// scheduledAt returns when the pod was assigned to a node.
func scheduledAt(pod corev1.Pod) time.Time {
	if condition := podCondition(pod, corev1.PodScheduled); condition != nil && condition.Status == corev1.ConditionTrue {
		return latest(pod.CreationTimestamp.Time, condition.LastTransitionTime.Time)
	}
	return pod.CreationTimestamp.Time
}

func hasStarted(status corev1.ContainerStatus) bool {
	return status.State.Running != nil || status.State.Terminated != nil || status.LastTerminationState.Terminated != nil
}

// unscheduled returns the blocker of a pod without a node. A pod with scheduling gates has none,
// because the controller that set them will remove them. Removing them does not change the time of
// the condition, so only events have the time of the scheduler's first attempt.
func (e Evidence) unscheduled(pod corev1.Pod) *blocker {
	held := &blocker{
		since: pod.CreationTimestamp.Time, grace: e.GracePeriods.Schedule,
		object: "Pod/" + pod.Name, reasons: []string{"FailedScheduling"},
	}
	condition := podCondition(pod, corev1.PodScheduled)
	switch {
	case gated(pod):
		return nil
	case waitsForVolume(pod) && condition == nil:
		held.failure = fail(v1alpha1.FailureSystemUnavailable,
			"Check the claims (kubectl describe pvc), or correct spec.workspace of the CustomAction and the volumes of its spec.jobTemplate",
			"the pod %s had no node for %s: its volume claims may not be bound (%s)%s",
			pod.Name, ShortDuration(held.grace), strings.Join(ClaimsOf(pod), ", "), e.aboutClaims(pod))
	case condition == nil:
		held.failure = fail(v1alpha1.FailureSystemUnavailable, "Correct schedulerName "+inTemplate+", or check the scheduler",
			"no scheduler handled the pod %s for %s (schedulerName %q)", pod.Name, ShortDuration(held.grace), pod.Spec.SchedulerName)
	default:
		held.since = latest(held.since, condition.LastTransitionTime.Time)
		held.failure = fail(v1alpha1.FailureSystemUnavailable,
			"Retry the action when the cluster has room, or correct resources.requests, nodeSelector, affinity, tolerations and volumes "+inTemplate+", or its spec.workspace",
			"the pod %s found no node for %s: %s%s", pod.Name, ShortDuration(held.grace), colon(condition.Reason, condition.Message), e.aboutClaims(pod))
	}
	return held
}

// gated reports whether a pod has scheduling gates.
func gated(pod corev1.Pod) bool {
	condition := podCondition(pod, corev1.PodScheduled)
	return len(pod.Spec.SchedulingGates) > 0 || (condition != nil && condition.Reason == corev1.PodReasonSchedulingGated)
}
