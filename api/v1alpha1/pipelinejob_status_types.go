package v1alpha1

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Phase summarizes the state of a PipelineJob for people. Programs should read
// conditions, because phases may be added.
type Phase string

const (
	// PhasePending: polled, not acknowledged yet.
	PhasePending Phase = "Pending"
	// PhaseAcknowledged: claimed; the Kubernetes Job does not exist yet.
	PhaseAcknowledged Phase = "Acknowledged"
	// PhaseRunning: the Kubernetes Job works.
	PhaseRunning Phase = "Running"
	// PhaseReporting: the result is recorded, and is being reported to CodePipeline.
	PhaseReporting Phase = "Reporting"
	// PhaseContinuing: CodePipeline was given a continuation token and will
	// hand the action out again.
	PhaseContinuing Phase = "Continuing"
	// PhaseSucceeded: CodePipeline took the success.
	PhaseSucceeded Phase = "Succeeded"
	// PhaseFailed: the work failed, and CodePipeline took the failure or refused it for
	// good (Reported=False, ReportRefused).
	PhaseFailed Phase = "Failed"
	// PhaseCancelled: the PipelineJob was deleted, or CodePipeline no longer waited for
	// the result.
	PhaseCancelled Phase = "Cancelled"
	// PhaseDropped: the job was never ours: another worker claimed it, or it
	// was no longer open.
	PhaseDropped Phase = "Dropped"
)

// PipelineJobStatus is what the operator did.
type PipelineJobStatus struct {
	// conditions are Acknowledged, Running and Reported and, when the work has ended,
	// Complete if it succeeded and Failed if it failed or was cancelled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase summarizes the state of the job for people: Pending, Acknowledged, Running,
	// Reporting or Continuing, and at the end Succeeded, Failed, Cancelled or Dropped.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// executionDetails are the executionDetails of PutJobSuccessResult.
	// +optional
	ExecutionDetails *ExecutionDetails `json:"executionDetails,omitempty"`

	// failureDetails are the failureDetails of PutJobFailureResult.
	// +optional
	FailureDetails *FailureDetails `json:"failureDetails,omitempty"`

	// outputVariables of the action, at most 122,880 bytes.
	// +optional
	OutputVariables map[string]string `json:"outputVariables,omitempty"`

	// currentRevision of the work, for source actions.
	// +optional
	CurrentRevision *CurrentRevision `json:"currentRevision,omitempty"`

	// continuationToken that the last run ended with.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`

	// acknowledgedAt is when CodePipeline took the first claim.
	// +optional
	AcknowledgedAt *metav1.Time `json:"acknowledgedAt,omitempty"`
	// finishedAt is when the work ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// reportedAt is when CodePipeline took the final result, or when the operator found
	// that it no longer waits for it.
	// +optional
	ReportedAt *metav1.Time `json:"reportedAt,omitempty"`

	// run is the current or last run.
	// +optional
	Run *Run `json:"run,omitempty"`

	// previousRuns are the last 10 runs before the current one, the newest last.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	PreviousRuns []Run `json:"previousRuns,omitempty"`

	// observedGeneration is the generation that the status was written for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// protocol is the operator's record of its calls to CodePipeline. Other programs
	// should not depend on it.
	// +optional
	Protocol ProtocolStatus `json:"protocol,omitempty,omitzero"`
}

// ProtocolStatus records the calls to CodePipeline, so that an operator that is
// restarted at any moment neither loses a job nor repeats its work.
type ProtocolStatus struct {
	// acknowledgedJobID is the last CodePipeline job that was acknowledged.
	// +optional
	AcknowledgedJobID string `json:"acknowledgedJobID,omitempty"`

	// acknowledgedNonce is the nonce that acknowledged it. If the same job is handed
	// out with another nonce, the claim had no effect.
	// +optional
	AcknowledgedNonce string `json:"acknowledgedNonce,omitempty"`

	// claimUnconfirmed is true if CodePipeline confirmed neither the claim nor a result
	// after it: an earlier try of the claim may or may not have had its effect. If the
	// same job is handed out again, CodePipeline took neither the claim nor a result.
	// +optional
	ClaimUnconfirmed bool `json:"claimUnconfirmed,omitempty"`

	// reportedJobID is the last CodePipeline job that was given a result.
	// +optional
	ReportedJobID string `json:"reportedJobID,omitempty"`

	// settledJobID is the CodePipeline job for which reportedAt was set. The object is
	// settled as long as codePipelineJob is this job.
	// +optional
	SettledJobID string `json:"settledJobID,omitempty"`

	// settledNonce is the nonce of that job at that time.
	// +optional
	SettledNonce string `json:"settledNonce,omitempty"`

	// continuedAt is when CodePipeline last took a continuation token.
	// +optional
	ContinuedAt *metav1.Time `json:"continuedAt,omitempty"`

	// call is the claim or report in flight. It is written before the call, and removed
	// when the response is recorded, so that an operator that is restarted in between
	// knows that the call may have had its effect.
	// +optional
	Call *Call `json:"call,omitempty"`

	// secret describes the credentials in the Secret of the job; absent if there is
	// no Secret. The operator never reads Secrets.
	// +optional
	Secret *SecretState `json:"secret,omitempty"`

	// progress is the last update of the progress of a running job. Its content is in
	// executionDetails.
	// +optional
	Progress *ProgressReport `json:"progress,omitempty"`
}

