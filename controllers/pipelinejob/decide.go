package pipelinejob

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
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
