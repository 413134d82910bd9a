package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PipelineJob is one execution of a custom action: what CodePipeline handed over,
// and what the operator did about it. The operator creates these objects. Deleting
// one cancels its work and fails the action in the pipeline.
//
// The labels codepipeline.pipelinejob.dev/pipeline, stage and action have the names of
// the pipeline, its stage and its action, custom-action that of the CustomAction, and
// pipeline-job that of the PipelineJob. A name that is not a valid label value is replaced
// by its digest. Field selectors on spec.pipeline.name, spec.pipeline.stage,
// spec.pipeline.action, spec.actionRef.name and status.phase accept every name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cpjob,categories=codepipeline
// +kubebuilder:selectablefield:JSONPath=`.spec.actionRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.pipeline.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.pipeline.stage`
// +kubebuilder:selectablefield:JSONPath=`.spec.pipeline.action`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Pipeline",type=string,JSONPath=`.spec.pipeline.name`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.pipeline.stage`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Running")].reason`
// +kubebuilder:printcolumn:name="Percent",type=integer,JSONPath=`.status.executionDetails.percentComplete`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Action",type=string,priority=1,JSONPath=`.spec.actionRef.name`
// +kubebuilder:printcolumn:name="Reported",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Reported")].status`
// +kubebuilder:printcolumn:name="Run",type=integer,priority=1,JSONPath=`.status.run.number`
// +kubebuilder:printcolumn:name="Job",type=string,priority=1,JSONPath=`.status.run.jobName`
// +kubebuilder:printcolumn:name="Started",type=date,priority=1,JSONPath=`.status.run.startedAt`
// +kubebuilder:printcolumn:name="Finished",type=date,priority=1,JSONPath=`.status.finishedAt`
// +kubebuilder:printcolumn:name="Summary",type=string,priority=1,JSONPath=`.status.executionDetails.summary`
// +kubebuilder:printcolumn:name="Failure",type=string,priority=1,JSONPath=`.status.failureDetails.message`
type PipelineJob struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what CodePipeline handed over.
	// +required
	Spec PipelineJobSpec `json:"spec,omitzero"`
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

