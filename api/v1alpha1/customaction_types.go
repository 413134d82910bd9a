package v1alpha1

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CustomAction makes a Kubernetes Job do the work of an AWS CodePipeline
// custom action. It registers the action type with CodePipeline, polls for
// jobs of that type, and runs each as a Job made from spec.jobTemplate.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cpaction,categories=codepipeline
// +kubebuilder:printcolumn:name="Category",type=string,JSONPath=`.spec.actionType.category`
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.actionType.provider`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.actionType.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="In flight",type=integer,JSONPath=`.status.jobsInFlight`
// +kubebuilder:printcolumn:name="Account",type=string,priority=1,JSONPath=`.spec.accountRef.name`
// +kubebuilder:printcolumn:name="Region",type=string,priority=1,JSONPath=`.status.region`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CustomAction struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the action type is and what does its work.
	// +required
	Spec CustomActionSpec `json:"spec,omitzero"`
	// status is what the operator found and did.
	// +optional
	Status CustomActionStatus `json:"status,omitempty,omitzero"`
}

// CustomActionList is a list of CustomActions.
//
// +kubebuilder:object:root=true
type CustomActionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CustomAction `json:"items"`
}

// Rules of CustomActionSpec on two of its fields:
//   - A poll takes a queryParam for the queryable property, and for nothing else: API
//     reference of PollForJobs, queryParam. As its key is a property's name, it needs no
//     rule for its length.
//   - What a URL template may hold: see actiontype_types.go. Its placeholders are not
//     checked if the properties are given under another name (ForeignKeys).

// CustomActionSpec says what the action type is and what does its work.
//
// +kubebuilder:validation:XValidation:rule="!has(self.actionType.configurationProperties) || self.actionType.configurationProperties.all(p, !has(p.queryable) || !p.queryable || (has(self.polling.queryParam) && p.name in self.polling.queryParam))",message="queryParam must hold the queryable one of actionType.configurationProperties, with the value to poll for: CodePipeline takes no poll without it. Set it, or set queryable to false",fieldPath=".polling.queryParam"
// +kubebuilder:validation:XValidation:rule="!has(self.polling.queryParam) || self.polling.queryParam.size() == 0 || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, has(p.queryable) && p.queryable))",message="queryParam must be absent: no property of actionType.configurationProperties is queryable, and CodePipeline then refuses a poll with it. Remove it, or make its property queryable",fieldPath=".polling.queryParam"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.thirdPartyConfigurationUrl) || self.actionType.settings.thirdPartyConfigurationUrl.matches('^(https?://|[{]Config:)')",message="thirdPartyConfigurationUrl must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.thirdPartyConfigurationUrl"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.thirdPartyConfigurationUrl) || self.actionType.settings.thirdPartyConfigurationUrl.findAll('[{][^{}]*[}]?|[}]').all(found, (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholder of thirdPartyConfigurationUrl is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholder of thirdPartyConfigurationUrl is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.thirdPartyConfigurationUrl.findAll('[{][^{}]*[}]?|[}]').filter(found, !((has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or take it out'",fieldPath=".actionType.settings.thirdPartyConfigurationUrl"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.entityUrlTemplate) || self.actionType.settings.entityUrlTemplate.matches('^(https?://|[{]Config:)')",message="entityUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.entityUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.entityUrlTemplate) || self.actionType.settings.entityUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholder of entityUrlTemplate is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholder of entityUrlTemplate is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.entityUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !((has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or take it out'",fieldPath=".actionType.settings.entityUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.executionUrlTemplate) || self.actionType.settings.executionUrlTemplate.matches('^(https?://|[{]Config:)')",message="executionUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.executionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.executionUrlTemplate) || self.actionType.settings.executionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, found == '{ExternalExecutionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.executionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !(found == '{ExternalExecutionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or take it out'",fieldPath=".actionType.settings.executionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.revisionUrlTemplate) || self.actionType.settings.revisionUrlTemplate.matches('^(https?://|[{]Config:)')",message="revisionUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.revisionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.revisionUrlTemplate) || self.actionType.settings.revisionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, found == '{RevisionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholders of revisionUrlTemplate are {RevisionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholders of revisionUrlTemplate are {RevisionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.revisionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !(found == '{RevisionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or take it out'",fieldPath=".actionType.settings.revisionUrlTemplate"
type CustomActionSpec struct {
	// actionType is the action type as CreateCustomActionType takes it, with
	// AWS's own field names: an existing JSON definition can be pasted here.
	//
	// CodePipeline has no call to change an action type, so all of it but its
	// tags is immutable: for a change, apply a new CustomAction with the next
	// version.
	// +required
	ActionType ActionType `json:"actionType,omitzero"`

	// registration sets whether the operator may create the action type.
	// Managed, the default: a missing one is created, if a grant of the account has
	// mayRegister, an identical one is adopted, and one that differs is left alone (condition Registered=False,
	// reason DefinitionConflict). External: it is registered by other means; it must
	// exist and be identical, and is only polled.
	// +optional
	// +kubebuilder:default=Managed
	Registration RegistrationPolicy `json:"registration,omitempty"`

	// deletionPolicy says what happens to the action type when this object is
	// deleted. Retain, the default, leaves it in CodePipeline. Delete removes
	// it after the last running job has finished, if the operator registered it for
	// this object (status.actionTypeOwner is This) and a grant with mayRegister still
	// allows it; CodePipeline then accepts the same version again only with the identical
	// definition.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// accountRef names the CodePipelineAccount that is used: as whom the operator calls
	// CodePipeline, and in which regions. Its grants decide whether this namespace may use
	// it. When it is changed, the action type is looked for, registered and polled where it
	// then says; the one registered before stays in CodePipeline.
	// +required
	AccountRef AccountReference `json:"accountRef,omitzero"`

	// region is the region of the pipelines, such as eu-central-1: one of the account's.
	// It may be absent if the account has one region.
	// +optional
	Region Region `json:"region,omitempty"`

	// polling tunes how jobs are polled for.
	// +optional
	// +kubebuilder:default={}
	Polling Polling `json:"polling,omitempty,omitzero"`

	// suspend stops polling if it is true: running jobs finish, and new ones stay
	// queued in CodePipeline. False by default.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// jobTemplate is the Job that does the work of one action execution. Its
	// containers are steps: they run one after another, in their order, and
	// the first that fails ends the work.
	//
	// $(config.KEY), $(pipeline.name), $(pipeline.executionID), $(stage.name),
	// $(action.name), $(action.executionID), $(job.id), $(run.number),
	// $(aws.region), $(aws.accountID), $(input.NAME) and $(output.NAME) are
	// replaced by their values. $(config.KEY|VALUE) has a default for an optional
	// property that the pipeline's action does not set. $(label:REFERENCE) makes
	// a label value of any of them: where needed, it is cut and gets a digest. An
	// unknown reference of these groups is an error, and no Job starts. Any other
	// $(…) is left alone, as is $$(…).
	//
	// References to what a pipeline controls are allowed in values of env, labels and
	// annotations, and in elements of command and args, but not in a shell's script, the
	// element that follows -c: use the environment variable there, as in
	// "$CODEPIPELINE_CONFIG_KEY". Only $(run.number), those to aws and output, and those to
	// input artifacts that are unpacked may be in any field.
	// +required
	JobTemplate batchv1.JobTemplateSpec `json:"jobTemplate"`

	// workspace is the volume that all steps share, at /codepipeline. Without it, that
	// is an emptyDir on the node's disk, with the size limit of the operator's flag
	// --workspace-size-limit.
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`

	// artifacts says how artifacts are unpacked and packed. By default, archives are
	// unpacked, and a symbolic link that leads out of an artifact fails the action.
	// +optional
	Artifacts Artifacts `json:"artifacts,omitempty,omitzero"`

	// emptyOutputs says what happens when all steps have succeeded and an output artifact
	// has no file: neither a file nor a symbolic link is in its folder, or in a folder below.
	//
	// Warn, the default: the empty artifact is uploaded, an event (EmptyOutputs) of the
	// PipelineJob names it, and so does a line below the action's summary. Fail: the action
	// fails as ConfigurationError before anything is uploaded. Allow: the empty artifact is
	// uploaded. Runs that end with a continuation token are not checked.
	// +optional
	// +kubebuilder:default=Warn
	EmptyOutputs EmptyOutputs `json:"emptyOutputs,omitempty"`

	// runner tunes the wrapper containers, which the operator adds to the pods of
	// the action: their resources, and how they reach AWS.
	// +optional
	Runner *Runner `json:"runner,omitempty"`

	// progress makes percentage, summary and link of running work visible in
	// CodePipeline. Without it they are there when the work has ended, which
	// takes the fewest calls.
	// +optional
	Progress *Progress `json:"progress,omitempty"`

	// timeout bounds the work of one run, from the start of its Job: 1s to 720h,
	// such as 90s, 10m or 1h30m. When it is over, the Job is ended and the
	// action fails. Without it nothing but CodePipeline ends the work, which
	// gives up on a custom action after 24 hours unless that quota was raised.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="must be from 1s to 720h, such as 90s or 1h30m; CodePipeline gives up on a custom action after 24 hours, unless that quota was raised"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// gracePeriods say for how long a run may be blocked by conditions that may pass,
	// such as an image that can't be pulled, before the action fails.
	// +optional
	GracePeriods *GracePeriods `json:"gracePeriods,omitempty"`

	// failureLog sets whether the last log lines of a failed step go into the action's
	// failure in CodePipeline, and into status and events of its PipelineJob. Always, the
	// default: those of every step. NoSecrets: not those of a step that refers to a Secret,
	// by its variables or by a volume that it mounts. Never: those of none. Where they are
	// left out, the message says how to read them. The values of secret properties are
	// masked in all that is told; their Secret does not count.
	// +optional
	// +kubebuilder:default=Always
	FailureLog FailureLog `json:"failureLog,omitempty"`

	// ttlSecondsAfterFinished is how long a PipelineJob, with its Job and the
	// logs of its pod, is kept after its result was reported: in seconds, from 0 to
	// 2592000, 30 days. 86400, a day, by default.
	// +optional
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self <= 2592000",message="must be at most 2592000, 30 days: each PipelineJob that is kept takes memory of the operator. Keep logs and results for longer elsewhere"
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// Progress makes the progress of running work visible in CodePipeline.
type Progress struct {
	// interval is the shortest time between two updates: 10s to 1h, such as 30s.
	// There is one only when a step has written another percent-complete,
	// summary or external-execution-id.
	//
	// CodePipeline takes progress only with a continuation token, which ends its
	// job and makes another: each update costs a PutJobSuccessResult, an
	// AcknowledgeJob and the polls until the job is back.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="must be from 10s to 1h, such as 30s or 5m: each update costs calls to CodePipeline"
	Interval metav1.Duration `json:"interval"`
}

