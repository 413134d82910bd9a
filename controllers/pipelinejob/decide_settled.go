package pipelinejob

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// mayAsk reports whether CodePipeline can be asked about an action that takes long: it was
// claimed, no continuation is awaited, and the last answer was not that the action is unknown.
// Calls that fail are retried for a while.
func (s state) mayAsk() bool {
	of := s.job.Spec.Pipeline
	if s.deleting() || s.job.AwaitsContinuation() || s.job.Status.AcknowledgedAt == nil || of.ExecutionID == "" || of.ActionExecutionID == "" {
		return false
	}
	if (s.answered.unknown || s.answered.over) && s.now.Sub(s.answered.at) < timeoutMargin {
		return false
	}
	since, fails := s.failing[stepAskExecution]
	return !fails || s.now.Sub(since) < timeoutMargin
}

// mustAskOfUnconfirmed reports whether to ask CodePipeline about an action whose claim it did
// not confirm and whose last progress it did not accept: the execution may have been stopped.
// The rounds of Executions would show that, but may be disabled.
func (s state) mustAskOfUnconfirmed() bool {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionReported)
	if !s.job.Status.Protocol.ClaimUnconfirmed || said == nil || said.Reason != v1alpha1.ReasonClaimUnconfirmed || !s.mayAsk() {
		return false
	}
	tried := s.recordedProgress()
	return tried != nil && tried.After(s.answered.at) && s.now.Sub(s.answered.at) >= askAgainAfter
}

// settled decides on the cleanup after a job that CodePipeline no longer waits for.
func (s state) settled() (step, time.Duration) {
	if s.mustStopRun() && !s.failsForLong(stepStopRun) {
		return stepStopRun, 0
	}
	if s.mustDropSecret() && !s.failsForLong(stepDropSecret) {
		return stepDropSecret, 0
	}
	if s.deleting() {
		if left := s.handOutMayComeIn(); left > 0 {
			return stepWait, left
		}
		return stepRelease, 0
	}
	left, expires := s.expiresIn()
	switch {
	case expires && left <= 0:
		return stepExpire, 0
	case s.mustStopRun(): // retried, because the policy that refuses it may change
		return stepStopRun, 0
	case s.mustDropSecret():
		return stepDropSecret, 0
	default:
		return stepWait, soonest(left, s.lingersFor())
	}
}

// expiresIn returns how long a settled job is kept. It reports false if the job is kept
// forever.
func (s state) expiresIn() (left time.Duration, expires bool) {
	if s.ttl == nil {
		return 0, false
	}
	ttl := *s.ttl
	if s.job.Status.Protocol.ClaimUnconfirmed { // without the object, a new hand-out would start the work again
		ttl = max(ttl, s.longest)
	}
	return s.job.Status.ReportedAt.Add(ttl).Sub(s.now), true
}

// handOutMayComeIn returns how long an object that is being deleted is kept in case
// CodePipeline hands its job out again. That may happen if the claim only seemed to have its
// effect and no report was confirmed. The job is then claimed and failed as cancelled; without
// the object, the cancelled work would start again. The time before this operator became the
// leader does not count, because without a leader nothing is polled.
func (s state) handOutMayComeIn() time.Duration {
	if !s.job.Status.Protocol.ClaimUnconfirmed {
		return 0
	}
	since := s.job.Status.ReportedAt.Time
	if s.job.DeletionTimestamp.Time.Before(since) {
		since = s.job.DeletionTimestamp.Time
	}
	return latest(since, s.leadingSince).Add(deletionGracePeriod).Sub(s.now)
}

// handOutMayStillCome reports whether CodePipeline may hand out the job of a settled object
// again, as far as is known: it confirmed nothing, and the action has not timed out.
func (s state) handOutMayStillCome() bool {
	claimed := s.job.Status.AcknowledgedAt
	return s.job.Status.Protocol.ClaimUnconfirmed && claimed != nil && s.now.Sub(claimed.Time) < s.longest
}

// awaitingContinuation decides while a continuation is awaited. That keeps even an object that
// is being deleted: the next job must be failed, because it would start the work again. A run
// whose progress was reported continues in the meantime.
func (s state) awaitingContinuation() (step, time.Duration) {
	if s.job.Status.RunGoesOn() {
		if end := s.endOfRun(); end != "" {
			return end, 0
		}
		if s.deleting() {
			return stepCancel, 0
		}
		if s.mustNoteRunning() {
			return stepNoteRunning, 0
		}
	} else {
		if s.mustStopRun() {
			return stepStopRun, 0
		}
		if s.mustDropSecret() {
			return stepDropSecret, 0
		}
	}
	overdueIn := s.overdueIn()
	if overdueIn < 0 {
		return stepNoteOverdue, 0
	}
	return stepWait, soonest(s.recheck, overdueIn, s.lingersFor())
}

// isLeft reports whether a deletion that fails is left to the garbage collector, which keeps
// trying after the object is gone: a webhook may refuse the deletion forever.
func (s state) isLeft(deletion step) bool {
	return s.deleting() && s.fails(deletion) && s.boundIn() <= 0
}
