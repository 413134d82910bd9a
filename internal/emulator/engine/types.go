package engine

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
}

type stageDeclaration struct {
	Name    string              `json:"name"`
	Actions []actionDeclaration `json:"actions"`
}

type variable struct {
	Name         string `json:"name"`
	DefaultValue string `json:"defaultValue,omitempty"`
	Description  string `json:"description,omitempty"`
}

type declaration struct {
	Name          string             `json:"name"`
	RoleARN       string             `json:"roleArn"`
	ArtifactStore *artifactStore     `json:"artifactStore,omitempty"`
	Stages        []stageDeclaration `json:"stages"`
	Version       int                `json:"version,omitempty"`
	ExecutionMode string             `json:"executionMode,omitempty"`
	PipelineType  string             `json:"pipelineType,omitempty"`
	Variables     []variable         `json:"variables,omitempty"`
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
