package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// inTemplate is where users change a step.
const inTemplate = "in spec.jobTemplate of the CustomAction"

// inRunner is where users change the resources of a wrapper container.
const inRunner = "in spec.runner.resources of the CustomAction or, for all of them, by the operator's flag --runner-resources"

// Reasons that the kubelet or the runtime sets for containers.
const (
	reasonOOMKilled          = "OOMKilled"
	reasonStartError         = "StartError"
	reasonContainerCannotRun = "ContainerCannotRun"
	reasonStatusUnknown      = "ContainerStatusUnknown"
)

// fail returns a failure with a message of one line: what happened and what to do. What happened
// may be the message of another program.
func fail(kind v1alpha1.FailureType, wayOut, format string, args ...any) *Failure {
	what := strings.TrimRight(plaintext.Of(fmt.Sprintf(format, args...)), " .\n")
	return &Failure{Type: kind, Message: strings.ReplaceAll(what, "\n", " ") + ". " + wayOut}
}

// withLog appends a container's last log lines to a failure's message.
func withLog(failure *Failure, printed string) *Failure {
	// The kubelet may cut the log within a character.
	printed = strings.TrimSpace(plaintext.Of(strings.TrimLeft(printed, "\uFFFD")))
	if printed != "" {
		failure.Message += "\n" + printed
	}
	return failure
}

// colon joins a reason and its message, either of which may be missing.
func colon(reason, message string) string {
	message = strings.TrimSpace(message)
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// failed explains a failed Job by the newest pod with a reason, or by the Job's condition if there
// is none.
func (e Evidence) failed(end batchv1.JobCondition) *Failure {
	if end.Reason == batchv1.JobReasonDeadlineExceeded {
		return e.overdue()
	}
	for _, pod := range e.Pods {
		failure := explained(pod)
		if failure == nil {
			continue
		}
		if end.Reason == batchv1.JobReasonPodFailurePolicy {
			addToFirstLine(failure, fmt.Sprintf(" (final by the template's podFailurePolicy: %s)", end.Message))
		}
		return failure
	}
	what := "the Job failed: " + colon(end.Reason, end.Message)
	switch {
	case end.Reason == batchv1.JobReasonPodFailurePolicy:
		return fail(v1alpha1.FailureJobFailed, "Correct what the rule is about, or the rule, "+inTemplate, "%s", what)
	case len(e.Pods) == 0 && end.Reason == batchv1.JobReasonBackoffLimitExceeded:
		return e.podGone(what)
	case len(e.Pods) == 0:
		return fail(v1alpha1.FailureSystemUnavailable, "Retry the action", "%s, and no pod has more information", what)
	default:
		pod := e.Pods[0]
		return fail(v1alpha1.FailureJobFailed, fmt.Sprintf("More about its pod: kubectl describe pod%s %s", inNamespace(pod), pod.Name), "%s", what)
	}
}

// podGone explains a Job that failed because its pod was deleted, for example by a user. Only the
// pod's events are left.
func (e Evidence) podGone(what string) *Failure {
	when := "before the operator could read how it ended"
	if name := e.killed(); name != "" {
		when = "in " + displayName(e.Job.Spec.Template.Spec, name)
	}
	return fail(v1alpha1.FailureSystemUnavailable, "Retry the action",
		"the pod of Job %s was deleted %s, neither by the operator nor because it ran out of time (%s)", e.Job.Name, when, what)
}

func addToFirstLine(failure *Failure, text string) {
	head, log, _ := strings.Cut(failure.Message, "\n")
	failure.Message = head + text
	withLog(failure, log)
}

// overdue explains a Job that exceeded its deadline. The Job controller deletes the pod first, so
// only the pod's events may have details.
func (e Evidence) overdue() *Failure {
	limit := ""
	if seconds := e.Job.Spec.ActiveDeadlineSeconds; seconds != nil {
		limit = fmt.Sprintf(" (%s)", ShortDuration(time.Duration(*seconds)*time.Second))
	}
	if denied := e.denied(); denied != nil {
		message := denialMessage(denied)
		rule := denialOf(message)
		return fail(rule.kind, rule.wayOut, "the run took longer than spec.timeout%s allows and was stopped before it had a pod: %s", limit, message)
	}
	where, last := e.stoppedAt()
	failure := fail(v1alpha1.FailureJobFailed, "Raise spec.timeout of the CustomAction, or make the work shorter",
		"the run took longer than spec.timeout%s allows and was stopped%s", limit, where)
	if last == nil {
		return failure
	}
	return withLogOf(last.pod, last.step, failure)
}

// endedStep is an ended step and its pod.
type endedStep struct {
	pod  corev1.Pod
	step corev1.ContainerStatus
}

// stoppedAt returns where in its work a run was stopped, and the step if its status has the last
// log lines.
func (e Evidence) stoppedAt() (where string, last *endedStep) {
	for _, pod := range stopped(e.Pods) {
		if status := atWork(pod); status != nil {
			if ended := status.State.Terminated; ended != nil && ended.Message != "" {
				last = &endedStep{pod, *status}
			}
			return " in " + nameIn(pod, status.Name), last
		}
		if where := waitReason(pod); where != "" {
			return where, nil
		}
	}
	if name := e.killed(); name != "" {
		return " in " + displayName(e.Job.Spec.Template.Spec, name), nil
	}
	return "", nil
}

// stopped returns the pods that the Job controller stopped or is about to stop. Pods that failed on
// their own were earlier attempts.
func stopped(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		return terminal(pod) && pod.DeletionTimestamp == nil
	})
}

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

