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