// RegistrationPolicy sets whether the operator may create the action type.
//
// +kubebuilder:validation:Enum=Managed;External
type RegistrationPolicy string

const (
	// RegistrationManaged creates a missing action type and adopts an identical one.
	RegistrationManaged RegistrationPolicy = "Managed"
	// RegistrationExternal only polls an action type that was registered by other means.
	RegistrationExternal RegistrationPolicy = "External"
)

// DeletionPolicy says what happens to the action type on deletion.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain leaves the action type in CodePipeline.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete calls DeleteCustomActionType.
	DeletionDelete DeletionPolicy = "Delete"
)

// ActionTypeOwner says whose an action type is by its tags.
//
// +kubebuilder:validation:Enum=This;Other;None
type ActionTypeOwner string

const (
	// OwnerThis: the tags name this object.
	OwnerThis ActionTypeOwner = "This"
	// OwnerOther: the tags name another object, of this cluster or another.
	OwnerOther ActionTypeOwner = "Other"
	// OwnerNone: the action type has no tags that name an object.
	OwnerNone ActionTypeOwner = "None"
)

// Tags of an action type that was registered for a CustomAction: they name it, in
// whatever cluster it is. They must not be changed by others.
const (
	// TagCluster is the ID of the cluster: the operator's flag --cluster-id.
	TagCluster = "codepipeline.pipelinejob.dev/cluster"
	// TagNamespace is the namespace of the CustomAction.
	TagNamespace = "codepipeline.pipelinejob.dev/namespace"
	// TagName is the name of the CustomAction.
	TagName = "codepipeline.pipelinejob.dev/name"
)