// waitReason returns what a pod waits for while none of its steps runs, or an empty string if its
// status does not have it.
func waitReason(pod corev1.Pod) string {
	for _, status := range statusesOf(pod) {
		if waiting := status.State.Waiting; waiting != nil {
			return fmt.Sprintf(" before %s started: %s", nameIn(pod, status.Name), colon(waiting.Reason, waiting.Message))
		}
	}
	if condition := podCondition(pod, corev1.PodScheduled); condition != nil && condition.Status != corev1.ConditionTrue {
		return " before its pod found a node: " + colon(condition.Reason, condition.Message)
	}
	return ""
}

// killed returns the name of the step that the kubelet stopped, according to its event.
func (e Evidence) killed() string {
	spec := e.Job.Spec.Template.Spec
	name, last := "", time.Time{}
	for _, event := range e.Events {
		container, is := strings.CutPrefix(event.Message, "Stopping container ")
		if !is || event.Reason != "Killing" || !strings.HasPrefix(event.Object, "Pod/"+e.Job.Name+"-") {
			continue
		}
		if !isSidecar(spec, container) && !event.Last.Before(last) {
			name, last = container, event.Last
		}
	}
	return name
}

// explained returns why a pod's work failed, or nil if the pod does not have the reason. The status
// of a container counts only if it ended before the pod was lost, because afterwards it was
// stopped.
func explained(pod corev1.Pod) *Failure {
	status, gone := badEnd(pod), lossOf(pod)
	if gone != nil && (status == nil || !endedBefore(status.State.Terminated, gone.since)) {
		return gone.failure(pod)
	}
	switch {
	case status == nil:
		return nil
	case podcontract.IsWrapper(status.Name):
		return wrapperFailure(pod, *status)
	default:
		return stepFailure(pod, *status)
	}
}