// PipelineJobSpec is what CodePipeline handed over. It is immutable, except for
// codePipelineJob, which the operator updates: CodePipeline hands out the same action
// execution again as a new job when it is continued, and with a new nonce if no worker
// acknowledged it.
//
// Sizes are not limited here: the value of a variable may exceed every documented limit,
// and the operator can't fail a job that it can't record.
//
// +kubebuilder:validation:XValidation:rule="self.actionRef == oldSelf.actionRef",message="actionRef is immutable: it is what CodePipeline handed over",fieldPath=".actionRef"
// +kubebuilder:validation:XValidation:rule="self.accountRef == oldSelf.accountRef",message="accountRef is immutable: it is what CodePipeline handed over the job with",fieldPath=".accountRef"
// +kubebuilder:validation:XValidation:rule="self.region == oldSelf.region",message="region is immutable: it is what CodePipeline handed over the job in",fieldPath=".region"
// +kubebuilder:validation:XValidation:rule="has(self.queryParam) == has(oldSelf.queryParam) && (!has(self.queryParam) || self.queryParam == oldSelf.queryParam)",message="queryParam is immutable: it is what CodePipeline handed over the job with",fieldPath=".queryParam"
// +kubebuilder:validation:XValidation:rule="self.pipeline == oldSelf.pipeline",message="pipeline is immutable: it is what CodePipeline handed over",fieldPath=".pipeline"
// +kubebuilder:validation:XValidation:rule="has(self.configuration) == has(oldSelf.configuration) && (!has(self.configuration) || self.configuration == oldSelf.configuration)",message="configuration is immutable: it is what CodePipeline handed over",fieldPath=".configuration"
// +kubebuilder:validation:XValidation:rule="has(self.secretConfiguration) == has(oldSelf.secretConfiguration) && (!has(self.secretConfiguration) || self.secretConfiguration == oldSelf.secretConfiguration)",message="secretConfiguration is immutable: it is what CodePipeline handed over",fieldPath=".secretConfiguration"
// +kubebuilder:validation:XValidation:rule="has(self.inputArtifacts) == has(oldSelf.inputArtifacts) && (!has(self.inputArtifacts) || self.inputArtifacts == oldSelf.inputArtifacts)",message="inputArtifacts is immutable: it is what CodePipeline handed over",fieldPath=".inputArtifacts"
// +kubebuilder:validation:XValidation:rule="has(self.outputArtifacts) == has(oldSelf.outputArtifacts) && (!has(self.outputArtifacts) || self.outputArtifacts == oldSelf.outputArtifacts)",message="outputArtifacts is immutable: it is what CodePipeline handed over",fieldPath=".outputArtifacts"
// +kubebuilder:validation:XValidation:rule="has(self.encryptionKey) == has(oldSelf.encryptionKey) && (!has(self.encryptionKey) || self.encryptionKey == oldSelf.encryptionKey)",message="encryptionKey is immutable: it is what CodePipeline handed over",fieldPath=".encryptionKey"
// +kubebuilder:validation:XValidation:rule="has(self.accountID) == has(oldSelf.accountID) && (!has(self.accountID) || self.accountID == oldSelf.accountID)",message="accountID is immutable: it is what CodePipeline handed over",fieldPath=".accountID"
// +kubebuilder:validation:XValidation:rule="has(self.omitted) == has(oldSelf.omitted) && (!has(self.omitted) || self.omitted == oldSelf.omitted)",message="omitted is immutable: it is what CodePipeline handed over",fieldPath=".omitted"
type PipelineJobSpec struct {
	// actionRef is the CustomAction that the job was polled for.
	// +required
	ActionRef ActionReference `json:"actionRef,omitzero"`

	// accountRef names the CodePipelineAccount with which the job was polled, and that all
	// calls for it use.
	// +required
	AccountRef AccountReference `json:"accountRef,omitzero"`

	// region is the region in which the job was polled.
	// +required
	Region Region `json:"region,omitempty"`

	// accountID is the AWS account of the pipeline.
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// queryParam is the spec.polling.queryParam with which the job was polled.
	// +optional
	// +kubebuilder:validation:MaxProperties=1
	QueryParam map[string]QueryValue `json:"queryParam,omitempty"`

	// pipeline is the pipeline of the action, and its place in it.
	// +required
	Pipeline PipelineContext `json:"pipeline"`

	// configuration is the action's configuration, without the values of
	// secret properties.
	// +optional
	Configuration map[string]string `json:"configuration,omitempty"`

	// secretConfiguration names the secret properties that the action sets.
	// Their values are in the Secret of the job, while it runs.
	// +optional
	// +listType=atomic
	SecretConfiguration []string `json:"secretConfiguration,omitempty"`

	// inputArtifacts are the artifacts that the action reads.
	// +optional
	// +listType=atomic
	InputArtifacts []Artifact `json:"inputArtifacts,omitempty"`

	// outputArtifacts are the artifacts that the action writes.
	// +optional
	// +listType=atomic
	OutputArtifacts []Artifact `json:"outputArtifacts,omitempty"`

	// encryptionKey is the KMS key for output artifacts, if the pipeline has one.
	// +optional
	EncryptionKey *EncryptionKey `json:"encryptionKey,omitempty"`

	// omitted says which members of the job are not in this object, and why: with them,
	// the API server refused it, because an object is limited to about 1.5 MiB. The
	// action then fails with a ConfigurationError. Absent if nothing was left out.
	// +optional
	Omitted string `json:"omitted,omitempty"`

	// codePipelineJob is the current CodePipeline job of the action execution.
	// +required
	CodePipelineJob CodePipelineJob `json:"codePipelineJob"`
}

// ActionReference names a CustomAction in the same namespace.
type ActionReference struct {
	// name of the CustomAction.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PipelineContext is the pipeline of an action, and its place in it.
type PipelineContext struct {
	// name of the pipeline.
	// +optional
	Name string `json:"name,omitempty"`
	// arn of the pipeline.
	// +optional
	ARN string `json:"arn,omitempty"`
	// executionID of the pipeline's execution.
	// +optional
	ExecutionID string `json:"executionID,omitempty"`
	// stage of the pipeline.
	// +optional
	Stage string `json:"stage,omitempty"`
	// action in the stage.
	// +optional
	Action string `json:"action,omitempty"`
	// actionExecutionID is the stable name of the work: it stays the same when
	// CodePipeline continues the action with a new job.
	// +optional
	ActionExecutionID string `json:"actionExecutionID,omitempty"`
}

// Artifact is an artifact and its location in S3.
type Artifact struct {
	// name of the artifact.
	// +required
	Name string `json:"name"`
	// revision of the artifact, if CodePipeline knows it.
	// +optional
	Revision string `json:"revision,omitempty"`
	// s3Location is its location.
	// +required
	S3Location S3Location `json:"s3Location"`
}

// S3Location is a location in S3.
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
	ID string `json:"id"`
	// type of the key: KMS.
	// +required
	Type string `json:"type"`
}

// CodePipelineJob is a CodePipeline job.
type CodePipelineJob struct {
	// id of the job.
	// +required
	ID string `json:"id"`
	// nonce that acknowledges the job.
	// +required
	Nonce string `json:"nonce"`
	// continuationToken that the previous job ended with.
	// +optional
	ContinuationToken string `json:"continuationToken,omitempty"`
	// polledAt is when the job was polled.
	// +optional
	PolledAt *metav1.Time `json:"polledAt,omitempty"`
}
