package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PipelineJob is one execution of a custom action: what CodePipeline handed
// over, and what the operator did about it. The operator makes these objects;
// deleting one cancels its work and fails the action.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pj,categories=codepipeline
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.actionRef.name`
// +kubebuilder:printcolumn:name="Pipeline",type=string,JSONPath=`.spec.pipeline.name`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.pipeline.stage`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Percent",type=integer,JSONPath=`.status.executionDetails.percentComplete`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reported",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Reported")].status`
// +kubebuilder:printcolumn:name="Run",type=integer,priority=1,JSONPath=`.status.run.number`
// +kubebuilder:printcolumn:name="Job",type=string,priority=1,JSONPath=`.status.run.jobName`
// +kubebuilder:printcolumn:name="Started",type=date,priority=1,JSONPath=`.status.run.startedAt`
// +kubebuilder:printcolumn:name="Finished",type=date,priority=1,JSONPath=`.status.finishedAt`
// +kubebuilder:printcolumn:name="Summary",type=string,priority=1,JSONPath=`.status.executionDetails.summary`
// +kubebuilder:printcolumn:name="Failure",type=string,priority=1,JSONPath=`.status.failureDetails.message`
type PipelineJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what CodePipeline handed over.
	// +required
	Spec PipelineJobSpec `json:"spec"`
	// status is what the operator did.
	// +optional
	Status PipelineJobStatus `json:"status,omitempty,omitzero"`
}

// PipelineJobList is a list of PipelineJobs.
//
// +kubebuilder:object:root=true
type PipelineJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PipelineJob `json:"items"`
}

// PipelineJobSpec is what CodePipeline handed over. Only job changes: CodePipeline
// hands the same action execution out again as a new job when it is continued,
// and with a new nonce when nobody acknowledged it.
//
// +kubebuilder:validation:XValidation:rule="self.actionRef == oldSelf.actionRef && self.aws == oldSelf.aws && self.pipeline == oldSelf.pipeline",message="actionRef, aws and pipeline are immutable: they are what CodePipeline handed over"
// +kubebuilder:validation:XValidation:rule="has(self.configuration) == has(oldSelf.configuration) && (!has(self.configuration) || self.configuration == oldSelf.configuration)",message="configuration is immutable: it is what CodePipeline handed over",fieldPath=".configuration"
type PipelineJobSpec struct {
	// actionRef is the CustomAction that the job was polled for.
	// +required
	ActionRef ActionReference `json:"actionRef"`

	// aws says where and as whom CodePipeline is called for this job: that of
	// the CustomAction at the time when the job was polled.
	// +required
	AWS AWS `json:"aws"`

	// accountID is the AWS account of the pipeline.
	// +optional
	// +kubebuilder:validation:MaxLength=12
	AccountID string `json:"accountID,omitempty"`

	// pipeline tells where in which pipeline the action is.
	// +required
	Pipeline PipelineContext `json:"pipeline"`

	// configuration is the action's configuration, without the values of
	// secret properties.
	// +optional
	// +kubebuilder:validation:MaxProperties=10
	Configuration map[string]ConfigurationValue `json:"configuration,omitempty"`

	// secretConfiguration names the secret properties that the action sets.
	// Their values are in the Secret of the job, while it runs.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=set
	SecretConfiguration []string `json:"secretConfiguration,omitempty"`

	// inputArtifacts are what the action reads.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	// +listType=map
	// +listMapKey=name
	InputArtifacts []Artifact `json:"inputArtifacts,omitempty"`

	// outputArtifacts are what the action writes.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	// +listType=map
	// +listMapKey=name
	OutputArtifacts []Artifact `json:"outputArtifacts,omitempty"`

	// encryptionKey is the KMS key for output artifacts, when the pipeline has one.
	// +optional
	EncryptionKey *EncryptionKey `json:"encryptionKey,omitempty"`

	// job is the CodePipeline job that now stands for the action execution.
	// +required
	Job Job `json:"job"`
}

// ConfigurationValue is the value of a configuration property.
//
// +kubebuilder:validation:MaxLength=1000
type ConfigurationValue string

