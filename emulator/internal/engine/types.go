package engine

import "encoding/json"

// The types here are the wire's: AWS's field names, and only the members that
// the engine reads or writes.

type typeID struct {
	Category string `json:"category"`
	Owner    string `json:"owner"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

func (id typeID) String() string {
	return id.Category + "/" + id.Owner + "/" + id.Provider + "/" + id.Version
}

type property struct {
	Name        string `json:"name"`
	Required    bool   `json:"required"`
	Key         bool   `json:"key"`
	Secret      bool   `json:"secret"`
	Queryable   bool   `json:"queryable"`
	Description string `json:"description,omitempty"`
	Type        string `json:"type,omitempty"`
}

type artifactDetails struct {
	MinimumCount int `json:"minimumCount"`
	MaximumCount int `json:"maximumCount"`
}

type settings struct {
	ThirdPartyConfigurationURL string `json:"thirdPartyConfigurationUrl,omitempty"`
	EntityURLTemplate          string `json:"entityUrlTemplate,omitempty"`
	ExecutionURLTemplate       string `json:"executionUrlTemplate,omitempty"`
	RevisionURLTemplate        string `json:"revisionUrlTemplate,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// actionType is CodePipeline's ActionType.
type actionType struct {
	ID         typeID          `json:"id"`
	Settings   *settings       `json:"settings,omitempty"`
	Properties []property      `json:"actionConfigurationProperties,omitempty"`
	Inputs     artifactDetails `json:"inputArtifactDetails"`
	Outputs    artifactDetails `json:"outputArtifactDetails"`

	deleted bool
	tags    map[string]string
}

type artifactStore struct {
	Type          string         `json:"type"`
	Location      string         `json:"location"`
	EncryptionKey *encryptionKey `json:"encryptionKey,omitempty"`
}

type encryptionKey struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type artifactName struct {
	Name string `json:"name"`
	// Files is kept and shown only.
	Files []string `json:"files,omitempty"`
}

type actionDeclaration struct {
	Name            string            `json:"name"`
	ActionTypeID    typeID            `json:"actionTypeId"`
	RunOrder        int               `json:"runOrder,omitempty"`
	Configuration   map[string]string `json:"configuration,omitempty"`
	InputArtifacts  []artifactName    `json:"inputArtifacts,omitempty"`
	OutputArtifacts []artifactName    `json:"outputArtifacts,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	RoleARN         string            `json:"roleArn,omitempty"`
	Region          string            `json:"region,omitempty"`
	// TimeoutInMinutes is for manual approvals only.
	TimeoutInMinutes int `json:"timeoutInMinutes,omitempty"`
	// The rest is of built-in actions that the engine does not run: it is kept and
	// shown only.
	Commands             []string          `json:"commands,omitempty"`
	OutputVariables      []string          `json:"outputVariables,omitempty"`
	EnvironmentVariables []json.RawMessage `json:"environmentVariables,omitempty"`
}

type stageDeclaration struct {
	Name     string              `json:"name"`
	Blockers []json.RawMessage   `json:"blockers,omitempty"`
	Actions  []actionDeclaration `json:"actions"`
	// Conditions are kept and shown only.
	OnFailure   json.RawMessage `json:"onFailure,omitempty"`
	OnSuccess   json.RawMessage `json:"onSuccess,omitempty"`
	BeforeEntry json.RawMessage `json:"beforeEntry,omitempty"`
}

type variable struct {
	Name         string `json:"name"`
	DefaultValue string `json:"defaultValue,omitempty"`
	Description  string `json:"description,omitempty"`
}

type declaration struct {
	Name          string         `json:"name"`
	RoleARN       string         `json:"roleArn"`
	ArtifactStore *artifactStore `json:"artifactStore,omitempty"`
	// ArtifactStores are by region. The pipeline's own is the one that is used.
	ArtifactStores map[string]artifactStore `json:"artifactStores,omitempty"`
	Stages         []stageDeclaration       `json:"stages"`
	Version        int                      `json:"version,omitempty"`
	ExecutionMode  string                   `json:"executionMode,omitempty"`
	PipelineType   string                   `json:"pipelineType,omitempty"`
	Variables      []variable               `json:"variables,omitempty"`
	// Triggers are of git sources: they are kept and shown only.
	Triggers []json.RawMessage `json:"triggers,omitempty"`
}

type s3Location struct {
	BucketName string `json:"bucketName"`
	ObjectKey  string `json:"objectKey"`
}

type artifactLocation struct {
	Type       string     `json:"type"`
	S3Location s3Location `json:"s3Location"`
}

// artifact is an artifact as a job gets it.
type artifact struct {
	Name     string           `json:"name"`
	Revision string           `json:"revision,omitempty"`
	Location artifactLocation `json:"location"`
}

type executionDetails struct {
	Summary             string `json:"summary"`
	ExternalExecutionID string `json:"externalExecutionId"`
	PercentComplete     *int   `json:"percentComplete"`
}

type currentRevision struct {
	Revision         string  `json:"revision"`
	ChangeIdentifier string  `json:"changeIdentifier"`
	Created          float64 `json:"created"`
	RevisionSummary  string  `json:"revisionSummary"`
}

type failureDetails struct {
	Type                string `json:"type"`
	Message             string `json:"message"`
	ExternalExecutionID string `json:"externalExecutionId"`
}
