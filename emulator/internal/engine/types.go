package engine

import (
	"encoding/json"
	"fmt"
)

// These types match AWS's JSON, with only the members that the engine reads or writes.

// TypeID identifies an action type.
type TypeID struct {
	Category string `json:"category"`
	Owner    string `json:"owner"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

func (id TypeID) String() string {
	return id.Category + "/" + id.Owner + "/" + id.Provider + "/" + id.Version
}

// described returns the ID in the form of the service's error messages.
func (id TypeID) described() string {
	return fmt.Sprintf("ActionType (Category: '%s', Owner: '%s', Provider: '%s', Version: '%s')", id.Category, id.Owner, id.Provider, id.Version)
}

// Property is a configuration property of an action type.
type Property struct {
	Name        string `json:"name"`
	Required    bool   `json:"required"`
	Key         bool   `json:"key"`
	Secret      bool   `json:"secret"`
	Queryable   bool   `json:"queryable"`
	Description string `json:"description,omitempty"`
	Type        string `json:"type,omitempty"`
}

// ArtifactDetails limits the number of artifacts of an action.
type ArtifactDetails struct {
	MinimumCount int `json:"minimumCount"`
	MaximumCount int `json:"maximumCount"`
}

// Settings has the URLs of an action type.
type Settings struct {
	ThirdPartyConfigurationURL string `json:"thirdPartyConfigurationUrl,omitempty"`
	EntityURLTemplate          string `json:"entityUrlTemplate,omitempty"`
	ExecutionURLTemplate       string `json:"executionUrlTemplate,omitempty"`
	RevisionURLTemplate        string `json:"revisionUrlTemplate,omitempty"`
}

// Tag is a tag of a pipeline or action type.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ActionType is an action type.
type ActionType struct {
	ID         TypeID          `json:"id"`
	Settings   *Settings       `json:"settings"`
	Properties []Property      `json:"actionConfigurationProperties,omitempty"`
	Inputs     ArtifactDetails `json:"inputArtifactDetails"`
	Outputs    ArtifactDetails `json:"outputArtifactDetails"`

	deleted bool
	tags    map[string]string
}

// ArtifactStore is the bucket in which a pipeline keeps its artifacts.
type ArtifactStore struct {
	Type          string         `json:"type"`
	Location      string         `json:"location"`
	EncryptionKey *EncryptionKey `json:"encryptionKey,omitempty"`
}

// EncryptionKey is the KMS key of an ArtifactStore.
type EncryptionKey struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// ArtifactName names an artifact of an action.
type ArtifactName struct {
	Name string `json:"name"`
	// Files is only stored and returned.
	Files []string `json:"files,omitempty"`
}

// ActionDeclaration declares an action of a stage.
type ActionDeclaration struct {
	Name            string            `json:"name"`
	ActionTypeID    TypeID            `json:"actionTypeId"`
	RunOrder        int               `json:"runOrder"`
	Configuration   map[string]string `json:"configuration"`
	InputArtifacts  []ArtifactName    `json:"inputArtifacts"`
	OutputArtifacts []ArtifactName    `json:"outputArtifacts"`
	Namespace       string            `json:"namespace,omitempty"`
	RoleARN         string            `json:"roleArn,omitempty"`
	Region          string            `json:"region,omitempty"`
	// TimeoutInMinutes is for manual approvals only.
	TimeoutInMinutes int `json:"timeoutInMinutes,omitempty"`
	// The rest is for built-in actions that the engine does not run. It is only stored and
	// returned.
	Commands             []string          `json:"commands,omitempty"`
	OutputVariables      []string          `json:"outputVariables,omitempty"`
	EnvironmentVariables []json.RawMessage `json:"environmentVariables,omitempty"`
}

// StageDeclaration declares a stage of a pipeline.
type StageDeclaration struct {
	Name     string              `json:"name"`
	Blockers []json.RawMessage   `json:"blockers,omitempty"`
	Actions  []ActionDeclaration `json:"actions"`
	// Conditions are only stored and returned.
	OnFailure   json.RawMessage `json:"onFailure,omitempty"`
	OnSuccess   json.RawMessage `json:"onSuccess,omitempty"`
	BeforeEntry json.RawMessage `json:"beforeEntry,omitempty"`
}

// Variable declares a variable of a pipeline.
type Variable struct {
	Name         string `json:"name"`
	DefaultValue string `json:"defaultValue,omitempty"`
	Description  string `json:"description,omitempty"`
}

// Declaration declares a pipeline.
type Declaration struct {
	Name          string         `json:"name"`
	RoleARN       string         `json:"roleArn"`
	ArtifactStore *ArtifactStore `json:"artifactStore,omitempty"`
	// ArtifactStores are by region. Only that of the pipeline's region is used.
	ArtifactStores map[string]ArtifactStore `json:"artifactStores,omitempty"`
	Stages         []StageDeclaration       `json:"stages"`
	Version        int                      `json:"version,omitempty"`
	ExecutionMode  string                   `json:"executionMode,omitempty"`
	PipelineType   string                   `json:"pipelineType,omitempty"`
	Variables      []Variable               `json:"variables,omitempty"`
	// Triggers are for git sources. They are only stored and returned.
	Triggers []json.RawMessage `json:"triggers,omitempty"`
}

// S3Location is an object of S3.
type S3Location struct {
	BucketName string `json:"bucketName"`
	ObjectKey  string `json:"objectKey"`
}

// ArtifactLocation is the location of an artifact.
type ArtifactLocation struct {
	Type       string     `json:"type"`
	S3Location S3Location `json:"s3Location"`
}

// Artifact is an artifact in a job's data.
type Artifact struct {
	Name     string           `json:"name"`
	Revision string           `json:"revision,omitempty"`
	Location ArtifactLocation `json:"location"`
}

// ExecutionDetails is what a worker reports about its work.
type ExecutionDetails struct {
	Summary             string `json:"summary"`
	ExternalExecutionID string `json:"externalExecutionId"`
	PercentComplete     *int   `json:"percentComplete"`
}

// CurrentRevision is the revision that a worker reports.
type CurrentRevision struct {
	Revision         string  `json:"revision"`
	ChangeIdentifier string  `json:"changeIdentifier"`
	Created          float64 `json:"created"`
	RevisionSummary  string  `json:"revisionSummary"`
}

// FailureDetails is why a worker failed.
type FailureDetails struct {
	Type                string `json:"type"`
	Message             string `json:"message"`
	ExternalExecutionID string `json:"externalExecutionId"`
}
