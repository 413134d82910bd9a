package diagnosis

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
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
