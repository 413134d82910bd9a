package pipelinejob

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// bounded limits how long the steps of an object that is being deleted may wait for AWS.
func (s state) bounded(next step, wait time.Duration) (step, time.Duration) {
	switch next {
	case stepAcknowledge, stepReport, stepReportProgress, stepRecordResult:
		since := latest(s.job.DeletionTimestamp.Time, s.failing[next])
		timeIsUp := s.fails(next) && s.now.Sub(since) >= deletionGracePeriod || s.waitsInSilence()
		if timeIsUp && !s.continuationMayCome() || s.fails(stepGiveUp) {
			return stepGiveUp, 0
		}
	case stepWait, stepNoteOverdue: // waiting for a continuation
		left := s.continuationDeadline().Sub(s.now)
		if left <= 0 {
			return stepGiveUp, 0
		}
		if next == stepWait {
			return stepWait, soonest(wait, left)
		}
	}
	return next, wait
}

// waitsInSilence reports whether an object that is being deleted has waited for its turn as
// long as it may, in a lane in which no call is answered.
func (s state) waitsInSilence() bool { return s.silentFor >= deletionGracePeriod && s.boundIn() <= 0 }

// boundIn returns how long the deletion of an object may still take.
func (s state) boundIn() time.Duration {
	return deletionGracePeriod - s.now.Sub(s.job.DeletionTimestamp.Time)
}

// lookAgainIn returns when to decide again on a step that waits for its turn. Zero: not before
// its turn.
func (s state) lookAgainIn() time.Duration {
	if !s.deleting() {
		return 0
	}
	if left := s.boundIn(); left > 0 {
		return left
	}
	return lastRetry
}

// fails reports whether a step failed when it was last taken.
func (s state) fails(taken step) bool {
	_, fails := s.failing[taken]
	return fails
}

// failsForLong reports whether a step has failed for deletionGracePeriod, for an object that
// is not being deleted.
func (s state) failsForLong(taken step) bool {
	since, fails := s.failing[taken]
	return fails && !s.deleting() && s.now.Sub(since) >= deletionGracePeriod
}

// continuationMayCome reports whether a continuation is awaited and not overdue.
func (s state) continuationMayCome() bool {
	return s.job.AwaitsContinuation() && s.now.Before(s.continuationDeadline())
}

// continuationDeadline returns until when an object that is being deleted waits for a
// continuation. A continuation after that would start the work again, so the object waits
// until the continuation is overdue.
func (s state) continuationDeadline() time.Time {
	until := latest(s.job.DeletionTimestamp.Time, s.leadingSince).Add(deletionGracePeriod)
	if since := s.job.Status.Protocol.ContinuedAt; since != nil {
		until = latest(until, since.Add(overdueAfter))
	}
	return until
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// soonest returns the shortest positive wait. Zero: there is none.
func soonest(waits ...time.Duration) (first time.Duration) {
	for _, wait := range waits {
		if wait > 0 && (first == 0 || wait < first) {
			first = wait
		}
	}
	return first
}

// overTimeIn returns how long it is until an action takes longer than CodePipeline allows. It
// is zero or less if the action already does, and the action is then no longer claimed either.
//
// The time counts from the first claim or, if there was none, from the last poll. The time of
// the poll is in the spec, which may be edited: if it is missing or in the future, the
// creation of the object counts. An answer that CodePipeline still waits takes precedence.
func (s state) overTimeIn() (left time.Duration, known bool) {
	since, polled := s.job.CreationTimestamp.Time, s.job.Spec.CodePipelineJob.PolledAt
	switch {
	case s.job.Status.AcknowledgedAt != nil:
		since = s.job.Status.AcknowledgedAt.Time
	case polled != nil && !polled.After(s.now):
		since = polled.Time
	}
	if since.IsZero() {
		return 0, false
	}
	until := since.Add(s.longest)
	if s.answered.waits && !s.job.AwaitsContinuation() { // another worker may have the awaited job
		until = latest(until, s.answered.at.Add(timeoutMargin))
	}
	return until.Sub(s.now), true
}

// overdueIn returns how long it is until a continuation is overdue. It is negative if that is
// to be reported now, and zero if it was reported.
func (s state) overdueIn() time.Duration {
	since := s.job.Status.Protocol.ContinuedAt
	if since == nil {
		return 0
	}
	if left := since.Add(overdueAfter).Sub(s.now); left > 0 {
		return left
	}
	told := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionReported)
	if told != nil && told.Reason == v1alpha1.ReasonContinuationOverdue {
		return 0
	}
	return -1
}
