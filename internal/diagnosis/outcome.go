// Package diagnosis determines the outcome of a run from a Kubernetes Job, its pods and their
// events: its result, why it failed, or how long it may stay blocked. Its functions are pure: they
// make no calls.
package diagnosis

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// Evidence has the objects of a run.
type Evidence struct {
	Job  *batchv1.Job
	Pods []corev1.Pod
	// Events of the Job and its pods, including deleted pods. Only required if NeedsEvents is true.
	Events []Event
	// Template is the complete spec of the Job's pods, because Job may be trimmed. Only required if
	// NeedsTemplate is true.
	Template *corev1.PodSpec
	Now      time.Time
	// GracePeriods limit how long a run may be blocked.
	GracePeriods GracePeriods
	// Secrets is true if the steps have secret values, which the kubelet may quote.
	Secrets bool
	// LogsStay is true if the output of some containers must not be shown.
	LogsStay bool
}

// Event is an event about an object from a component of the cluster.
type Event struct {
	// Object is KIND/NAME, such as Pod/build-1-1-x7k2p.
	Object          string
	Reason, Message string
	// First and Last are when it was first and last reported. First is zero if unknown.
	First, Last time.Time
	// Count is how often it was reported.
	Count int32
}

// GracePeriods are how long temporary failures may block a run before it fails.
type GracePeriods struct {
	// Image: an image can't be pulled. Registries may fail for a short time.
	Image time.Duration
	// Schedule: the pod fits on no node, or its node does not start it. Clusters may grow, and
	// other pods end.
	Schedule time.Duration
	// Quota: a quota is used up. It has room when other work ends, so this is not an error.
	Quota time.Duration
	// Start: a container can't be created, or a sidecar crashes before the steps
	// after it could start. A missing object may be created soon.
	Start time.Duration
	// Node: a deleted pod does not end, because its node does not respond. After a reboot of the
	// node, the Job gets another pod.
	Node time.Duration
	// Admission: the API server refuses the pod. Policies are rolled out gradually, and a service
	// account may be created a moment later.
	Admission time.Duration
	// Idle: no container runs in a started pod, and its status neither changes nor has a reason.
	// The kubelet may be restarting.
	Idle time.Duration
}

// DefaultGracePeriods apply if the CustomAction sets none. A run waits for a quota as long as
// CodePipeline waits for a custom action.
var DefaultGracePeriods = GracePeriods{
	Image:     2 * time.Minute,
	Schedule:  10 * time.Minute,
	Quota:     24 * time.Hour,
	Start:     2 * time.Minute,
	Node:      10 * time.Minute,
	Admission: time.Minute,
	Idle:      10 * time.Minute,
}

// Outcome is the outcome of a run. At most one of Result, Log and Failure is set, and none while
// the run continues.
type Outcome struct {
	// Result is the result of the run.
	Result *podcontract.RunResult
	// Log is where the result is in the log of the report container.
	Log *LogResult
	// Failure is why the run failed.
	Failure *Failure
	// Said has what the steps reported before the work was stopped or failed, or nil.
	Said *podcontract.Progress
	// Waiting is what the run waits for. It is nil while the run works, and while nothing takes
	// longer than usual.
	Waiting *Waiting
	// Working is set while a step or a wrapper container runs. If neither Waiting nor Working is
	// set, the run is between two states, and the last reported one remains the best answer.
	Working bool
	// Recheck is when to check again even if nothing changes, such as at the end of a grace period.
	// Zero means to wait for a change.
	Recheck time.Duration
}

// Ended reports whether the run is over.
func (o Outcome) Ended() bool { return o.Result != nil || o.Log != nil || o.Failure != nil }

// LogResult is a result that is too large for a termination message.
type LogResult struct {
	Pod     string
	Pointer podcontract.LogPointer
}

// Failure is why a run failed, in CodePipeline's terms. The first line of the message has what
// happened and what to do. The other lines are the last log lines of the step.
type Failure struct {
	Type    v1alpha1.FailureType
	Message string
	// Log is where to read the last log lines of the failed step, or nil if no step failed. The
	// lines in the pod's status may begin within a secret value.
	Log *StepLog
	// Printed is the log of a step or sidecar of which the message may have lines after its first.
	// Nil means that all lines are the operator's.
	Printed *StepLog
}

// StepLog is the log of a step or a sidecar.
type StepLog struct {
	Pod, Container string
	// Previous is set if the container was restarted since.
	Previous bool
}

// WithLog returns a failure's message with the step's last log lines after its first line, cut to
// CodePipeline's limit.
func WithLog(message, printed string) string {
	return bounded(withLog(&Failure{Message: message}, printed).Message)
}

// Observe returns the outcome of a run.
func Observe(e Evidence) Outcome {
	outcome := observe(e)
	outcome.Said = lastSaid(newestFirst(e.Pods))
	if outcome.Failure != nil {
		outcome.Failure.Message = bounded(outcome.Failure.Message)
	}
	return outcome
}

func observe(e Evidence) Outcome {
	e.Pods = newestFirst(e.Pods)
	end, kept := endOf(e.Job), keptFromEnding(e.Pods)
	// Once the report container has ended, later failures of the pod don't matter.
	if given := givenBack(e.Pods); given.Ended() && (end != nil || kept != nil || given.Failure == nil && failedAfter(e.Pods)) {
		return given
	}
	switch {
	case end == nil && kept != nil:
		return Outcome{Failure: explained(*kept)}
	case end == nil:
		return e.going()
	case end.Type == batchv1.JobComplete:
		return Outcome{Failure: fail(v1alpha1.FailureSystemUnavailable, "Retry the action",
			"the Job completed, but the pod that holds its result is gone")}
	default:
		return Outcome{Failure: e.failed(*end)}
	}
}

