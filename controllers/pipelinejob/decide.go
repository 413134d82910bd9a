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

// step is the next thing to do for a PipelineJob. Each has at most one
// external effect, which is recorded before the next step is decided.
type step string

const (
	// stepAcknowledge claims spec.codePipelineJob.
	stepAcknowledge step = "Acknowledge"
	// stepPlanRun records the number and name of the next run.
	stepPlanRun step = "PlanRun"
	// stepRenewSecret writes the Secret from a fresh GetJobDetails.
	stepRenewSecret step = "RenewSecret"
	// stepCreateJob makes the Kubernetes Job of the recorded run.
	stepCreateJob step = "CreateJob"
	// stepNoteRunning records that the run works, or what it waits for.
	stepNoteRunning step = "NoteRunning"
	// stepReadProgress reads what the steps say of their progress, and records
	// what is new.
	stepReadProgress step = "ReadProgress"
	// stepKeepSaid records what the steps of a pod said of their work: the pod is being
	// deleted, and then nothing tells.
	stepKeepSaid step = "KeepSaid"
	// stepReportProgress gives recorded progress to CodePipeline.
	stepReportProgress step = "ReportProgress"
	// stepAskExecution asks CodePipeline whether it still waits for an action that takes
	// longer than it should.
	stepAskExecution step = "AskExecution"
	// stepRecordClosed records that CodePipeline no longer waits for the job.
	stepRecordClosed step = "RecordClosed"
	// stepNoteOverdue tells that a continuation has not come for long.
	stepNoteOverdue step = "NoteOverdue"
	// stepRecordResult writes the end of the run to the status.
	stepRecordResult step = "RecordResult"
	// stepRecordLost records that the Kubernetes Job was deleted, and not by the operator.
	stepRecordLost step = "RecordLost"
	// stepCancel records the work as cancelled: the object is being deleted.
	stepCancel step = "Cancel"
	// stepStopRun deletes the Kubernetes Job of a run whose work was cancelled.
	stepStopRun step = "StopRun"
	// stepReport gives the recorded result to CodePipeline.
	stepReport step = "Report"
	// stepDropSecret deletes the Secret: nothing needs it any more.
	stepDropSecret step = "DropSecret"
	// stepExpire deletes the PipelineJob: its time to live is over.
	stepExpire step = "Expire"
	// stepGiveUp settles a PipelineJob that is being deleted while AWS can't be reached,
	// and says what CodePipeline was not told.
	stepGiveUp step = "GiveUp"
	// stepRelease lets a PipelineJob that is being deleted go.
	stepRelease step = "Release"
	// stepWait does nothing until something changes, or after a while.
	stepWait step = "Wait"
)

// DefaultRenewal is the age at which credentials are renewed: they live for about
// 15 minutes, and the kubelet takes up to two to bring a changed Secret into a
// pod.
const DefaultRenewal = 5 * time.Minute

const (
	// DefaultActionTimeout is how long CodePipeline waits for a custom action: the user
	// guide's page "Quotas in AWS CodePipeline", where it can be raised. It is not
	// documented whether a continuation begins it again.
	DefaultActionTimeout = 24 * time.Hour
	// timeoutMargin is how much longer the operator waits before it asks whether
	// CodePipeline still does. An answer holds for as long.
	timeoutMargin = time.Hour
	// askAgainAfter is the shortest time between two questions whether CodePipeline still waits
	// for an action whose progress it does not take.
	askAgainAfter = time.Minute
	// overdueAfter is when a continuation that has not come is talked about.
	overdueAfter = 15 * time.Minute
	// lingeringGracePeriod is how long the pod of a run that gave its result may go on: with
	// it go its logs, and a container that a webhook has added may soon end by itself.
	lingeringGracePeriod = 30 * time.Second
	// deletionGracePeriod is how long calls to AWS may fail before an object that is being
	// deleted is let go: its namespace waits for it.
	deletionGracePeriod = 5 * time.Minute
)

