package pipelinejob

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// step is the next thing to do for a PipelineJob. Each step has at most one external effect,
// which is recorded before the next step is decided.
type step string

const (
	// stepAcknowledge claims spec.codePipelineJob.
	stepAcknowledge step = "Acknowledge"
	// stepPlanRun records the number and name of the next run.
	stepPlanRun step = "PlanRun"
	// stepRenewSecret writes the Secret from a fresh GetJobDetails.
	stepRenewSecret step = "RenewSecret"
	// stepCreateJob creates the Kubernetes Job of the recorded run.
	stepCreateJob step = "CreateJob"
	// stepNoteRunning records that the run's pod is running, or what it waits for.
	stepNoteRunning step = "NoteRunning"
	// stepReadProgress reads the progress that the steps report, and records it if it is new.
	stepReadProgress step = "ReadProgress"
	// stepSaveProgress records the last progress of a pod that is being deleted, while it can
	// still be read.
	stepSaveProgress step = "SaveProgress"
	// stepReportProgress reports recorded progress to CodePipeline.
	stepReportProgress step = "ReportProgress"
	// stepAskExecution asks CodePipeline whether it still waits for an action that takes longer
	// than it should.
	stepAskExecution step = "AskExecution"
	// stepRecordClosed records that CodePipeline no longer waits for the job.
	stepRecordClosed step = "RecordClosed"
	// stepNoteOverdue records and publishes that a continuation is overdue.
	stepNoteOverdue step = "NoteOverdue"
	// stepRecordResult records the end of the run.
	stepRecordResult step = "RecordResult"
	// stepRecordLost records that the Kubernetes Job was deleted, and not by the operator.
	stepRecordLost step = "RecordLost"
	// stepCancel records the work as cancelled, because the PipelineJob is being deleted.
	stepCancel step = "Cancel"
	// stepStopRun deletes the Kubernetes Job of a run whose work was cancelled.
	stepStopRun step = "StopRun"
	// stepReport reports the recorded result to CodePipeline.
	stepReport step = "Report"
	// stepDropSecret deletes the Secret, which is no longer needed.
	stepDropSecret step = "DropSecret"
	// stepExpire deletes the PipelineJob, because its time to live is over.
	stepExpire step = "Expire"
	// stepGiveUp settles a PipelineJob that is being deleted while AWS can't be reached, and
	// records what was not reported to CodePipeline.
	stepGiveUp step = "GiveUp"
	// stepRelease removes the finalizer of a PipelineJob that is being deleted.
	stepRelease step = "Release"
	// stepWait does nothing until something changes or a wait is over.
	stepWait step = "Wait"
)

// DefaultRenewal is the age at which credentials are renewed. They are valid for about 15
// minutes, and the kubelet takes up to two minutes to update a Secret in a pod.
const DefaultRenewal = 5 * time.Minute

const (
	// DefaultActionTimeout is how long CodePipeline waits for a custom action, from "Quotas in
	// AWS CodePipeline" in its user guide. The quota can be raised. Whether a continuation
	// restarts the time is not documented.
	DefaultActionTimeout = 24 * time.Hour
	// timeoutMargin is how long after the action timeout the operator asks CodePipeline whether it
	// still waits. It is also how long an answer counts.
	timeoutMargin = time.Hour
	// askAgainAfter is the shortest time between two calls that ask whether CodePipeline still
	// waits for an action whose progress it does not accept.
	askAgainAfter = time.Minute
	// overdueAfter is how long a continuation may take before the operator reports it as overdue.
	overdueAfter = 15 * time.Minute
	// lingeringGracePeriod is how long the pod of a run may continue after it gave its result.
	// Deleting the pod deletes its logs, and a container that a webhook added may end by itself
	// soon.
	lingeringGracePeriod = 30 * time.Second
	// deletionGracePeriod is how long calls to AWS may fail before the operator gives up an
	// object that is being deleted, because its namespace waits for it.
	deletionGracePeriod = 5 * time.Minute
)