func endedBefore(ended *corev1.ContainerStateTerminated, since time.Time) bool {
	return !ended.FinishedAt.IsZero() && ended.FinishedAt.Time.Before(since)
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

// wrapperFailure returns the failure that a wrapper container wrote.
func wrapperFailure(pod corev1.Pod, status corev1.ContainerStatus) *Failure {
	ended := status.State.Terminated
	envelope, err := podcontract.ParseEnvelope(ended.Message)
	if err == nil && envelope.Failure != nil {
		return &Failure{Type: v1alpha1.FailureType(envelope.Failure.Type), Message: plaintext.Of(envelope.Failure.Message)}
	}
	what, wayOut := ending(ended), "Retry the action; if it happens again, tell the operator's administrators"
	if ended.Reason == reasonOOMKilled {
		why, _ := outOfMemory(pod, status)
		what, wayOut = what+": "+why, "Raise the memory limit "+inRunner
	}
	failure := fail(v1alpha1.FailureSystemUnavailable, wayOut,
		"the container %s ended without a message: %s", status.Name, what)
	return withLog(failure, ended.Message)
}

func stepFailure(pod corev1.Pod, status corev1.ContainerStatus) *Failure {
	ended := status.State.Terminated
	what := fmt.Sprintf("step %q failed: %s", status.Name, ending(ended))
	switch ended.Reason {
	case reasonStartError, reasonContainerCannotRun:
		return fail(v1alpha1.FailureConfigurationError, "Correct its image, command and workingDir "+inTemplate,
			"%s: it could not be started: %s", what, strings.TrimSpace(ended.Message))
	case reasonStatusUnknown:
		return fail(v1alpha1.FailureSystemUnavailable, "Retry the action",
			"%s: its node %s lost track of it: %s", what, pod.Spec.NodeName, strings.TrimSpace(ended.Message))
	case reasonOOMKilled:
		why, wayOut := outOfMemory(pod, status)
		wayOut = fmt.Sprintf("%s %s, or make the step use less. %s", wayOut, inTemplate, wholeLog(pod, status.Name))
		return withLogOf(pod, status, fail(v1alpha1.FailureJobFailed, wayOut, "%s: %s", what, why))
	default:
		return withLogOf(pod, status, fail(v1alpha1.FailureJobFailed, wholeLog(pod, status.Name), "%s", what))
	}
}

// withLogOf is withLog for an ended step. It also sets where the whole log is: the status may have
// no lines, or begin within a secret value.
func withLogOf(pod corev1.Pod, step corev1.ContainerStatus, failure *Failure) *Failure {
	failure.Log = &StepLog{Pod: pod.Name, Container: step.Name}
	failure.Printed = failure.Log
	return withLog(failure, step.State.Terminated.Message)
}

// outOfMemory returns which limit a container exceeded and what to do.
func outOfMemory(pod corev1.Pod, status corev1.ContainerStatus) (why, wayOut string) {
	if limit := memoryLimit(pod, status); limit != "" {
		return "it needed more memory than its limit, " + limit, "Raise its resources.limits.memory"
	}
	if pod.Spec.Resources != nil && !pod.Spec.Resources.Limits.Memory().IsZero() {
		return fmt.Sprintf("its pod needed more memory than its limit, %s", pod.Spec.Resources.Limits.Memory()),
			"Raise the resources.limits.memory of the pod"
	}
	return "it has no memory limit, and its node ran out of memory", "Reserve what it needs by its resources.requests.memory"
}

// memoryLimit returns the memory limit of a container. It may have changed since the pod was
// created.
func memoryLimit(pod corev1.Pod, status corev1.ContainerStatus) string {
	if status.Resources != nil && !status.Resources.Limits.Memory().IsZero() {
		return status.Resources.Limits.Memory().String()
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if container.Name == status.Name && !container.Resources.Limits.Memory().IsZero() {
			return container.Resources.Limits.Memory().String()
		}
	}
	return ""
}

func wholeLog(pod corev1.Pod, container string) string {
	return fmt.Sprintf("The whole log: kubectl logs%s %s -c %s", inNamespace(pod), pod.Name, container)
}

func inNamespace(pod corev1.Pod) string {
	if pod.Namespace == "" {
		return ""
	}
	return " -n " + pod.Namespace
}

// signals has the names of signals that end programs.
var signals = map[int32]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
}

// ending returns an exit code or signal, with its meaning and the reason if they add information.
func ending(ended *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("exit code %d", ended.ExitCode)
	if ended.Signal != 0 {
		text = fmt.Sprintf("signal %d", ended.Signal)
	}
	if meaning := meaningOf(ended); meaning != "" {
		text += " (" + meaning + ")"
	}
	return text
}

func meaningOf(ended *corev1.ContainerStateTerminated) string {
	if ended.Reason != "" && ended.Reason != "Error" {
		return ended.Reason
	}
	if name := signals[ended.Signal]; name != "" {
		return name
	}
	// The conventions of shells and container runtimes.
	switch ended.ExitCode {
	case 126:
		return "a command could not be executed"
	case 127:
		return "a command was not found"
	case 137:
		return "killed by SIGKILL, as happens when memory runs out"
	}
	if name := signals[ended.ExitCode-128]; name != "" {
		return "killed by " + name
	}
	return ""
}

