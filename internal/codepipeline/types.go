// Package codepipeline is the operator's view of AWS CodePipeline: the calls of a job worker, the
// meaning of their errors, and the limits of their inputs. It does not expose the SDK's types, and
// does not use Kubernetes' types.
package codepipeline

import "time"

// ActionTypeID identifies a custom action type. Its owner is always Custom.
type ActionTypeID struct {
	Category string `json:"category"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

// String returns category/provider/version, as shown in messages.
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

// Settings are the links in the console for an action type.
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

// ArtifactBounds are the bounds of the number of artifacts.
type ArtifactBounds struct {
	Minimum int32
	Maximum int32
}

// Job is a job as returned by PollForJobs and GetJobDetails, which returns no nonce.
//
// It has credentials and the values of secret properties, so it must not be logged or stored.
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

// PipelineContext is the pipeline of an action and the action's place in it.
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

// Credentials are temporary AWS credentials, valid for about 15 minutes.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// String keeps credentials out of logs and error texts.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps credentials out of %#v.
func (Credentials) GoString() string { return "[redacted]" }

// EncryptionKey is the key for output artifacts. ID is empty if the job has none.
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
	// ContinuationToken ends the job and makes CodePipeline create a new one for the same action
	// execution. It can't be combined with OutputVariables.
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