// state is all that a decision about a PipelineJob is made from.
type state struct {
	job *v1alpha1.PipelineJob
	// run is the Kubernetes Job of status.run, nil when there is none.
	run *batchv1.Job
	// pods are those of run.
	pods []corev1.Pod
	// identity is as whom calls for the job are made; the zero value if there may be none.
	identity codepipeline.Identity
	// account is the one that the job names, nil when there is none.
	account *v1alpha1.CodePipelineAccount
	// logRule is for the last log lines of a failed step.
	logRule logRule
	// outcome is what became of run.
	outcome diagnosis.Outcome
	// ttl is how long a settled job is kept; nil keeps it for ever.
	ttl *time.Duration
	// gracePeriods bound what may hold the work up.
	gracePeriods diagnosis.GracePeriods
	// closed is why CodePipeline no longer waits for the job; empty when it does.
	closed string
	// recheck is when to look again though nothing has changed; zero: never.
	recheck time.Duration
	// renewal is the age at which credentials are renewed; zero: DefaultRenewal.
	renewal time.Duration
	// progressEvery is the interval of spec.progress; zero: progress is not told.
	progressEvery time.Duration
	// progressRead is when the progress was last read.
	progressRead time.Time
	// failing has the steps that failed when they were last taken, and since when they
	// do. It is empty for an operator that has just started.
	failing map[step]time.Time
	// longest is how long an action may take before CodePipeline is asked whether it still
	// waits for it.
	longest time.Duration
	// answered is what CodePipeline last said of the action execution.
	answered lastStatus
	// silentFor is how long no call to AWS of the job's account and region was answered.
	silentFor time.Duration
	// leadingSince is when this operator began to take steps.
	leadingSince time.Time
	now          time.Time
}

// decide says what to do next, and how long to wait when that is stepWait
// (zero: until something changes).
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

// bounded is a step of an object that is being deleted, which is given up when AWS has
// had its time.
func (s state) bounded(next step, wait time.Duration) (step, time.Duration) {
	switch next {
	case stepAcknowledge, stepReport, stepReportProgress, stepRecordResult:
		since := latest(s.job.DeletionTimestamp.Time, s.failing[next])
		timeIsUp := s.fails(next) && s.now.Sub(since) >= deletionGracePeriod || s.waitsInSilence()
		if timeIsUp && !s.continuationMayCome() || s.fails(stepGiveUp) {
			return stepGiveUp, 0
		}
	case stepWait, stepNoteOverdue: // a continuation is to come
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

// waitsInSilence reports whether an object that is being deleted has waited, for as long as
// it may, for a turn among calls of which none is answered.
func (s state) waitsInSilence() bool { return s.silentFor >= deletionGracePeriod && s.boundIn() <= 0 }

// boundIn is how long the deletion of an object may still take.
func (s state) boundIn() time.Duration {
	return deletionGracePeriod - s.now.Sub(s.job.DeletionTimestamp.Time)
}

// lookAgainIn is when to decide again on a step that waits for its turn; zero: not before.
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

// failsForLong reports whether a step has failed for as long as a deletion would wait for it,
// of an object that is not being deleted.
func (s state) failsForLong(taken step) bool {
	since, fails := s.failing[taken]
	return fails && !s.deleting() && s.now.Sub(since) >= deletionGracePeriod
}

// continuationMayCome reports whether a continuation is to come, and is not overdue.
func (s state) continuationMayCome() bool {
	return s.job.AwaitsContinuation() && s.now.Before(s.continuationDeadline())
}

// continuationDeadline is until when an object that is being deleted waits for a
// continuation. If it came later it would start the work again, so that it is waited
// for until it is overdue.
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

// ongoing is the step of an action that CodePipeline may still wait for.
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
		return stepReport, 0 // also if a policy refuses to delete the Job
	}
	if s.deleting() {
		return stepCancel, 0
	}
	return s.working()
}

