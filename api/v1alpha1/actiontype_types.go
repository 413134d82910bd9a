package v1alpha1

// Where the rules of this file come from:
//   - lengths, counts, patterns and enums: the service model, CodePipeline
//     2015-07-09, shapes of CreateCustomActionType and Tag.
//   - what a URL template may hold: the API reference of CreateCustomActionType,
//     configurationProperties ("{Config:name}, as long as the configuration
//     property is both required and not secret"), and of {ExternalExecutionId}
//     in executionUrlTemplate the user guide, "Create and add a custom action".
//     {RevisionId} is in the revisionUrlTemplate of AWS's own GitHub source. That
//     a template begins with a scheme, or with {Config:name} of a property that may
//     hold it, is ours: users follow it as a link. These rules are in CustomActionSpec,
//     where registration is: an action type that exists is never refused for its URLs.
//   - at most one queryable property, required and not secret: the API
//     reference of ActionConfigurationProperty.
//   - number, characters and uniqueness of tags: the user guide, "Quotas",
//     rows "Pipeline tags", "Pipeline tag key names" and "Pipeline tag values".
//     Of a value's length the guide says 1 to 256, but the model and the
//     guide's page "Tagging resources" allow the empty one. The prefix aws: is
//     reserved, in upper and lower case, by the tag restrictions that AWS's
//     services share (API references of ECS and Batch, Tag).
//   - names of properties that don't meet in one environment variable: ours
//     (podcontract.EnvConfig).
//
// Rules are in the comments of types and fields, beside what they guard. Their
// cost is bounded by the lengths: a rule on a field without a MaxLength or
// MaxItems can make the API server refuse the CRD. An empty string in a rule is
// in double quotes: gofmt takes two single ones for a closing quotation mark.

