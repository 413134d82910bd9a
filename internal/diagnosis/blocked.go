package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// blocker is the reason why a run does not proceed.
type blocker struct {
	// since is the latest possible time of the beginning, according to the Job and its pods.
	since time.Time
	// grace is the grace period after which the run fails.
	grace time.Duration
	// object and reasons select events with a more precise time of the beginning.
	object  string
	reasons []string
	// failure is the failure of the run after the grace period, or nil if there is none.
	failure *Failure
}

// eventLife is how long a cluster keeps events by default (kube-apiserver --event-ttl). They can't
// measure a longer grace period.
const eventLife = time.Hour

// going returns the outcome of a run whose Job has not ended.
func (e Evidence) going() Outcome {
	outcome := e.held()
	if outcome.Ended() {
		return outcome
	}
	at := e.standing()
	outcome.Working, outcome.Waiting = at.working, at.waiting
	if at.look > 0 && (outcome.Recheck == 0 || at.look < outcome.Recheck) {
		outcome.Recheck = at.look
	}
	return outcome
}

// held returns the outcome of a run with a blocker, if any.
func (e Evidence) held() Outcome {
	held := e.blocker()
	if held == nil {
		return Outcome{}
	}
	if left := e.began(*held).Add(held.grace).Sub(e.Now); left > 0 {
		return Outcome{Recheck: left}
	}
	if held.failure == nil {
		return Outcome{Recheck: held.grace}
	}
	return Outcome{Failure: held.failure}
}

// began returns when a blocker began. The status of a waiting container has no time, and before the
// current reason, the pod may have pulled a large image without an error. Events may have the time.
func (e Evidence) began(held blocker) time.Time {
	if held.grace >= eventLife {
		return held.since
	}
	var first time.Time
	for _, event := range e.eventsOf(held.object, held.reasons...) {
		if event.Last.Before(held.since) {
			continue
		}
		start := event.First
		if start.IsZero() && event.Count <= 1 {
			start = event.Last
		}
		if start.IsZero() {
			return held.since
		}
		if first.IsZero() || start.Before(first) {
			first = start
		}
	}
	return latest(held.since, first)
}

func (e Evidence) eventsOf(object string, reasons ...string) []Event {
	var found []Event
	for _, event := range e.Events {
		if event.Object == object && slices.Contains(reasons, event.Reason) {
			found = append(found, event)
		}
	}
	return found
}

// newestEvent returns the newest event, or nil.
func (e Evidence) newestEvent(object string, reasons ...string) *Event {
	var newest *Event
	for _, event := range e.eventsOf(object, reasons...) {
		if newest == nil || event.Last.After(newest.Last) {
			newest = &event
		}
	}
	return newest
}

func latest(first time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if other.After(first) {
			first = other
		}
	}
	return first
}

// blocker returns why a run that has not ended does not proceed. It returns nil if the run
// proceeds, or if another controller is about to act.
func (e Evidence) blocker() *blocker {
	for _, pod := range e.Pods {
		if !terminal(pod) && pod.DeletionTimestamp != nil {
			return e.notEnding(pod)
		}
	}
	if noPodExpected(e.Job) {
		return nil
	}
	for _, pod := range e.Pods {
		switch {
		case terminal(pod):
			continue
		case disrupted(pod) != nil:
			return nil // it will be deleted soon
		default:
			return e.podBlocker(pod)
		}
	}
	return e.noPod()
}

// notEnding returns the blocker of a deleted pod that has not ended. Until it ends, the Job
// controller neither creates another pod nor ends the Job. That takes a report of the node, or a
// user who removes the node from the cluster.
func (e Evidence) notEnding(pod corev1.Pod) *blocker {
	held := &blocker{since: pod.DeletionTimestamp.Time, grace: e.GracePeriods.Node}
	if ending := jobCondition(e.Job, batchv1.JobFailureTarget); ending != nil && ending.Status == corev1.ConditionTrue {
		held.failure = e.failed(*ending)
	} else {
		held.failure = lossOf(pod).failure(pod)
	}
	addToFirstLine(held.failure, fmt.Sprintf(". The node %s has not reported for %s that the pod has ended: it may still be at work there",
		pod.Spec.NodeName, ShortDuration(held.grace)))
	return held
}