// ActionReference names a CustomAction in the same namespace.
type ActionReference struct {
	// name of the CustomAction.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// PipelineContext tells where in which pipeline an action is.
type PipelineContext struct {
	// name of the pipeline.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Name string `json:"name,omitempty"`
	// arn of the pipeline.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	ARN string `json:"arn,omitempty"`
	// executionID of the pipeline's execution.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	ExecutionID string `json:"executionID,omitempty"`
	// stage of the pipeline.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Stage string `json:"stage,omitempty"`
	// action in the stage.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Action string `json:"action,omitempty"`
	// actionExecutionID is the stable name of the work: it stays the same when
	// CodePipeline continues the action with a new job.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ActionExecutionID string `json:"actionExecutionID,omitempty"`
}

// Artifact is an artifact and its place in S3.
type Artifact struct {
	// name of the artifact.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_-]+$`
	Name string `json:"name"`
	// revision of the artifact, when CodePipeline knows it.
	// +optional
	// +kubebuilder:validation:MaxLength=1500
	Revision string `json:"revision,omitempty"`
	// s3Location is its place.
	// +required
	S3Location S3Location `json:"s3Location"`
}

// S3Location is a place in S3.
type S3Location struct {
	// bucketName of the bucket.
	// +required
	BucketName string `json:"bucketName"`
	// objectKey in the bucket.
	// +required
	ObjectKey string `json:"objectKey"`
}

// EncryptionKey is a KMS key.
type EncryptionKey struct {
	// id is the key's ID, ARN or alias ARN.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=400
	ID string `json:"id"`
	// type of the key: KMS.
	// +required
	// +kubebuilder:validation:Enum=KMS
	Type string `json:"type"`
}

// Job is a CodePipeline job.
type Job struct {
	// id of the job.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	ID string `json:"id"`
	// nonce that acknowledges the job.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Nonce string `json:"nonce"`
	// continuationToken that the job before it ended with.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	ContinuationToken string `json:"continuationToken,omitempty"`
	// polledAt is when the job was polled.
	// +optional
	PolledAt *metav1.Time `json:"polledAt,omitempty"`
}

// Phase sums up where a PipelineJob is, for people. Programs read conditions.
//
// +kubebuilder:validation:Enum=Pending;Acknowledged;Running;Reporting;Continuing;Succeeded;Failed;Cancelled;Dropped
type Phase string

const (
	// PhasePending: polled, not acknowledged yet.
	PhasePending Phase = "Pending"
	// PhaseAcknowledged: claimed; the Kubernetes Job does not exist yet.
	PhaseAcknowledged Phase = "Acknowledged"
	// PhaseRunning: the Kubernetes Job works.
	PhaseRunning Phase = "Running"
	// PhaseReporting: the result is recorded and CodePipeline is being told.
	PhaseReporting Phase = "Reporting"
	// PhaseContinuing: CodePipeline was given a continuation token and will
	// hand the action out again.
	PhaseContinuing Phase = "Continuing"
	// PhaseSucceeded: CodePipeline took the success.
	PhaseSucceeded Phase = "Succeeded"
	// PhaseFailed: CodePipeline took the failure.
	PhaseFailed Phase = "Failed"
	// PhaseCancelled: CodePipeline no longer waited for the result.
	PhaseCancelled Phase = "Cancelled"
	// PhaseDropped: the job was never ours: another worker claimed it, or it
	// was no longer open.
	PhaseDropped Phase = "Dropped"
)

// PipelineJobStatus is what the operator did.
type PipelineJobStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up where the job is, for people.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// conditions: Acknowledged, Running, Complete, Reported.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// acknowledgedJobID is the last CodePipeline job that was acknowledged.
	// +optional
	AcknowledgedJobID string `json:"acknowledgedJobID,omitempty"`

	// acknowledgedNonce is the nonce with which it was acknowledged. When the same
	// job is handed out with another, the claim had no effect.
	// +optional
	AcknowledgedNonce string `json:"acknowledgedNonce,omitempty"`

	// call is the claim or report that is under way. It is written before the
	// call is made and removed with its answer, so that an operator that is
	// restarted in between knows that the call may have had its effect.
	// +optional
	Call *Call `json:"call,omitempty"`

	// secret tells which credentials the Secret of the job holds; absent when
	// there is none. The operator never reads Secrets.
	// +optional
	Secret *SecretState `json:"secret,omitempty"`

	// run is the current or last run.
	// +optional
	Run *Run `json:"run,omitempty"`

	// previousRuns are the last 10 runs before it, the newest last.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	PreviousRuns []Run `json:"previousRuns,omitempty"`

	// progress is what CodePipeline was told while the run goes on; what it was
	// told is in executionDetails.
	// +optional
	Progress *ProgressReport `json:"progress,omitempty"`

	// executionDetails are the executionDetails of PutJobSuccessResult.
	// +optional
	ExecutionDetails *ExecutionDetails `json:"executionDetails,omitempty"`

	// continuationToken with which the last run asked to be run again.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`

	// currentRevision of the work, for source actions.
	// +optional
	CurrentRevision *CurrentRevision `json:"currentRevision,omitempty"`

	// outputVariables of the action, 122,880 bytes at most.
	// +optional
	OutputVariables map[string]string `json:"outputVariables,omitempty"`

	// failureDetails are the failureDetails of PutJobFailureResult.
	// +optional
	FailureDetails *FailureDetails `json:"failureDetails,omitempty"`

	// reportedJobID is the last CodePipeline job that was given a result.
	// +optional
	ReportedJobID string `json:"reportedJobID,omitempty"`

	// continuedAt is when CodePipeline last took a continuation token.
	// +optional
	ContinuedAt *metav1.Time `json:"continuedAt,omitempty"`
	// acknowledgedAt is when the first claim was taken.
	// +optional
	AcknowledgedAt *metav1.Time `json:"acknowledgedAt,omitempty"`
	// finishedAt is when the work ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// reportedAt is when CodePipeline took the final result, or was found not
	// to wait for it any more.
	// +optional
	ReportedAt *metav1.Time `json:"reportedAt,omitempty"`
}

