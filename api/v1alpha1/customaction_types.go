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

	// spec defines the action type and the Job that does its work.
	// +required
	Spec CustomActionSpec `json:"spec,omitzero"`
	// status is what the operator observed and did.
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

// CustomActionSpec defines the action type and the Job that does its work.
//
// +kubebuilder:validation:XValidation:rule="!has(self.actionType.configurationProperties) || self.actionType.configurationProperties.all(p, !has(p.queryable) || !p.queryable || (has(self.polling.queryParam) && p.name in self.polling.queryParam))",message="queryParam must hold the queryable one of actionType.configurationProperties, with the value to poll for: CodePipeline takes no poll without it. Set it, or set queryable to false",fieldPath=".polling.queryParam"
// +kubebuilder:validation:XValidation:rule="!has(self.polling.queryParam) || self.polling.queryParam.size() == 0 || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, has(p.queryable) && p.queryable))",message="queryParam must be absent: no property of actionType.configurationProperties is queryable, and CodePipeline then refuses a poll with it. Remove it, or make its property queryable",fieldPath=".polling.queryParam"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.thirdPartyConfigurationUrl) || self.actionType.settings.thirdPartyConfigurationUrl.matches('^(https?://|[{]Config:)')",message="thirdPartyConfigurationUrl must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.thirdPartyConfigurationUrl"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.thirdPartyConfigurationUrl) || self.actionType.settings.thirdPartyConfigurationUrl.findAll('[{][^{}]*[}]?|[}]').all(found, (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholder of thirdPartyConfigurationUrl is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholder of thirdPartyConfigurationUrl is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.thirdPartyConfigurationUrl.findAll('[{][^{}]*[}]?|[}]').filter(found, !((has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or remove it'",fieldPath=".actionType.settings.thirdPartyConfigurationUrl"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.entityUrlTemplate) || self.actionType.settings.entityUrlTemplate.matches('^(https?://|[{]Config:)')",message="entityUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.entityUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.entityUrlTemplate) || self.actionType.settings.entityUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholder of entityUrlTemplate is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholder of entityUrlTemplate is {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.entityUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !((has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or remove it'",fieldPath=".actionType.settings.entityUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.executionUrlTemplate) || self.actionType.settings.executionUrlTemplate.matches('^(https?://|[{]Config:)')",message="executionUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.executionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.executionUrlTemplate) || self.actionType.settings.executionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, found == '{ExternalExecutionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.executionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !(found == '{ExternalExecutionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or remove it'",fieldPath=".actionType.settings.executionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || !has(self.actionType.settings) || !has(self.actionType.settings.revisionUrlTemplate) || self.actionType.settings.revisionUrlTemplate.matches('^(https?://|[{]Config:)')",message="revisionUrlTemplate must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",fieldPath=".actionType.settings.revisionUrlTemplate"
// +kubebuilder:validation:XValidation:rule="self.registration == 'External' || has(self.actionType.actionConfigurationProperties) || !has(self.actionType.settings) || !has(self.actionType.settings.revisionUrlTemplate) || self.actionType.settings.revisionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').all(found, found == '{RevisionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}')))",message="the only placeholders of revisionUrlTemplate are {RevisionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret: declare it so, or remove everything else in braces",messageExpression="'the only placeholders of revisionUrlTemplate are {RevisionId} and {Config:NAME}, where NAME is one of configurationProperties that is required and not secret. ' + self.actionType.settings.revisionUrlTemplate.findAll('[{][^{}]*[}]?|[}]').filter(found, !(found == '{RevisionId}' || (has(self.actionType.configurationProperties) && self.actionType.configurationProperties.exists(p, p.required && !p.secret && found == '{Config:' + p.name + '}'))))[0] + ' is none of these: declare its property so, or remove it'",fieldPath=".actionType.settings.revisionUrlTemplate"
type CustomActionSpec struct {
	// actionType is the action type as CreateCustomActionType takes it, with
	// AWS's own field names: an existing JSON definition can be pasted here.
	//
	// CodePipeline has no call to change an action type, so everything except
	// the tags is immutable. To change it, apply a new CustomAction with the
	// next version.
	// +required
	ActionType ActionType `json:"actionType,omitzero"`

	// registration sets whether the operator may create the action type.
	// Managed, the default: a missing action type is created, if a grant of the account
	// has mayRegister; an identical one is adopted; a different one is not changed
	// (condition Registered=False, reason DefinitionConflict). External: the action type
	// is registered by other means. It must exist and be identical, and the operator
	// only polls for its jobs.
	// +optional
	// +kubebuilder:default=Managed
	Registration RegistrationPolicy `json:"registration,omitempty"`

	// deletionPolicy sets what happens to the action type when this object is
	// deleted. Retain, the default, leaves it in CodePipeline. Delete removes
	// it after the last running job has finished, if the operator registered it for
	// this object (status.actionTypeOwner is This) and a grant with mayRegister still
	// allows it. CodePipeline then accepts the same version again only with the identical
	// definition.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// accountRef names the CodePipelineAccount to use. The account sets the identity with
	// which the operator calls CodePipeline, and the regions. Its grants decide whether
	// this namespace may use it. If you change accountRef, the operator looks for,
	// registers and polls the action type in the new account; the action type that was
	// registered before stays in CodePipeline.
	// +required
	AccountRef AccountReference `json:"accountRef,omitzero"`

	// region is the region of the pipelines, such as eu-central-1. The account must have
	// it. It may be absent if the account has only one region.
	// +optional
	Region Region `json:"region,omitempty"`

	// polling configures how the operator polls for jobs.
	// +optional
	// +kubebuilder:default={}
	Polling Polling `json:"polling,omitempty,omitzero"`

	// suspend stops polling if true: running jobs finish, and new jobs stay
	// queued in CodePipeline. False by default.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// jobTemplate is the Job that does the work of one action execution. Its
	// containers are steps: they run one after another, in their order. If a
	// step fails, the next ones don't run.
	//
	// $(config.KEY), $(pipeline.name), $(pipeline.executionID), $(stage.name),
	// $(action.name), $(action.executionID), $(job.id), $(run.number),
	// $(aws.region), $(aws.accountID), $(input.NAME) and $(output.NAME) are
	// replaced by their values. $(config.KEY|VALUE) has a default for an optional
	// property that the pipeline's action does not set. $(label:REFERENCE) makes
	// a valid label value of any of them: if necessary, it is cut and gets a digest.
	// An unknown reference of these groups is an error, and no Job starts. Any other
	// $(…) stays unchanged, as does $$(…).
	//
	// References to values that a pipeline controls are allowed in values of env, labels
	// and annotations, and in elements of command and args, but not in a shell's script,
	// the element after -c: use the environment variable there, as in
	// "$CODEPIPELINE_CONFIG_KEY". Only $(run.number), $(aws…), $(output…) and $(input…) of
	// unpacked input artifacts are allowed in any field.
	// +required
	JobTemplate batchv1.JobTemplateSpec `json:"jobTemplate"`

	// workspace is the volume at /codepipeline that all steps share. By default, it
	// is an emptyDir on the node's disk, with the size limit of the operator's flag
	// --workspace-size-limit.
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`

	// artifacts sets how artifacts are unpacked and packed. By default, archives are
	// unpacked, and a symbolic link that leads out of an artifact fails the action.
	// +optional
	Artifacts Artifacts `json:"artifacts,omitempty,omitzero"`

	// emptyOutputs sets what happens if all steps have succeeded and an output artifact is
	// empty: there is neither a file nor a symbolic link in or below its folder.
	//
	// Warn, the default: the empty artifact is uploaded, and an event (EmptyOutputs) of the
	// PipelineJob and a line below the action's summary name it. Fail: the action
	// fails as ConfigurationError before anything is uploaded. Allow: the empty artifact is
	// uploaded. Runs that end with a continuation token are not checked.
	// +optional
	// +kubebuilder:default=Warn
	EmptyOutputs EmptyOutputs `json:"emptyOutputs,omitempty"`

	// runner configures the wrapper containers, which the operator adds to the pods of
	// the action: their resources, and how they reach AWS.
	// +optional
	Runner *Runner `json:"runner,omitempty"`

	// progress reports percentage, summary and link to CodePipeline while the work
	// runs. Without it, they are reported when the work has ended, which takes the
	// fewest calls.
	// +optional
	Progress *Progress `json:"progress,omitempty"`

	// timeout limits the duration of one run, from the start of its Job: 1s to 720h,
	// such as 90s, 10m or 1h30m. After it, the Job is ended and the action fails.
	// Without it, only CodePipeline ends the work: it gives up on a custom action
	// after 24 hours, unless that quota was raised.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="must be from 1s to 720h, such as 90s or 1h30m; CodePipeline gives up on a custom action after 24 hours, unless that quota was raised"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// gracePeriods set for how long a temporary failure, such as an image that can't be
	// pulled, may block a run before the action fails.
	// +optional
	GracePeriods *GracePeriods `json:"gracePeriods,omitempty"`

	// failureLog sets whether the last log lines of a failed step are copied to the action's
	// failure in CodePipeline, and to status and events of its PipelineJob. Always, the
	// default: the lines of every step. NoSecrets: not the lines of a step that refers to a
	// Secret by its variables or by a volume that it mounts. Never: no lines. If lines are
	// left out, the message says how to read them. Values of secret properties are always
	// masked, so their Secret does not count.
	// +optional
	// +kubebuilder:default=Always
	FailureLog FailureLog `json:"failureLog,omitempty"`

	// ttlSecondsAfterFinished is how long a PipelineJob, with its Job and the
	// logs of its pod, is kept after its result was reported: in seconds, from 0 to
	// 2592000 (30 days). 86400 (a day) by default.
	// +optional
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self <= 2592000",message="must be at most 2592000, 30 days: each PipelineJob that is kept takes memory of the operator. Keep logs and results for longer elsewhere"
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// Progress configures the reports of progress to CodePipeline while work runs.
type Progress struct {
	// interval is the shortest time between two updates: 10s to 1h, such as 30s.
	// There is an update only if a step has written another percent-complete,
	// summary or external-execution-id.
	//
	// CodePipeline accepts progress only with a continuation token, which ends the
	// job and creates a new one: each update costs a PutJobSuccessResult, an
	// AcknowledgeJob and the polls until the new job is handed out.
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

// DeletionPolicy sets what happens to the action type on deletion.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain leaves the action type in CodePipeline.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete calls DeleteCustomActionType.
	DeletionDelete DeletionPolicy = "Delete"
)

// ActionTypeOwner is the owner of an action type according to its tags.
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

// Tags of an action type that was registered for a CustomAction. They name the
// CustomAction and its cluster. Others must not change them.
const (
	// TagCluster is the ID of the cluster: the operator's flag --cluster-id.
	TagCluster = "codepipeline.pipelinejob.dev/cluster"
	// TagNamespace is the namespace of the CustomAction.
	TagNamespace = "codepipeline.pipelinejob.dev/namespace"
	// TagName is the name of the CustomAction.
	TagName = "codepipeline.pipelinejob.dev/name"
)

// Polling configures PollForJobs.
type Polling struct {
	// interval is the longest wait between two polls while there are no jobs:
	// 1s to 1h, 30s by default. After a poll with jobs, the next one follows
	// immediately.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be from 1s to 1h, such as 30s or 5m"
	Interval metav1.Duration `json:"interval,omitempty,omitzero"`

	// queryParam restricts polling to the jobs of actions whose queryable
	// property has this value, such as {Cluster: eu-1}. It must be set if one of
	// actionType.configurationProperties is queryable, with that property's name
	// as its only key, and absent otherwise. The value has 1 to 50 letters,
	// digits, underscores and hyphens; AWS documents that pipelines may set at
	// most 20.
	// +optional
	// +kubebuilder:validation:MaxProperties=1
	QueryParam map[string]QueryValue `json:"queryParam,omitempty"`

	// maxConcurrentJobs is the maximum number of jobs of this action in flight:
	// 1 to 1000, 10 by default. Further jobs stay queued in CodePipeline.
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

// CustomActionStatus is what the operator observed and did.
type CustomActionStatus struct {
	// conditions are Ready, Registered and Polling and, while the object is not
	// ready, Reconciling or Stalled, as kstatus defines them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// actionTypeARN is the ARN of the action type in this account and region. It is absent if
	// it was not found there as it is defined.
	// +optional
	ActionTypeARN string `json:"actionTypeARN,omitempty"`

	// accountID is the ID of the AWS account in which the operator last looked for the action
	// type, as AWS returned it. It does not change while access is refused.
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// region is the region in which the operator last looked for the action type: spec.region,
	// or the only region of the account. It does not change while access is refused.
	// +optional
	Region Region `json:"region,omitempty"`

	// actionTypeOwner is the owner of the action type according to its tags: This, if they
	// name this object; Other, if they name another one; None without such tags. The
	// operator tags the action type, and deletes it by deletionPolicy, only if it is This.
	// +optional
	ActionTypeOwner ActionTypeOwner `json:"actionTypeOwner,omitempty"`

	// tagKeys are the tags of the action type that the operator has set. The operator
	// removes those that are no longer in the spec, and keeps all other tags.
	// +optional
	// +listType=set
	TagKeys []string `json:"tagKeys,omitempty"`

	// jobsInFlight counts the PipelineJobs that are not reported yet. It is updated at
	// most once a minute.
	// +optional
	JobsInFlight int32 `json:"jobsInFlight"`

	// lastPollTime is when CodePipeline last answered a poll. It is updated at most
	// once a minute.
	// +optional
	LastPollTime *metav1.Time `json:"lastPollTime,omitempty"`
}