// loss is the removal of a working pod.
type loss struct {
	reason, message string
	// since is when it was removed. It is zero if the reason is that of the failed pod itself,
	// which a pod with a failed step does not have.
	since time.Time
}

func lossOf(pod corev1.Pod) *loss {
	disruption := disrupted(pod)
	switch {
	case pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "":
		gone := &loss{reason: pod.Status.Reason, message: pod.Status.Message}
		if gone.message == "" && disruption != nil {
			gone.message = disruption.Message
		}
		return gone
	case disruption != nil:
		return &loss{disruption.Reason, disruption.Message, disruption.LastTransitionTime.Time}
	case pod.DeletionTimestamp != nil:
		gone := &loss{reason: "Deleted", message: "it was deleted while it worked", since: pod.DeletionTimestamp.Time}
		if pod.DeletionGracePeriodSeconds != nil {
			gone.since = gone.since.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
		}
		return gone
	default:
		return nil
	}
}

// disrupted returns the condition of a pod that the cluster removes because it was drained,
// preempted or evicted, or because its node is gone.
func disrupted(pod corev1.Pod) *corev1.PodCondition {
	if condition := podCondition(pod, corev1.DisruptionTarget); condition != nil && condition.Status == corev1.ConditionTrue {
		return condition
	}
	return nil
}

// refusals are the reasons for which the kubelet refuses a pod because of its spec, so that another
// attempt would fail as well.
var refusals = []string{
	"AppArmor", "PodLevelResourcesNotSupported", "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch",
	"SupplementalGroupsPolicyNotSupported", "SysctlForbidden",
}

func (l loss) failure(pod corev1.Pod) *Failure {
	where := ""
	if pod.Spec.NodeName != "" {
		where = " on node " + pod.Spec.NodeName
	}
	while := ""
	if status := atWork(pod); status != nil {
		while = " in " + nameIn(pod, status.Name)
	}
	why := colon(l.reason, l.message)
	switch {
	case l.reason == "DeadlineExceeded":
		return fail(v1alpha1.FailureJobFailed, "Raise it "+inTemplate+", or leave it out and set spec.timeout",
			"the pod %s took longer than activeDeadlineSeconds of its template allows and was stopped%s: %s", pod.Name, while, why)
	case slices.Contains(refusals, l.reason):
		return fail(v1alpha1.FailureConfigurationError, "Correct the requests of the pod "+inTemplate,
			"the pod %s was refused%s: %s", pod.Name, where, why)
	default:
		return fail(v1alpha1.FailureSystemUnavailable, l.wayOut(), "the pod %s was lost%s%s: %s", pod.Name, where, while, why)
	}
}

func (l loss) wayOut() string {
	exceeded := strings.Contains(l.message, "exceeds the") || strings.Contains(l.message, "exceeded its")
	switch {
	case l.reason == "Evicted" && strings.Contains(l.message, `volume "`+podcontract.SharedVolume+`" exceeds the`):
		return "It is the workspace, /codepipeline: raise spec.workspace.sizeLimit of the CustomAction, give it a volume of its own by " +
			"spec.workspace.volumeClaimTemplate, or make the steps write less. Without spec.workspace, the limit is the operator's --workspace-size-limit"
	case l.reason == "Evicted" && exceeded && strings.Contains(l.message, "ontainer "+podcontract.ContainerPrefix):
		return "Raise the limit of ephemeral-storage " + inRunner
	case l.reason == "Evicted" && exceeded:
		return "Raise that limit (resources.limits.ephemeral-storage, or sizeLimit of the volume) " + inTemplate + ", or make the steps write less"
	case strings.Contains(l.message, "low on resource"):
		return "Retry the action; resources.requests " + inTemplate + " reserve what the steps need"
	default:
		return "Retry the action"
	}
}

// ShortDuration formats a duration without zero units at its end: 10m, not 10m0s.
func ShortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