// noPodExpected reports whether no pod is expected, because the Job is suspended, about to end or
// being deleted. The condition of a resumed Job changes only after the Job controller has handled
// it.
func noPodExpected(job *batchv1.Job) bool {
	if job.DeletionTimestamp != nil || suspended(job) {
		return true
	}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuspended, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet} {
		if condition := jobCondition(job, kind); condition != nil && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func terminal(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// noPod returns the blocker of a Job without a pod.
func (e Evidence) noPod() *blocker {
	object := "Job/" + e.Job.Name
	held := &blocker{since: e.podDue(), grace: e.GracePeriods.Admission, object: object, reasons: []string{"FailedCreate"}}
	denied := e.denied()
	if denied == nil {
		return held
	}
	if created := e.newestEvent(object, "SuccessfulCreate"); created != nil {
		held.since = latest(held.since, created.Last)
	}
	message := denialMessage(denied)
	rule := denialOf(message)
	switch {
	case isQuota(message):
		held.grace = e.GracePeriods.Quota
	case rule.waits:
		held.grace = e.GracePeriods.Schedule
	}
	held.failure = fail(rule.kind, WayOut(message, e.template()), "the Job could not create a pod for %s: %s", ShortDuration(held.grace), message)
	return held
}

// denied returns the newest event in which the API server refused the pod. It returns nil if there
// is none, or if a pod was created since.
func (e Evidence) denied() *Event {
	object := "Job/" + e.Job.Name
	denied := e.newestEvent(object, "FailedCreate")
	if denied == nil || denied.Last.Before(e.podDue()) {
		return nil
	}
	if created := e.newestEvent(object, "SuccessfulCreate"); created != nil && !denied.Last.After(created.Last) {
		return nil
	}
	return denied
}

func denialMessage(denied *Event) string {
	message := strings.TrimPrefix(denied.Message, "(combined from similar events): ")
	return strings.TrimPrefix(message, "Error creating: ")
}

// podDue returns the time since which the Job could have had a new pod.
func (e Evidence) podDue() time.Time {
	due := e.Job.CreationTimestamp.Time
	if e.Job.Status.StartTime != nil {
		due = latest(due, e.Job.Status.StartTime.Time)
	}
	if resumed := jobCondition(e.Job, batchv1.JobSuspended); resumed != nil {
		due = latest(due, resumed.LastTransitionTime.Time)
	}
	for _, pod := range e.Pods {
		due = latest(due, pod.CreationTimestamp.Time)
		if disruption := disrupted(pod); disruption != nil {
			due = latest(due, disruption.LastTransitionTime.Time)
		}
		for _, status := range statusesOf(pod) {
			if ended := status.State.Terminated; ended != nil {
				due = latest(due, ended.FinishedAt.Time)
			}
		}
	}
	return due
}

// denial is a reason for which the API server refuses a pod.
type denial struct {
	// marks are texts that the message must all contain.
	marks []string
	kind  v1alpha1.FailureType
	// waits is true if the pod may be accepted when other pods end.
	waits  bool
	wayOut string
}

// exceededQuota is in the API server's message if a quota is used up.
const exceededQuota = "exceeded quota"

func isQuota(message string) bool { return strings.Contains(message, exceededQuota) }

// IsQuotaExceeded reports whether the API server refused to create an object because a
// quota of its namespace is used up.
func IsQuotaExceeded(err error) bool {
	return apierrors.IsForbidden(err) && isQuota(err.Error())
}

// IsUnfit reports whether the API server will always refuse an object, because it is invalid or too
// large.
func IsUnfit(err error) bool {
	return err != nil && !isDenial(err.Error()) && (apierrors.IsInvalid(err) || isTooLarge(err))
}

// isTooLarge reports whether an object is too large for the API server (3 MiB) or for etcd (1.5 MiB
// by default), whose errors have the status 500.
func isTooLarge(err error) bool {
	if apierrors.IsRequestEntityTooLargeError(err) {
		return true
	}
	text := err.Error()
	return apierrors.ReasonForError(err) != "" &&
		(strings.Contains(text, "etcdserver: request is too large") || strings.Contains(text, "trying to send message larger than max"))
}

// denials are tried in order, from specific to general.
var denials = []denial{
	{[]string{exceededQuota}, v1alpha1.FailureSystemUnavailable, true,
		"Retry the action when others have ended, have the quota raised, or lower resources.requests and limits " + inTemplate},
	{[]string{"failed quota"}, v1alpha1.FailureConfigurationError, false,
		"Set the resources that the quota requires on each step and sidecar " + inTemplate},
	{[]string{"violates PodSecurity"}, v1alpha1.FailurePermissionError, false,
		"Give the steps the securityContext that it requires " + inTemplate + ", or change the namespace's pod-security level"},
	{[]string{"admission webhook"}, v1alpha1.FailurePermissionError, false,
		"Correct what the policy refuses " + inTemplate + ", or have the policy changed"},
	{[]string{"serviceaccount", "not found"}, v1alpha1.FailureConfigurationError, false,
		"Create that service account, or correct serviceAccountName " + inTemplate},
	{[]string{"no PriorityClass"}, v1alpha1.FailureConfigurationError, false,
		"Create that priority class, or correct priorityClassName " + inTemplate},
	{[]string{"RuntimeClass", "not found"}, v1alpha1.FailureConfigurationError, false,
		"Create that runtime class, or correct runtimeClassName " + inTemplate},
	{[]string{"forbidden"}, v1alpha1.FailurePermissionError, false,
		"Correct what is refused " + inTemplate + ", or have the rule changed by those who run the cluster"},
	{[]string{"is invalid"}, v1alpha1.FailureConfigurationError, false,
		"Correct that field " + inTemplate},
	{nil, v1alpha1.FailureSystemUnavailable, true,
		"Retry the action; if it happens again, tell those who run the cluster"},
}

func denialOf(message string) denial {
	at := slices.IndexFunc(denials, func(d denial) bool {
		return !slices.ContainsFunc(d.marks, func(mark string) bool { return !strings.Contains(message, mark) })
	})
	return denials[at]
}

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