// Call is a call to CodePipeline whose answer is not recorded yet.
type Call struct {
	// operation is AcknowledgeJob, PutJobSuccessResult or PutJobFailureResult.
	// +required
	Operation string `json:"operation"`
	// jobID that it is made for.
	// +required
	JobID string `json:"jobID"`
	// nonce that it is made with (AcknowledgeJob).
	// +optional
	Nonce string `json:"nonce,omitempty"`
	// continuationToken that it is made with (PutJobSuccessResult).
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
	// since is when it was first tried.
	// +required
	Since metav1.Time `json:"since"`
	// tries counts how often it was tried: before the first, it is 1. A try
	// after one whose answer is not known can't tell its own effect from the
	// earlier one's.
	// +required
	Tries int32 `json:"tries"`
}

// ProgressReport is an update of the progress of a run that goes on.
type ProgressReport struct {
	// updates counts those of this PipelineJob.
	// +required
	Updates int32 `json:"updates"`
	// recordedAt is when the last one was written down to be told.
	// +required
	RecordedAt metav1.Time `json:"recordedAt"`
	// continuationToken of the operator's own, with which CodePipeline is told. The
	// job that comes back with it takes over the run. It is empty while there is
	// no such job to come.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
}

// SecretState tells what the Secret of a job was made from.
type SecretState struct {
	// jobID of the CodePipeline job that its credentials belong to.
	// +required
	JobID string `json:"jobID"`
	// renewedAt is when they were read from CodePipeline; they live for about
	// 15 minutes. It is absent while the Secret is about to be made.
	// +optional
	RenewedAt *metav1.Time `json:"renewedAt,omitempty"`
}

// Run is one Kubernetes Job.
type Run struct {
	// number counts the runs of this PipelineJob from 1.
	// +required
	Number int32 `json:"number"`
	// jobName is the name of the Kubernetes Job.
	// +required
	JobName string `json:"jobName"`
	// jobUID is set once the Kubernetes Job exists.
	// +optional
	JobUID string `json:"jobUID,omitempty"`
	// continuationToken that the run was given.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
	// startedAt is when the Kubernetes Job was created.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when the run's end was recorded.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// ExecutionDetails are CodePipeline's ExecutionDetails. Longer texts are cut
// to the limits before they are sent.
type ExecutionDetails struct {
	// summary of the work, 2048 characters at most.
	// +optional
	Summary string `json:"summary,omitempty"`
	// externalExecutionId of the work, 1500 characters at most; it fills
	// {ExternalExecutionId} in executionUrlTemplate. By default: NAMESPACE/JOB.
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
	// revision, 1 to 1500 characters.
	// +required
	Revision string `json:"revision"`
	// changeIdentifier, 1 to 100 characters.
	// +required
	ChangeIdentifier string `json:"changeIdentifier"`
	// created is when the revision was made.
	// +optional
	Created *metav1.Time `json:"created,omitempty"`
	// revisionSummary, 2048 characters at most.
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
	Type FailureType `json:"type"`
	// message, 5000 characters at most.
	// +required
	Message string `json:"message"`
	// externalExecutionId of the work, 1500 characters at most.
	// +optional
	ExternalExecutionID string `json:"externalExecutionId,omitempty"`
}

// Settled says whether CodePipeline waits for nothing more from this object:
// its final result was taken, or the job was never, or is no longer, ours. A
// settled object comes to life again when CodePipeline hands its action
// execution out anew, which shows as a newer generation.
func (j *PipelineJob) Settled() bool {
	return j.Status.ReportedAt != nil && j.Status.ObservedGeneration == j.Generation
}

// AwaitsContinuation says whether CodePipeline was given a continuation token
// and has not handed the action out again yet.
func (j *PipelineJob) AwaitsContinuation() bool {
	return (j.Status.ContinuationToken != "" || j.Status.ProgressToken() != "") && j.Status.ReportedJobID == j.Spec.Job.ID
}

// ProgressToken is the continuation token of an update of the progress that is
// to be told, or whose job has not come back yet; empty when there is none.
func (s *PipelineJobStatus) ProgressToken() string {
	if s.Progress == nil {
		return ""
	}
	return s.Progress.ContinuationToken
}

// RunGoesOn says whether a run was planned whose end is not recorded yet.
func (s *PipelineJobStatus) RunGoesOn() bool { return s.Run != nil && s.Run.FinishedAt == nil }