// working is the part of a job's life in which its Kubernetes Job matters.
func (s state) working() (step, time.Duration) {
	run := s.job.Status.Run
	if run == nil {
		return stepPlanRun, 0
	}
	if run.FinishedAt != nil {
		if s.mustStopRun() || s.lingersFor() > 0 {
			return stepStopRun, 0 // never two runs at a time
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
	if s.mustKeepSaid() {
		return stepKeepSaid, 0
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
		return stepAskExecution, 0 // last: a call that fails holds up nothing else
	}
	return stepWait, soonest(s.recheck, renewIn, progressIn)
}

// endOfRun is the step that a run's end demands; empty while it goes on.
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

// mustNoteRunning reports whether the condition Running does not say yet what the run
// waits for, or still says so although the run works.
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

// soonest is the shortest of some waits, of which zero is none.
func soonest(waits ...time.Duration) (first time.Duration) {
	for _, wait := range waits {
		if wait > 0 && (first == 0 || wait < first) {
			first = wait
		}
	}
	return first
}

// mustReportProgress reports whether recorded progress is to be told. What is more
// important takes its place, unless it may have been told already: then its
// answer comes first.
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

// progressDue is how long it is until the progress is to be read.
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

// isClosed reports whether CodePipeline no longer waits for the job. While a report
// is under way its answer tells, and an action that a lost report of ours has
// ended looks closed too.
func (s state) isClosed() bool {
	if call := s.job.Status.Protocol.Call; call != nil && call.Operation != operationAcknowledge {
		return false
	}
	return s.closed != ""
}

// overTimeIn is how long it is until an action takes longer than CodePipeline allows, since
// it was first claimed or, if it never was, since it was last polled; zero or less if it does.
// Then it is not claimed any more either. The time of the poll is in the spec: if it is not
// there, or can't be right, the object's own counts. What CodePipeline says comes first.
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
	if s.answered.waits && !s.job.AwaitsContinuation() { // another worker may have what is awaited
		until = latest(until, s.answered.at.Add(timeoutMargin))
	}
	return until.Sub(s.now), true
}

// mayAsk reports whether CodePipeline can tell of an action that takes long: it was claimed,
// no continuation of it is awaited, and the last answer is not that nothing is known. Calls
// that fail are tried for a while.
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

// mustAskOfUnconfirmed reports whether CodePipeline is to be asked for an action whose claim it
// did not confirm, and whose last progress it did not take: perhaps the execution was stopped.
// There may be no rounds of Executions, which would tell.
func (s state) mustAskOfUnconfirmed() bool {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionReported)
	if !s.job.Status.Protocol.ClaimUnconfirmed || said == nil || said.Reason != v1alpha1.ReasonClaimUnconfirmed || !s.mayAsk() {
		return false
	}
	tried := s.recordedProgress()
	return tried != nil && tried.After(s.answered.at) && s.now.Sub(s.answered.at) >= askAgainAfter
}

// settled cleans up after a job that CodePipeline no longer waits for.
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
	case s.mustStopRun(): // a policy refuses it: perhaps not for ever
		return stepStopRun, 0
	case s.mustDropSecret():
		return stepDropSecret, 0
	default:
		return stepWait, soonest(left, s.lingersFor())
	}
}

// expiresIn is how long a settled job is still kept; it reports false if that is for ever.
func (s state) expiresIn() (left time.Duration, expires bool) {
	if s.ttl == nil {
		return 0, false
	}
	ttl := *s.ttl
	if s.job.Status.Protocol.ClaimUnconfirmed { // otherwise, the work would be done again if the job is handed out again
		ttl = max(ttl, s.longest)
	}
	return s.job.Status.ReportedAt.Add(ttl).Sub(s.now), true
}

// handOutMayComeIn is how long an object that is being deleted is kept for the case that
// CodePipeline hands its job out again: its claim was taken for one that had its effect, and
// no report was confirmed, even if one was taken for delivered. Then the job is claimed, and
// failed as cancelled; without the object, the work that the user has cancelled would begin.
// While no operator led, nobody could ask for the job.
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