// Call is a call to CodePipeline whose response is not recorded yet.
type Call struct {
	// operation is AcknowledgeJob, PutJobSuccessResult or PutJobFailureResult.
	// +required
	Operation string `json:"operation"`
	// jobID of the CodePipeline job that the call is made for.
	// +required
	JobID string `json:"jobID"`
	// nonce of the call (AcknowledgeJob).
	// +optional
	Nonce string `json:"nonce,omitempty"`
	// continuationToken of the call (PutJobSuccessResult).
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
	// since is when the call was first tried.
	// +required
	Since metav1.Time `json:"since"`
	// tries counts the tries, including the next one. After a try whose response was
	// lost, a response does not tell which try had the effect.
	// +required
	Tries int32 `json:"tries"`
}

// ProgressReport is an update of the progress of a running job.
type ProgressReport struct {
	// updates counts the updates of this PipelineJob.
	// +required
	Updates int32 `json:"updates"`
	// recordedAt is when the last update was recorded.
	// +required
	RecordedAt metav1.Time `json:"recordedAt"`
	// continuationToken is the token the operator generated to report progress. The
	// job that is handed out with it takes over the run. Empty if no such job is
	// expected.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
}

// SecretState describes the content of the Secret of a job.
type SecretState struct {
	// jobID of the CodePipeline job that the credentials belong to.
	// +required
	JobID string `json:"jobID"`
	// renewedAt is when the credentials were read from CodePipeline. They are valid
	// for about 15 minutes. Absent until the Secret has been created.
	// +optional
	RenewedAt *metav1.Time `json:"renewedAt,omitempty"`
	// uid of the Secret, from the response to its creation. The operator replaces and
	// deletes only the object with this UID.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// Run is one Kubernetes Job.
type Run struct {
	// number of the run, counted from 1.
	// +required
	Number int32 `json:"number"`
	// jobName is the name of the Kubernetes Job.
	// +required
	JobName string `json:"jobName"`
	// jobUID is set once the Kubernetes Job exists.
	// +optional
	JobUID string `json:"jobUID,omitempty"`
	// continuationToken that the run started with.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
	// startedAt is when the Kubernetes Job was created.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when the run's end was recorded.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// ExecutionDetails are CodePipeline's ExecutionDetails. Longer texts are cut before
// they are sent.
type ExecutionDetails struct {
	// summary of the work, 2048 characters at most.
	// +optional
	Summary string `json:"summary,omitempty"`
	// externalExecutionId of the work, 1500 characters at most; it fills
	// {ExternalExecutionId} in executionUrlTemplate. By default: NAMESPACE.JOB.
	// +optional
	ExternalExecutionID string `json:"externalExecutionId,omitempty"`
	// percentComplete of the work, 0 to 100.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	PercentComplete *int32 `json:"percentComplete,omitempty"`
}

// CurrentRevision is CodePipeline's CurrentRevision.
type CurrentRevision struct {
	// revision of the work: 1 to 1500 characters.
	// +required
	Revision string `json:"revision"`
	// changeIdentifier of the revision: 1 to 100 characters.
	// +required
	ChangeIdentifier string `json:"changeIdentifier"`
	// created is when the revision was made.
	// +optional
	Created *metav1.Time `json:"created,omitempty"`
	// revisionSummary of the revision: 2048 characters at most.
	// +optional
	RevisionSummary string `json:"revisionSummary,omitempty"`
}

// FailureType is CodePipeline's FailureType.
//
// +kubebuilder:validation:Enum=JobFailed;ConfigurationError;PermissionError;RevisionOutOfSync;RevisionUnavailable;SystemUnavailable
type FailureType string

const (
	// FailureJobFailed: a step failed.
	FailureJobFailed FailureType = "JobFailed"
	// FailureConfigurationError: template, image or configuration are wrong.
	FailureConfigurationError FailureType = "ConfigurationError"
	// FailurePermissionError: denied by S3, KMS, admission or RBAC.
	FailurePermissionError FailureType = "PermissionError"
	// FailureRevisionOutOfSync: reserved by CodePipeline.
	FailureRevisionOutOfSync FailureType = "RevisionOutOfSync"
	// FailureRevisionUnavailable: an artifact is missing or unreadable.
	FailureRevisionUnavailable FailureType = "RevisionUnavailable"
	// FailureSystemUnavailable: the cluster could not do the work.
	FailureSystemUnavailable FailureType = "SystemUnavailable"
)

// FailureDetails are CodePipeline's FailureDetails.
type FailureDetails struct {
	// type of the failure.
	// +required
	Type FailureType `json:"type,omitempty"`
	// message that says why the work failed: 5000 characters at most.
	// +required
	Message string `json:"message"`
	// externalExecutionId of the work, 1500 characters at most.
	// +optional
	ExternalExecutionID string `json:"externalExecutionId,omitempty"`
}

// Settled reports whether CodePipeline waits for nothing more from this object: it
// took the final result, or the job was never, or is no longer, ours. A settled object
// becomes unsettled if CodePipeline hands its action execution out again: as another
// job, or with another nonce if no result was taken. Nothing else unsettles it, such as
// its deletion.
func (j *PipelineJob) Settled() bool {
	status, job := &j.Status, &j.Spec.CodePipelineJob
	if status.ReportedAt == nil || status.Protocol.SettledJobID != job.ID {
		return false
	}
	delivered := status.Protocol.ReportedJobID == job.ID && !j.AwaitsContinuation()
	return delivered && !status.Protocol.ClaimUnconfirmed || status.Protocol.SettledNonce == job.Nonce
}

// MayBeHandedOut reports whether CodePipeline may hand out the object's action execution: it waits
// for something from the object, or it confirmed neither the claim of a settled one nor a report.
// If that is handed out again, the claim had no effect, and what is recorded is reported. The
// latter lasts as long as CodePipeline waits for an action: see MayBeHandedOutAt.
func (j *PipelineJob) MayBeHandedOut() bool {
	return !j.Settled() || j.Status.Protocol.ClaimUnconfirmed
}

// MayBeHandedOutAt is MayBeHandedOut at a time, if CodePipeline waits for an action for so long.
func (j *PipelineJob) MayBeHandedOutAt(now time.Time, actionTimeout time.Duration) bool {
	return !j.Settled() || j.Status.Protocol.ClaimUnconfirmed && now.Before(j.Status.ReportedAt.Add(actionTimeout))
}

// Settle records that CodePipeline waits for nothing more from this object.
func (j *PipelineJob) Settle(now metav1.Time) {
	j.Status.ReportedAt = &now
	j.Status.Protocol.SettledJobID = j.Spec.CodePipelineJob.ID
	j.Status.Protocol.SettledNonce = j.Spec.CodePipelineJob.Nonce
}

// AwaitsContinuation reports whether CodePipeline was given a continuation token and
// has not handed the action out again yet.
func (j *PipelineJob) AwaitsContinuation() bool {
	return (j.Status.ContinuationToken != "" || j.Status.ProgressToken() != "") && j.Status.Protocol.ReportedJobID == j.Spec.CodePipelineJob.ID
}

// ProgressToken is the continuation token of a progress update that is to be
// reported, or whose job was not handed out again yet; empty if there is none.
func (s *PipelineJobStatus) ProgressToken() string {
	if s.Protocol.Progress == nil {
		return ""
	}
	return s.Protocol.Progress.ContinuationToken
}

// HasResult reports whether the end of the work is recorded: it succeeded, failed or
// was cancelled.
func (s *PipelineJobStatus) HasResult() bool {
	return meta.IsStatusConditionTrue(s.Conditions, ConditionComplete) || meta.IsStatusConditionTrue(s.Conditions, ConditionFailed)
}

// RunGoesOn reports whether a run was planned whose end is not recorded yet.
func (s *PipelineJobStatus) RunGoesOn() bool { return s.Run != nil && s.Run.FinishedAt == nil }