// ActionType is the request of CreateCustomActionType.
//
// +kubebuilder:validation:XValidation:rule="!has(self.category) || self.category == oldSelf.category",message="category is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".category"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider == oldSelf.provider",message="provider is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".provider"
// +kubebuilder:validation:XValidation:rule="!has(self.version) || self.version == oldSelf.version",message="version is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".version"
// +kubebuilder:validation:XValidation:rule="has(self.settings) == has(oldSelf.settings) && (!has(self.settings) || self.settings == oldSelf.settings)",message="settings are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".settings"
// +kubebuilder:validation:XValidation:rule="(has(self.configurationProperties) ? self.configurationProperties : []) == (has(oldSelf.configurationProperties) ? oldSelf.configurationProperties : [])",message="configurationProperties are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".configurationProperties"
// +kubebuilder:validation:XValidation:rule="!has(self.inputArtifactDetails) || self.inputArtifactDetails == oldSelf.inputArtifactDetails",message="inputArtifactDetails are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".inputArtifactDetails"
// +kubebuilder:validation:XValidation:rule="!has(self.outputArtifactDetails) || self.outputArtifactDetails == oldSelf.outputArtifactDetails",message="outputArtifactDetails are immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version",fieldPath=".outputArtifactDetails"
// +kubebuilder:validation:XValidation:rule="!has(self.configurationProperties) || self.configurationProperties.filter(p, has(p.queryable) && p.queryable).size() <= 1",message="at most one property may be queryable: set queryable to false for the others",fieldPath=".configurationProperties"
// +kubebuilder:validation:XValidation:rule="!has(self.configurationProperties) || [self.configurationProperties.map(p, p.name.upperAscii().split(\"\").map(c, c.matches('[A-Z0-9]') ? c : '_'))].all(names, names.all(n, names.exists_one(other, other == n)))",message="two names become the same environment variable: steps see a property as CODEPIPELINE_CONFIG_ and its name in upper case, with _ for all but letters and digits. Rename one",fieldPath=".configurationProperties"
// +kubebuilder:validation:XValidation:rule="has(self.category) || has(self.Category) || has(self.id)",message="set it to the kind of stage that the action is for, such as Build or Test",reason=FieldValueRequired,fieldPath=".category"
// +kubebuilder:validation:XValidation:rule="has(self.provider) || has(self.Category) || has(self.id)",message="set it to the name under which pipelines know the action, such as PipelineJob-Build",reason=FieldValueRequired,fieldPath=".provider"
// +kubebuilder:validation:XValidation:rule="has(self.version) || has(self.Category) || has(self.id)",message="set it to the version of the definition, such as \"1\"",reason=FieldValueRequired,fieldPath=".version"
// +kubebuilder:validation:XValidation:rule="has(self.inputArtifactDetails) || has(self.Category) || has(self.id)",message="set it to how many input artifacts an action takes, such as {minimumCount: 0, maximumCount: 1}",reason=FieldValueRequired,fieldPath=".inputArtifactDetails"
// +kubebuilder:validation:XValidation:rule="has(self.outputArtifactDetails) || has(self.Category) || has(self.id)",message="set it to how many output artifacts an action gives, such as {minimumCount: 0, maximumCount: 1}",reason=FieldValueRequired,fieldPath=".outputArtifactDetails"
type ActionType struct {
	ForeignKeys `json:",inline"`

	// category is the kind of stage that the action is for, such as Build or Test.
	// Category, provider and version identify the action type in its account and
	// region. It is required.
	// +optional
	Category Category `json:"category,omitempty"`

	// provider is the name under which pipelines and the console know the
	// action, such as PipelineJob-Build: 1 to 35 letters, digits, underscores
	// and hyphens. It is required.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z_-]+$')",message="provider may have letters, digits, underscores and hyphens only, such as PipelineJob-Build"
	Provider string `json:"provider,omitempty"`

	// version distinguishes definitions of the same category and provider, such as
	// "1" (in quotes, because YAML would make it a number): 1 to 9 letters, digits,
	// underscores and hyphens. Pipelines name the version, so a new version takes
	// effect in a pipeline when the pipeline is changed to it. A deleted version can
	// be created again only with the identical definition. It is required.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=9
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z_-]+$')",message="version may have letters, digits, underscores and hyphens only, 1 to 9 of them: write 1 or 1-0-0 for 1.0.0"
	Version string `json:"version,omitempty"`

	// settings are links that the CodePipeline console shows with the action.
	// +optional
	Settings *ActionTypeSettings `json:"settings,omitempty"`

	// configurationProperties are what a pipeline can set for an action: 10 at
	// most, with different names. Steps get the value as the environment variable
	// CODEPIPELINE_CONFIG_NAME, with the name in upper case and an underscore for
	// everything but letters and digits. Two names must not become the same
	// variable. jobTemplate can refer to the value as $(config.NAME).
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=name
	ConfigurationProperties []ConfigurationProperty `json:"configurationProperties,omitempty"`

	// inputArtifactDetails set how many input artifacts a pipeline must and may
	// give an action. Steps find each of them, unpacked, in /codepipeline/input/NAME.
	// They are required.
	// +optional
	InputArtifactDetails ArtifactDetails `json:"inputArtifactDetails"`

	// outputArtifactDetails set how many output artifacts a pipeline must and
	// may declare for an action. Steps write the files of each of them to
	// /codepipeline/output/NAME. They are required.
	// +optional
	OutputArtifactDetails ArtifactDetails `json:"outputArtifactDetails"`

	// tags of the action type: 47 at most, with different keys, which are
	// case-sensitive. They can be changed: the operator keeps them in sync on an action
	// type that it registered for this object, and does not change tags that others have
	// set. AWS allows 50, of which the operator uses three to record the owner.
	// +optional
	// +kubebuilder:validation:MaxItems=47
	// +listType=map
	// +listMapKey=key
	Tags []Tag `json:"tags,omitempty"`
}

// Category is the kind of an action.
//
// +kubebuilder:validation:Enum=Source;Build;Deploy;Test;Invoke;Approval;Compute
type Category string