// NeedsEvents reports whether Observe needs events, because the Job and its pods don't explain the
// outcome, what the run waits for, or since when it is blocked. Events are not always read, because
// that takes another call for each check of each run.
func NeedsEvents(e Evidence) bool {
	e.Events, e.Pods = nil, newestFirst(e.Pods)
	if end := endOf(e.Job); end != nil {
		return end.Type == batchv1.JobFailed && len(e.Pods) == 0 || end.Reason == batchv1.JobReasonDeadlineExceeded && !anyAtWork(e.Pods)
	}
	if held := e.blocker(); held != nil && !e.Now.Before(held.since.Add(held.grace)) {
		return held.grace > 0 // otherwise the run ends immediately
	}
	return e.standing().events
}

// Finished reports whether a Job has ended, so that none of its pods is at work.
func Finished(job *batchv1.Job) bool { return endOf(job) != nil }

// endOf returns the condition with which the Job ended, or nil. FailureTarget and
// SuccessCriteriaMet don't count, because pods may still be at work.
func endOf(job *batchv1.Job) *batchv1.JobCondition {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if condition := jobCondition(job, kind); condition != nil && condition.Status == corev1.ConditionTrue {
			return condition
		}
	}
	return nil
}

func jobCondition(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if job.Status.Conditions[i].Type == kind {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

func newestFirst(pods []corev1.Pod) []corev1.Pod {
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// givenBack returns the outcome of a run whose report container has succeeded, or the zero value. A
// kubelet may have started that container after a step that ran out of memory and exited with 0,
// which counts as a failed step.
func givenBack(pods []corev1.Pod) Outcome {
	for _, pod := range pods {
		ended := reportOf(pod)
		if ended == nil || ended.ExitCode != 0 {
			continue
		}
		if outOfMemoryStep(pod) != nil {
			return Outcome{Failure: explained(pod)}
		}
		envelope, err := podcontract.ParseEnvelope(ended.Message)
		switch {
		case err != nil:
			return Outcome{Failure: fail(v1alpha1.FailureSystemUnavailable, "Retry the action",
				"the result of the pod %s can't be read: %v", pod.Name, err)}
		case envelope.Log != nil:
			return Outcome{Log: &LogResult{Pod: pod.Name, Pointer: *envelope.Log}}
		case envelope.Result != nil:
			return Outcome{Result: envelope.Result}
		default:
			return Outcome{Failure: fail(v1alpha1.FailureSystemUnavailable, "Retry the action", "the pod %s ended without a result", pod.Name)}
		}
	}
	return Outcome{}
}

// lastSaid returns the last report of the steps, from the newest pod whose progress container has
// ended at least once.
func lastSaid(pods []corev1.Pod) *podcontract.Progress {
	for _, pod := range pods {
		for _, status := range pod.Status.InitContainerStatuses {
			ended := status.State.Terminated
			if status.Name != podcontract.ContainerProgress || ended == nil {
				continue
			}
			// The envelope is empty if the steps reported nothing.
			if envelope, err := podcontract.ParseEnvelope(ended.Message); err == nil && envelope.Progress != nil {
				return envelope.Progress
			}
		}
	}
	return nil
}

// reportOf returns how the report container of a pod ended, or nil.
func reportOf(pod corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == podcontract.ContainerReport {
			return status.State.Terminated
		}
	}
	return nil
}

// keptFromEnding returns the pod whose report container has ended, while a container that a webhook
// has added keeps the pod and the Job from ending. It returns nil if there is none.
func keptFromEnding(pods []corev1.Pod) *corev1.Pod {
	at := slices.IndexFunc(pods, func(pod corev1.Pod) bool {
		return reportOf(pod) != nil && slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
			return s.Name != podcontract.ContainerReport && s.State.Terminated == nil
		})
	})
	if at < 0 {
		return nil
	}
	return &pods[at]
}

// failedAfter reports whether a pod has failed although its report container has succeeded, so that
// the Job would do the work again.
func failedAfter(pods []corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
		ended := reportOf(pod)
		return pod.Status.Phase == corev1.PodFailed && ended != nil && ended.ExitCode == 0
	})
}

// WithSummary returns a failure's message with the steps' summary as its first line, cut to
// CodePipeline's limit.
func WithSummary(message, summary string) string {
	summary = limits.Cut(strings.Join(strings.Fields(plaintext.Of(summary)), " "), limits.FailureSummary)
	if summary == "" {
		return message
	}
	return summary + "\n" + within(message, limits.FailureMessage-1-utf8.RuneCountInString(summary))
}

// bounded cuts a message to CodePipeline's limit.
func bounded(message string) string { return within(message, limits.FailureMessage) }

// within cuts a message to a limit. It keeps the last log lines of a step, which usually have the
// error.
func within(message string, limit int) string {
	head, log, found := strings.Cut(strings.ToValidUTF8(message, "\uFFFD"), "\n")
	if !found {
		return limits.CutMiddle(head, limit)
	}
	head = limits.CutMiddle(head, max(limit/2, limit-1-utf8.RuneCountInString(log)))
	return head + "\n" + limits.CutFront(log, limit-1-utf8.RuneCountInString(head))
}