// handOutMayStillCome reports whether CodePipeline may hand the job of a settled object out
// again, as far as is known: it confirmed nothing, and the action has not timed out.
func (s state) handOutMayStillCome() bool {
	claimed := s.job.Status.AcknowledgedAt
	return s.job.Status.Protocol.ClaimUnconfirmed && claimed != nil && s.now.Sub(claimed.Time) < s.longest
}

// awaitingContinuation holds even an object that is being deleted: the job
// that is to come must be failed, or it would start the work again. A run whose
// progress was told goes on meanwhile.
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

// overdueIn is how long it is until a continuation is overdue: negative when it
// is to be told, zero when it was.
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
// out again, with a new nonce, was not: a claim whose answer was lost may have
// been taken for one that had its effect.
func (s state) mustAcknowledge() bool {
	is, protocol := s.job.Spec.CodePipelineJob, &s.job.Status.Protocol
	if is.ID != protocol.AcknowledgedJobID {
		return true
	}
	return is.Nonce != protocol.AcknowledgedNonce && !s.endsWithItsReport()
}

// endsWithItsReport reports whether a job, of which CodePipeline has confirmed the claim, was
// given its result, or may have been: then it is handed out again only by a duplicate. To claim
// that would hide whether the report had its effect.
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

// hasResult reports whether the status holds something to report: a final
// result, or the continuation token of a run that has ended.
func (s state) hasResult() bool {
	return s.job.Status.HasResult() || s.job.Status.ContinuationToken != ""
}

// runStillWorks reports whether the Kubernetes Job is there and may have a pod
// that works, or that tries to.
func (s state) runStillWorks() bool {
	return s.run != nil && s.run.DeletionTimestamp.IsZero() && !diagnosis.Finished(s.run)
}

// mustStopRun reports whether the Kubernetes Job is to be deleted.
func (s state) mustStopRun() bool {
	return s.runStillWorks() && s.lingersFor() <= 0 && !s.isLeft(stepStopRun)
}

// lingersFor is how long the pod of a run may go on that gave its result; zero or less if it
// gave none, or its time is over.
func (s state) lingersFor() time.Duration {
	run := s.job.Status.Run
	gave := meta.IsStatusConditionTrue(s.job.Status.Conditions, v1alpha1.ConditionComplete) || s.job.Status.ContinuationToken != ""
	if run == nil || run.FinishedAt == nil || !gave || s.deleting() || !s.runStillWorks() || s.runMayTryAgain() {
		return 0
	}
	return max(run.FinishedAt.Add(lingeringGracePeriod).Sub(s.now), 0)
}

// runMayTryAgain reports whether the Job may make another pod in place of one that ends: its
// steps would do the work again.
func (s state) runMayTryAgain() bool {
	return s.run.Status.Failed > 0 || s.run.Status.Terminating != nil && *s.run.Status.Terminating > 0
}

// mustKeepSaid reports whether a pod that is being deleted tells what is not recorded.
func (s state) mustKeepSaid() bool {
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

// isLeft reports whether a deletion that fails is left to the garbage collector, which goes
// on to try when the object is gone: a webhook may refuse it for ever.
func (s state) isLeft(deletion step) bool {
	return s.deleting() && s.fails(deletion) && s.boundIn() <= 0
}

// secretDue reports whether the job needs a Secret, and when it is to be renewed.
func (s state) secretDue() (bool, time.Duration) {
	if !jobspec.NeedsSecret(s.job) {
		return false, 0
	}
	secret := s.job.Status.Protocol.Secret
	if secret == nil || secret.RenewedAt == nil {
		return true, 0
	}
	// The credentials of the job before last as long as they say: an update of the
	// progress shall not cost a GetJobDetails too.
	if secret.JobID != s.job.Spec.CodePipelineJob.ID && s.job.Status.Run.JobUID == "" {
		return true, 0
	}
	return true, secret.RenewedAt.Add(cmp.Or(s.renewal, DefaultRenewal)).Sub(s.now)
}
