// Package codepipeline is the operator's view of AWS CodePipeline: the calls
// that a job worker makes, what their errors mean, and the limits of what they
// take. The SDK's types stay inside it, and Kubernetes' types stay out of it.
package codepipeline

import "time"

// ActionTypeID names a custom action type; its owner is always Custom.
type ActionTypeID struct {
	Category string `json:"category"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

// String is category/provider/version, as messages show it.
func (id ActionTypeID) String() string {
	return id.Category + "/" + id.Provider + "/" + id.Version
}

// ActionType is a custom action type, without its tags.
type ActionType struct {
	ID         ActionTypeID
	Settings   Settings
	Properties []Property
	Inputs     ArtifactBounds
	Outputs    ArtifactBounds
}

// Settings are the links that the console shows for an action type.
type Settings struct {
	ThirdPartyConfigurationURL string `json:"thirdPartyConfigurationUrl"`
	EntityURLTemplate          string `json:"entityUrlTemplate"`
	ExecutionURLTemplate       string `json:"executionUrlTemplate"`
	RevisionURLTemplate        string `json:"revisionUrlTemplate"`
}

// Property is a configuration property of an action type.
type Property struct {
	Name        string
	Required    bool
	Key         bool
	Secret      bool
	Queryable   bool
	Description string
	Type        string
}

// ArtifactBounds bound a number of artifacts.
type ArtifactBounds struct {
	Minimum int32
	Maximum int32
}

// Job is a job as PollForJobs and GetJobDetails give it (GetJobDetails
// without a nonce).
//
// It holds credentials and the values of secret properties: it must not be
// logged or stored.
type Job struct {
	ID                string
	Nonce             string
	AccountID         string
	ActionType        ActionTypeID
	Configuration     map[string]string
	Pipeline          PipelineContext
	InputArtifacts    []Artifact
	OutputArtifacts   []Artifact
	Credentials       Credentials
	ContinuationToken string
	EncryptionKey     EncryptionKey
}

// PipelineContext is the pipeline of an action, and its place in it.
type PipelineContext struct {
	Name              string
	ARN               string
	ExecutionID       string
	Stage             string
	Action            string
	ActionExecutionID string
}

// Artifact is an artifact and its location in S3.
type Artifact struct {
	Name      string
	Revision  string
	Bucket    string
	ObjectKey string
}

// Credentials are temporary AWS credentials, good for about 15 minutes.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// String keeps credentials out of logs and error texts.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps credentials out of %#v.
func (Credentials) GoString() string { return "[redacted]" }

// EncryptionKey is the key for output artifacts; ID is empty when the job has none.
type EncryptionKey struct {
	ID   string
	Type string
}

// Success is the request of PutJobSuccessResult.
type Success struct {
	JobID               string
	Summary             string
	ExternalExecutionID string
	PercentComplete     *int32
	// ContinuationToken ends the job, and CodePipeline creates a new one for the
	// same action execution. OutputVariables may not be set with it.
	ContinuationToken string
	OutputVariables   map[string]string
	CurrentRevision   *Revision
}

// Revision is CodePipeline's CurrentRevision.
type Revision struct {
	Revision         string
	ChangeIdentifier string
	Created          *time.Time
	Summary          string
}

// Failure is the request of PutJobFailureResult.
type Failure struct {
	JobID               string
	Type                string
	Message             string
	ExternalExecutionID string
}

// JobStatusInProgress is the only response of AcknowledgeJob that is a successful claim.
const JobStatusInProgress = "InProgress"