// state is everything that a decision about a PipelineJob depends on.
type state struct {
	job *v1alpha1.PipelineJob
	// run is the Kubernetes Job of status.run. It is nil if there is none.
	run *batchv1.Job
	// pods are the pods of run.
	pods []corev1.Pod
	// identity is the identity with which calls for the job are made. It is the zero value if the
	// job has no access.
	identity codepipeline.Identity
	// account is the CodePipelineAccount that the job names. It is nil if there is none.
	account *v1alpha1.CodePipelineAccount
	// logRule is the rule for the last log lines of a failed step.
	logRule logRule
	// outcome is the diagnosis of run.
	outcome diagnosis.Outcome
	// ttl is how long a settled job is kept. Nil: forever.
	ttl *time.Duration
	// gracePeriods are how long the run may be blocked.
	gracePeriods diagnosis.GracePeriods
	// closed is why CodePipeline no longer waits for the job. It is empty if CodePipeline waits.
	closed string
	// recheck is when to decide again without a change. Zero: never.
	recheck time.Duration
	// renewal is the age at which credentials are renewed. Zero: DefaultRenewal.
	renewal time.Duration
	// progressEvery is the interval of spec.progress. Zero: progress is not reported.
	progressEvery time.Duration
	// progressRead is when the progress was last read.
	progressRead time.Time
	// failing has the steps that failed when they were last taken, and since when. It is empty
	// after the operator starts.
	failing map[step]time.Time
	// longest is how long an action may take before the operator asks CodePipeline whether it
	// still waits for it.
	longest time.Duration
	// answered is CodePipeline's last answer about the action execution.
	answered lastStatus
	// silentFor is how long no call in the lane of the job's account and region has been
	// answered.
	silentFor time.Duration
	// leadingSince is when this operator started to take steps.
	leadingSince time.Time
	now          time.Time
}

// decide returns the next step and, if that is stepWait, how long to wait. Zero: until
// something changes.
func decide(s state) (step, time.Duration) {
	if s.job.Settled() {
		return s.settled()
	}
	next, wait := s.unsettled()
	if s.deleting() {
		return s.bounded(next, wait)
	}
	return next, wait
}

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

func (s state) unsettled() (step, time.Duration) {
	overTimeIn, bounded := s.overTimeIn()
	if !bounded || overTimeIn > 0 || s.answered.over && s.now.Sub(s.answered.at) < timeoutMargin {
		next, wait := s.ongoing()
		if next == stepWait {
			wait = soonest(wait, overTimeIn)
		}
		return next, wait
	}
	if s.mayAsk() {
		return stepAskExecution, 0
	}
	return stepRecordClosed, 0
}

// ongoing decides for an action that CodePipeline may still wait for.
func (s state) ongoing() (step, time.Duration) {
	if s.mustAcknowledge() {
		if s.deleting() && !s.maybeOurs() {
			return stepRelease, 0 // CodePipeline will hand the job out again
		}
		return stepAcknowledge, 0
	}
	if s.isClosed() {
		return stepRecordClosed, 0
	}
	if s.job.AwaitsContinuation() {
		return s.awaitingContinuation()
	}
	if s.mustReportProgress() {
		return stepReportProgress, 0
	}
	if s.hasResult() {
		if s.mustStopRun() && !s.failsForLong(stepStopRun) {
			return stepStopRun, 0
		}
		return stepReport, 0 // even if a policy refuses to delete the Job
	}
	if s.deleting() {
		return stepCancel, 0
	}
	return s.working()
}

