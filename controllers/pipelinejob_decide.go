package controllers

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/workload"
)

// step is the next thing to do for a PipelineJob. Each has at most one
// external effect, which is recorded before the next step is decided.
type step string

const (
	// stepAcknowledge claims spec.job.
	stepAcknowledge step = "Acknowledge"
	// stepPlanRun records the number and name of the next run.
	stepPlanRun step = "PlanRun"
	// stepRenewSecret writes the Secret from a fresh GetJobDetails.
	stepRenewSecret step = "RenewSecret"
	// stepCreateJob makes the Kubernetes Job of the recorded run.
	stepCreateJob step = "CreateJob"
	// stepRecordResult writes the end of the run to the status.
	stepRecordResult step = "RecordResult"
	// stepRecordLost records that the Kubernetes Job was deleted by somebody else.
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
	// stepRelease lets a PipelineJob that is being deleted go.
	stepRelease step = "Release"
	// stepWait does nothing until something changes, or after a while.
	stepWait step = "Wait"
)

// renewAfter is the age at which credentials are renewed: they live for about
// 15 minutes, and the kubelet takes up to two to bring a changed Secret into a
// pod.
const renewAfter = 5 * time.Minute

// state is all that a decision about a PipelineJob is made from.
type state struct {
	job *v1alpha1.PipelineJob
	// run is the Kubernetes Job of status.run, nil when there is none.
	run *batchv1.Job
	// outcome is what became of run.
	outcome workload.Outcome
	// ttl is how long a settled job is kept; nil keeps it for ever.
	ttl *time.Duration
	now time.Time
}

// decide says what to do next, and how long to wait when that is stepWait
// (zero: until something changes).
func decide(s state) (step, time.Duration) {
	if s.job.Settled() {
		return s.settled()
	}
	if s.mustAcknowledge() {
		if s.deleting() && !s.maybeOurs() {
			return stepRelease, 0 // CodePipeline will hand the job out again
		}
		return stepAcknowledge, 0
	}
	if s.job.AwaitsContinuation() {
		return s.awaitingContinuation()
	}
	if s.hasResult() {
		if s.runStillWorks() {
			return stepStopRun, 0
		}
		return stepReport, 0
	}
	if s.deleting() {
		return stepCancel, 0
	}
	return s.working()
}

// working is the part of a job's life in which its Kubernetes Job matters.
func (s state) working() (step, time.Duration) {
	run := s.job.Status.Run
	if run == nil || run.FinishedAt != nil {
		return stepPlanRun, 0
	}
	needsSecret, renewIn := s.secretDue()
	if run.JobUID == "" {
		if needsSecret && renewIn <= 0 {
			return stepRenewSecret, 0
		}
		return stepCreateJob, 0
	}
	if s.outcome.Ended() {
		return stepRecordResult, 0
	}
	if s.run == nil || s.run.DeletionTimestamp != nil {
		return stepRecordLost, 0
	}
	if !needsSecret {
		return stepWait, 0
	}
	if renewIn <= 0 {
		return stepRenewSecret, 0
	}
	return stepWait, renewIn
}

// settled cleans up behind a job that CodePipeline waits for no more.
func (s state) settled() (step, time.Duration) {
	if s.runStillWorks() {
		return stepStopRun, 0
	}
	if s.job.Status.Secret != nil {
		return stepDropSecret, 0
	}
	if s.deleting() {
		return stepRelease, 0
	}
	if s.ttl == nil {
		return stepWait, 0
	}
	left := s.job.Status.ReportedAt.Add(*s.ttl).Sub(s.now)
	if left <= 0 {
		return stepExpire, 0
	}
	return stepWait, left
}

// awaitingContinuation holds even an object that is being deleted: the job
// that is to come must be failed, or it would start the work again.
func (s state) awaitingContinuation() (step, time.Duration) {
	if s.job.Status.Secret != nil {
		return stepDropSecret, 0
	}
	return stepWait, 0
}

func (s state) deleting() bool { return !s.job.DeletionTimestamp.IsZero() }

func (s state) mustAcknowledge() bool {
	return s.job.Spec.Job.ID != s.job.Status.AcknowledgedJobID
}

// maybeOurs says whether a claim of this job may have had its effect.
func (s state) maybeOurs() bool {
	call := s.job.Status.Call
	return call != nil && call.JobID == s.job.Spec.Job.ID || s.job.Status.ContinuationToken != ""
}

// hasResult says whether the status holds something to report: a final
// result, or the continuation token of a run that has ended.
func (s state) hasResult() bool {
	return meta.IsStatusConditionTrue(s.job.Status.Conditions, v1alpha1.ConditionComplete) || s.job.Status.ContinuationToken != ""
}

// runStillWorks says whether the Kubernetes Job is there and may have a pod
// that works, or that tries to.
func (s state) runStillWorks() bool {
	return s.run != nil && s.run.DeletionTimestamp.IsZero() && !workload.Finished(s.run)
}

// secretDue says whether the job needs a Secret, and when it is to be renewed.
func (s state) secretDue() (bool, time.Duration) {
	if !workload.NeedsSecret(s.job) {
		return false, 0
	}
	secret := s.job.Status.Secret
	if secret == nil || secret.JobID != s.job.Spec.Job.ID {
		return true, 0
	}
	return true, secret.RenewedAt.Add(renewAfter).Sub(s.now)
}