// Polling tunes PollForJobs.
type Polling struct {
	// interval is the longest wait between two polls while there is nothing to
	// do: 1s to 1h, 30s by default. When jobs come, the next poll follows at
	// once.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be from 1s to 1h, such as 30s or 5m"
	Interval metav1.Duration `json:"interval,omitempty,omitzero"`

	// queryParam restricts polling to the jobs of actions whose queryable
	// property has this value, such as {Cluster: eu-1}. It must be there when
	// one of actionType.configurationProperties is queryable, with that
	// property's name as its one key, and absent otherwise. The value is 1 to 50
	// letters, digits, underscores and hyphens; AWS documents that pipelines
	// may set 20 at most.
	// +optional
	// +kubebuilder:validation:MaxProperties=1
	QueryParam map[string]QueryValue `json:"queryParam,omitempty"`

	// maxConcurrentJobs bounds how many jobs of this action are worked on at a
	// time: 1 to 1000, 10 by default. Jobs over it stay queued in CodePipeline.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxConcurrentJobs int32 `json:"maxConcurrentJobs,omitempty"`
}

// QueryValue is the value of a queryable configuration property.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=50
// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_-]+$`
type QueryValue string

// CustomActionStatus is what the operator found and did.
type CustomActionStatus struct {
	// conditions are Ready, Registered and Polling, and Reconciling or Stalled, by
	// the rules of kstatus, while it is not ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// actionTypeARN is the ARN of the action type.
	// +optional
	ActionTypeARN string `json:"actionTypeARN,omitempty"`

	// accountID is the ID of the AWS account in which the action type is looked for, as AWS
	// told it.
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// region is the region in which the action type is looked for: spec.region, or the one
	// region of the account.
	// +optional
	Region Region `json:"region,omitempty"`

	// actionTypeOwner says whose the action type is by its tags: This, if they name this
	// object; Other, if they name another; None without such tags. Only if it is This does
	// the operator tag the action type, and delete it by deletionPolicy.
	// +optional
	ActionTypeOwner ActionTypeOwner `json:"actionTypeOwner,omitempty"`

	// tagKeys are the tags of the action type that the operator has set. One that
	// leaves the spec is taken off; others stay.
	// +optional
	// +listType=set
	TagKeys []string `json:"tagKeys,omitempty"`

	// jobsInFlight counts the PipelineJobs that are not reported yet. It is brought up
	// to date at most once a minute.
	// +optional
	JobsInFlight int32 `json:"jobsInFlight"`

	// lastPollTime is when CodePipeline last answered a poll. It is brought up
	// to date at most once a minute.
	// +optional
	LastPollTime *metav1.Time `json:"lastPollTime,omitempty"`
}