// working decides while the result is not known yet.
func (s state) working() (step, time.Duration) {
	run := s.job.Status.Run
	if run == nil {
		return stepPlanRun, 0
	}
	if run.FinishedAt != nil {
		if s.mustStopRun() || s.lingersFor() > 0 {
			return stepStopRun, 0 // two runs must never overlap
		}
		return stepPlanRun, 0
	}
	needsSecret, renewIn := s.secretDue()
	if run.JobUID == "" {
		if needsSecret && renewIn <= 0 {
			return stepRenewSecret, 0
		}
		return stepCreateJob, 0
	}
	if end := s.endOfRun(); end != "" {
		return end, 0
	}
	if s.mustSaveProgress() {
		return stepSaveProgress, 0
	}
	if needsSecret && renewIn <= 0 {
		return stepRenewSecret, 0
	}
	if s.mustNoteRunning() {
		return stepNoteRunning, 0
	}
	progressIn := s.progressDue()
	if s.progressEvery > 0 && progressIn <= 0 {
		return stepReadProgress, 0
	}
	if s.mustAskOfUnconfirmed() {
		return stepAskExecution, 0 // last, so that a call that fails delays nothing else
	}
	return stepWait, soonest(s.recheck, renewIn, progressIn)
}

// endOfRun returns the step for the end of a run. It is empty if the run has not ended.
func (s state) endOfRun() step {
	switch {
	case s.outcome.Ended():
		return stepRecordResult
	case s.run == nil || s.run.DeletionTimestamp != nil:
		return stepRecordLost
	default:
		return ""
	}
}

// mustNoteRunning reports whether the condition Running is out of date: it does not name what
// the run waits for, or still names it although the run is working.
func (s state) mustNoteRunning() bool {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionRunning)
	switch {
	case s.outcome.Waiting != nil:
		return said == nil || said.Status != metav1.ConditionFalse || !s.outcome.Waiting.SaidBy(said.Reason, said.Message)
	case s.outcome.Working:
		return said == nil || said.Status != metav1.ConditionTrue
	default:
		return false
	}
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

// mustReportProgress reports whether recorded progress is to be reported. More important steps
// replace it, unless an earlier try may have reported it: its answer is then needed first.
func (s state) mustReportProgress() bool {
	token := s.job.Status.ProgressToken()
	if token == "" {
		return false
	}
	if underWay(s.job, progressCall(s.job)) {
		return true
	}
	return s.job.Status.RunGoesOn() && s.endOfRun() == "" && !s.deleting()
}

// progressDue returns how long it is until the progress is read.
func (s state) progressDue() time.Duration {
	if s.progressEvery == 0 {
		return 0
	}
	last := s.progressRead
	for _, at := range []*metav1.Time{s.job.Status.Run.StartedAt, s.recordedProgress()} {
		if at != nil && at.After(last) {
			last = at.Time
		}
	}
	return last.Add(s.progressEvery).Sub(s.now)
}

func (s state) recordedProgress() *metav1.Time {
	if s.job.Status.Protocol.Progress == nil {
		return nil
	}
	return &s.job.Status.Protocol.Progress.RecordedAt
}

