package v1alpha1

// ActionType is the request of CreateCustomActionType.
//
// +kubebuilder:validation:XValidation:rule="self.category == oldSelf.category",message="category is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".category"
// +kubebuilder:validation:XValidation:rule="self.provider == oldSelf.provider",message="provider is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".provider"
// +kubebuilder:validation:XValidation:rule="self.version == oldSelf.version",message="version is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".version"
// +kubebuilder:validation:XValidation:rule="has(self.settings) == has(oldSelf.settings) && (!has(self.settings) || self.settings == oldSelf.settings)",message="settings are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".settings"
// +kubebuilder:validation:XValidation:rule="has(self.configurationProperties) == has(oldSelf.configurationProperties) && (!has(self.configurationProperties) || self.configurationProperties == oldSelf.configurationProperties)",message="configurationProperties are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".configurationProperties"
// +kubebuilder:validation:XValidation:rule="self.inputArtifactDetails == oldSelf.inputArtifactDetails",message="inputArtifactDetails are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".inputArtifactDetails"
// +kubebuilder:validation:XValidation:rule="self.outputArtifactDetails == oldSelf.outputArtifactDetails",message="outputArtifactDetails are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".outputArtifactDetails"
// +kubebuilder:validation:XValidation:rule="!has(self.configurationProperties) || self.configurationProperties.filter(p, has(p.queryable) && p.queryable).size() <= 1",message="at most one property may be queryable",fieldPath=".configurationProperties"
type ActionType struct {
	// category is the kind of action.
	// +required
	Category Category `json:"category"`

	// provider is the name of the provider of the service, as pipelines name it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z_-]+$`
	Provider string `json:"provider"`

	// version tells definitions of the same category and provider apart. A
	// deleted version can come back only with the identical definition.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=9
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z_-]+$`
	Version string `json:"version"`

	// settings are links that the CodePipeline console shows.
	// +optional
	Settings *ActionTypeSettings `json:"settings,omitempty"`

	// configurationProperties are what a pipeline can set for an action.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=name
	ConfigurationProperties []ConfigurationProperty `json:"configurationProperties,omitempty"`

	// inputArtifactDetails say how many input artifacts an action takes.
	// +required
	InputArtifactDetails ArtifactDetails `json:"inputArtifactDetails"`

	// outputArtifactDetails say how many output artifacts an action gives.
	// +required
	OutputArtifactDetails ArtifactDetails `json:"outputArtifactDetails"`

	// tags of the action type. They can be changed.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=map
	// +listMapKey=key
	Tags []Tag `json:"tags,omitempty"`
}

// Category is the kind of an action.
//
// +kubebuilder:validation:Enum=Source;Build;Deploy;Test;Invoke;Approval;Compute
type Category string

// ActionTypeSettings are links that the CodePipeline console shows.
type ActionTypeSettings struct {
	// thirdPartyConfigurationUrl is where users sign up and configure the
	// third party's service.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	ThirdPartyConfigurationURL string `json:"thirdPartyConfigurationUrl,omitempty"`
	// entityUrlTemplate is the link to the external resource of an action,
	// with {Config:NAME} for a configuration property.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	EntityURLTemplate string `json:"entityUrlTemplate,omitempty"`
	// executionUrlTemplate is the link to one execution, with
	// {ExternalExecutionId} and {Config:NAME}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	ExecutionURLTemplate string `json:"executionUrlTemplate,omitempty"`
	// revisionUrlTemplate is the link to the page where the configuration of
	// the external action can be changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	RevisionURLTemplate string `json:"revisionUrlTemplate,omitempty"`
}

// ConfigurationProperty is something that a pipeline can set for an action.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.queryable) && self.queryable) || self.required",message="a queryable property must be required",fieldPath=".required"
// +kubebuilder:validation:XValidation:rule="!(has(self.queryable) && self.queryable) || !self.secret",message="a queryable property must not be secret",fieldPath=".secret"
type ConfigurationProperty struct {
	// name of the property.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name"`
	// required says whether every action must set it.
	// +required
	Required bool `json:"required"`
	// key says whether it is the key of the action's identity.
	// +required
	Key bool `json:"key"`
	// secret says whether its value is hidden by CodePipeline in all but a
	// job's details. Steps get it from a Secret.
	// +required
	Secret bool `json:"secret"`
	// queryable says whether jobs can be polled for by its value (queryParam).
	// +optional
	Queryable *bool `json:"queryable,omitempty"`
	// description for users of the console.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=160
	Description string `json:"description,omitempty"`
	// type of its value.
	// +optional
	// +kubebuilder:validation:Enum=String;Number;Boolean
	Type string `json:"type,omitempty"`
}

// ArtifactDetails bound a number of artifacts.
//
// +kubebuilder:validation:XValidation:rule="self.minimumCount <= self.maximumCount",message="minimumCount must not be over maximumCount",fieldPath=".minimumCount"
type ArtifactDetails struct {
	// minimumCount is the fewest, 0 to 5.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	MinimumCount int32 `json:"minimumCount"`
	// maximumCount is the most, 0 to 5.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	MaximumCount int32 `json:"maximumCount"`
}

// Tag is a tag of the action type.
type Tag struct {
	// key of the tag.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Key string `json:"key"`
	// value of the tag.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value"`
}