// ActionTypeSettings are links that the CodePipeline console shows. Each begins with
// http:// or https://, or with {Config:NAME} of a property whose value does. NAME is a
// property that is required and not secret. With registration External, only their
// lengths are checked.
type ActionTypeSettings struct {
	// thirdPartyConfigurationUrl is the page where users sign up for the service
	// that the action uses, and configure it: 2048 characters at most. {Config:NAME}
	// is the only placeholder.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	ThirdPartyConfigurationURL string `json:"thirdPartyConfigurationUrl,omitempty"`

	// entityUrlTemplate is the link from an action in a pipeline to what it works
	// on, such as https://ci.example.com/projects/{Config:Project} or
	// {Config:Server}/projects/{Config:Project}: 2048 characters at most.
	// {Config:NAME} is replaced by the action's value of a property that is required
	// and not secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	EntityURLTemplate string `json:"entityUrlTemplate,omitempty"`

	// executionUrlTemplate is the link from an action to its latest execution, such
	// as https://ci.example.com/builds/{ExternalExecutionId}: 2048 characters at
	// most. {ExternalExecutionId} is replaced by the content of the result file
	// external-execution-id (NAMESPACE.JOB if no step wrote it), and {Config:NAME}
	// by the action's value of a property that is required and not secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	ExecutionURLTemplate string `json:"executionUrlTemplate,omitempty"`

	// revisionUrlTemplate is the link to a page that shows the revision of what the
	// action works on, or where users can change its configuration: 2048 characters
	// at most. {RevisionId} is replaced by the revision, and {Config:NAME} by the
	// action's value of a property that is required and not secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	RevisionURLTemplate string `json:"revisionUrlTemplate,omitempty"`
}

// ConfigurationProperty is a value that a pipeline can set for an action.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.queryable) && self.queryable) || self.required",message="a queryable property must be required: set required to true, or queryable to false",fieldPath=".required"
// +kubebuilder:validation:XValidation:rule="!(has(self.queryable) && self.queryable) || !self.secret",message="a queryable property must not be secret: set secret to false, or queryable to false",fieldPath=".secret"
type ConfigurationProperty struct {
	// name of the property, as pipelines write it: 1 to 50 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name,omitempty"`

	// required sets whether each action must set the property. CodePipeline
	// refuses a pipeline that does not.
	// +required
	Required bool `json:"required"`

	// key sets whether the property is part of the identity of what the action
	// works on, such as the name of a project. The operator passes it to
	// CodePipeline, and does not use it otherwise.
	// +required
	Key bool `json:"key"`

	// secret sets whether CodePipeline masks the property's value for all but
	// job workers. The operator stores it in a Secret, from which steps get it
	// as an environment variable. It is in no other object, and URL templates
	// can't use it.
	// +required
	Secret bool `json:"secret"`

	// queryable sets whether workers can poll for jobs by the property's value, so
	// that several CustomActions, or several clusters, can share one action
	// type: each polls with another polling.queryParam. At most one property may be
	// queryable. It must be required and not secret. False by default.
	// +optional
	Queryable *bool `json:"queryable,omitempty"`

	// description is the text that the console shows next to the property's field:
	// 1 to 160 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=160
	Description string `json:"description,omitempty"`

	// type of the property's value, for the console's input field. Steps get every
	// value as a string. CodePipeline's default is String.
	// +optional
	// +kubebuilder:validation:Enum=String;Number;Boolean
	Type string `json:"type,omitempty"`
}

// ArtifactDetails limit the number of artifacts.
//
// +kubebuilder:validation:XValidation:rule="self.minimumCount <= self.maximumCount",message="minimumCount must not be over maximumCount: lower it, or raise maximumCount",fieldPath=".minimumCount"
type ArtifactDetails struct {
	// minimumCount is the number that an action must have at least: 0 to 5, and not
	// over maximumCount.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	MinimumCount int32 `json:"minimumCount"`

	// maximumCount is the number that an action can have at most: 0 to 5.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	MaximumCount int32 `json:"maximumCount"`
}

// Tag is a tag of the action type.
type Tag struct {
	// key of the tag, such as team: 1 to 128 letters, digits, spaces and
	// characters of _.:/=+-@ that don't begin with aws: in any case.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[\p{L}\p{N}\p{Z}_.:/=+@-]*$`
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('aws:')",message="key must not begin with aws: in any case, for such tags are AWS's own: choose another key"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('codepipeline.pipelinejob.dev/')",message="key must not begin with codepipeline.pipelinejob.dev/: such tags say which object the action type belongs to, and the operator sets them. Choose another key"
	Key string `json:"key,omitempty"`

	// value of the tag: letters, digits, spaces and characters of _.:/=+-@, 256
	// at most. It may be empty, but not absent.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[\p{L}\p{N}\p{Z}_.:/=+@-]*$`
	Value string `json:"value"`
}