// isClosed reports whether CodePipeline no longer waits for the job. While a report is in
// progress, its answer decides: a report whose answer was lost may have closed the action
// itself.
func (s state) isClosed() bool {
	if call := s.job.Status.Protocol.Call; call != nil && call.Operation != operationAcknowledge {
		return false
	}
	return s.closed != ""
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

func (s state) deleting() bool { return !s.job.DeletionTimestamp.IsZero() }

// mustAcknowledge reports whether spec.codePipelineJob is to be claimed. A job that is handed
// out again with a new nonce was not claimed, even if its claim seemed to have its effect
// because the answer was lost.
func (s state) mustAcknowledge() bool {
	is, protocol := s.job.Spec.CodePipelineJob, &s.job.Status.Protocol
	if is.ID != protocol.AcknowledgedJobID {
		return true
	}
	return is.Nonce != protocol.AcknowledgedNonce && !s.endsWithItsReport()
}

// endsWithItsReport reports whether a job with a confirmed claim was reported, or may have
// been. A further hand-out is then a duplicate, and claiming it would hide whether the report
// had its effect.
func (s state) endsWithItsReport() bool {
	id, protocol := s.job.Spec.CodePipelineJob.ID, &s.job.Status.Protocol
	call := protocol.Call
	reporting := call != nil && call.Operation != operationAcknowledge && call.JobID == id
	return !protocol.ClaimUnconfirmed && (reporting || protocol.ReportedJobID == id)
}

// maybeOurs reports whether a claim of this job may have had its effect.
func (s state) maybeOurs() bool {
	call := s.job.Status.Protocol.Call
	return call != nil && call.JobID == s.job.Spec.CodePipelineJob.ID ||
		s.job.Status.Protocol.AcknowledgedJobID == s.job.Spec.CodePipelineJob.ID || s.job.Status.ContinuationToken != "" || s.job.Status.ProgressToken() != ""
}

// hasResult reports whether the status has something to report: a final result, or the
// continuation token of a run that has ended.
func (s state) hasResult() bool {
	return s.job.Status.HasResult() || s.job.Status.ContinuationToken != ""
}

// runStillWorks reports whether the Kubernetes Job exists and may have a pod that is running
// or starting.
func (s state) runStillWorks() bool {
	return s.run != nil && s.run.DeletionTimestamp.IsZero() && !diagnosis.Finished(s.run)
}

// mustStopRun reports whether the Kubernetes Job is to be deleted.
func (s state) mustStopRun() bool {
	return s.runStillWorks() && s.lingersFor() <= 0 && !s.isLeft(stepStopRun)
}

// lingersFor returns how long the pod of a run may continue after it gave its result. It is
// zero if the run gave none, or if the time is over.
func (s state) lingersFor() time.Duration {
	run := s.job.Status.Run
	gave := meta.IsStatusConditionTrue(s.job.Status.Conditions, v1alpha1.ConditionComplete) || s.job.Status.ContinuationToken != ""
	if run == nil || run.FinishedAt == nil || !gave || s.deleting() || !s.runStillWorks() || s.runMayTryAgain() {
		return 0
	}
	return max(run.FinishedAt.Add(lingeringGracePeriod).Sub(s.now), 0)
}

// runMayTryAgain reports whether the Job may replace a pod that ends: the steps would do the
// work again.
func (s state) runMayTryAgain() bool {
	return s.run.Status.Failed > 0 || s.run.Status.Terminating != nil && *s.run.Status.Terminating > 0
}

// mustSaveProgress reports whether a pod that is being deleted has progress that is not
// recorded.
func (s state) mustSaveProgress() bool {
	leaving := func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil }
	if s.outcome.Said == nil || !slices.ContainsFunc(s.pods, leaving) {
		return false
	}
	known := s.job.Status.ExecutionDetails
	return !equality.Semantic.DeepEqual(known, withProgress(known, *s.outcome.Said))
}

// mustDropSecret reports whether the Secret is to be deleted.
func (s state) mustDropSecret() bool {
	return s.job.Status.Protocol.Secret != nil && !s.isLeft(stepDropSecret)
}

// isLeft reports whether a deletion that fails is left to the garbage collector, which keeps
// trying after the object is gone: a webhook may refuse the deletion forever.
func (s state) isLeft(deletion step) bool {
	return s.deleting() && s.fails(deletion) && s.boundIn() <= 0
}

// secretDue reports whether the job needs a Secret, and how long it is until the Secret is
// renewed.
func (s state) secretDue() (bool, time.Duration) {
	if !jobspec.NeedsSecret(s.job) {
		return false, 0
	}
	secret := s.job.Status.Protocol.Secret
	if secret == nil || secret.RenewedAt == nil {
		return true, 0
	}
	// The credentials of the previous job stay valid until they expire: a progress report must
	// not cost a GetJobDetails as well.
	if secret.JobID != s.job.Spec.CodePipelineJob.ID && s.job.Status.Run.JobUID == "" {
		return true, 0
	}
	return true, secret.RenewedAt.Add(cmp.Or(s.renewal, DefaultRenewal)).Sub(s.now)
}
