package v1alpha1

// Condition types of a CustomAction.
const (
	// ConditionReady is True when the action type is registered and the operator polls
	// for its jobs, or spec.suspend is true (reason Suspended). It summarizes the other
	// conditions (kstatus).
	ConditionReady = "Ready"
	// ConditionRegistered is True when CodePipeline has the action type as
	// spec.actionType defines it.
	ConditionRegistered = "Registered"
	// ConditionPolling is True while the operator polls for jobs, or pauses because all
	// slots are taken (AtCapacity). A brief outage of AWS does not change it.
	ConditionPolling = "Polling"
	// ConditionDeregistered is False when the object is deleted with deletionPolicy
	// Delete and the action type can't be deleted. Otherwise, it is absent.
	ConditionDeregistered = "Deregistered"
	// ConditionReconciling is True while the operator still works on the object or
	// tries again (kstatus: InProgress). Otherwise, it is absent.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when only a change by a user can make the object ready
	// (kstatus: Failed). Otherwise, it is absent.
	ConditionStalled = "Stalled"
)

// Reasons of a CustomAction's conditions and, StatusRefused, TagsOutOfSync, Deregistered and
// NotDeregistered, of its events.
const (
	// ReasonReady: registered and polling.
	ReasonReady = "Ready"
	// ReasonRegistering: the operator waits for the first response of CodePipeline about
	// the action type.
	ReasonRegistering = "Registering"
	// ReasonRegistered: the action type exists as defined.
	ReasonRegistered = "Registered"
	// ReasonDefinitionConflict: an action type of this category, provider and
	// version exists with another definition. The message lists the fields.
	ReasonDefinitionConflict = "DefinitionConflict"
	// ReasonActionTypeNotFound: the action type does not exist and this object
	// may not create it (registration External).
	ReasonActionTypeNotFound = "ActionTypeNotFound"
	// ReasonRegistrationFailed: CodePipeline refused the definition.
	ReasonRegistrationFailed = "RegistrationFailed"
	// ReasonLimitExceeded: the account has as many custom action types in
	// this region as CodePipeline allows (50 by default).
	ReasonLimitExceeded = "LimitExceeded"
	// ReasonAccessDenied: AWS refused the operator's credentials.
	ReasonAccessDenied = "AccessDenied"
	// ReasonAPIServerUnavailable: the API server of the cluster, or a webhook that it
	// calls, did not respond, or is temporarily unavailable.
	ReasonAPIServerUnavailable = "APIServerUnavailable"
	// ReasonAWSUnavailable: AWS could not be reached, throttles or fails.
	ReasonAWSUnavailable = "AWSUnavailable"
	// ReasonVersionRetired: the version was deleted with another definition;
	// CodePipeline accepts it again only with that definition.
	ReasonVersionRetired = "VersionRetired"
	// ReasonCredentialsUnavailable: the operator has no AWS credentials, or can't
	// assume the role of the account.
	ReasonCredentialsUnavailable = "CredentialsUnavailable"
	// ReasonRoleNotAllowed: the operator's --allowed-roles don't include the
	// spec.roleARN of the account.
	ReasonRoleNotAllowed = "RoleNotAllowed"
	// ReasonRegionNotFound: the region has no CodePipeline.
	ReasonRegionNotFound = "RegionNotFound"
	// ReasonActionTypeTaken: another CustomAction takes the jobs of the same action type,
	// or the tags of the action type name another object.
	ReasonActionTypeTaken = "ActionTypeTaken"
	// ReasonAccessNotGranted: no grant of the CodePipelineAccount allows the access that the
	// object needs.
	ReasonAccessNotGranted = "AccessNotGranted"
	// ReasonRegistrationNotGranted: the action type does not exist, and no grant allows
	// the namespace to create it.
	ReasonRegistrationNotGranted = "RegistrationNotGranted"
	// ReasonAccountNotFound: there is no CodePipelineAccount with that name.
	ReasonAccountNotFound = "AccountNotFound"
	// ReasonAccountNotReady: the CodePipelineAccount is not ready.
	ReasonAccountNotReady = "AccountNotReady"
	// ReasonTagsOutOfSync: the tags of the action type differ from those of the spec.
	ReasonTagsOutOfSync = "TagsOutOfSync"
	// ReasonDeregistered: the action type was deleted from CodePipeline.
	ReasonDeregistered = "Deregistered"
	// ReasonNotDeregistered: the object is deleted with deletionPolicy Delete, and the
	// action type remains in CodePipeline. The message says why.
	ReasonNotDeregistered = "NotDeregistered"
	// ReasonJobRefused, of a CustomAction: the cluster would refuse the Jobs or their
	// pods, by an admission policy or a LimitRange, for example. Of a PipelineJob: it
	// refuses the Job, which is tried again for a minute.
	ReasonJobRefused = "JobRefused"
	// ReasonInvalidJobTemplate: no Job can be made from spec.jobTemplate, spec.runner and
	// spec.workspace.
	ReasonInvalidJobTemplate = "InvalidJobTemplate"
	// ReasonStatusRefused: the API server refuses the operator's writes of the status, so only
	// an event has it. The note is the API server's.
	ReasonStatusRefused = "StatusRefused"
	// ReasonTooLarge: spec is larger than the operator keeps in memory, so it takes no
	// jobs. The message has the size, the limit and what to do.
	ReasonTooLarge = "TooLarge"
	// ReasonPolling: the operator polls for jobs.
	ReasonPolling = "Polling"
	// ReasonAtCapacity: the maximum number of jobs is in flight; polling continues when
	// one has finished.
	ReasonAtCapacity = "AtCapacity"
	// ReasonPollFailed: the last poll failed; the message says why.
	ReasonPollFailed = "PollFailed"
	// ReasonSuspended: spec.suspend is true. Of a PipelineJob: its Kubernetes Job is
	// suspended, as Kueue does until it admits the Job.
	ReasonSuspended = "Suspended"
	// ReasonNotRegistered: polling starts when the action type exists.
	ReasonNotRegistered = "NotRegistered"
	// ReasonDeleting: the object is being deleted; its jobs finish first.
	ReasonDeleting = "Deleting"
)

// Condition types of a CodePipelineAccount in addition to Ready, which is True when AWS has
// returned the account's ID for the object's role, and all grants are valid.
const (
	// ConditionThrottled is True while AWS throttles calls in a region of the account, so
	// that the operator makes fewer.
	ConditionThrottled = "Throttled"
)

// Reasons of a CodePipelineAccount's conditions.
const (
	// ReasonProven: GetCallerIdentity of STS returned the account's ID.
	ReasonProven = "Proven"
	// ReasonProving: the operator waits for AWS to return the account's ID.
	ReasonProving = "Proving"
	// ReasonInvalidGrant: the selector of a grant is invalid, so that it gives no namespace
	// access. The other grants count. The message has the fields.
	ReasonInvalidGrant = "InvalidGrant"
	// ReasonInUse: the object is being deleted, and CustomActions or PipelineJobs use it.
	ReasonInUse = "InUse"
	// ReasonThrottling: calls were throttled within the last minutes.
	ReasonThrottling = "Throttling"
	// ReasonNotThrottled: no calls were throttled within the last minutes.
	ReasonNotThrottled = "NotThrottled"
)

// Condition types of a PipelineJob.
const (
	// ConditionAcknowledged is True when CodePipeline took the operator's
	// claim of the job (AcknowledgeJob answered InProgress).
	ConditionAcknowledged = "Acknowledged"
	// ConditionRunning is True while a Kubernetes Job works. It is False while the Job
	// waits, with a reason that says for what, and when the Job has ended.
	ConditionRunning = "Running"
	// ConditionComplete is True when the work has succeeded and its result is in the
	// status, as for a batch/v1 Job. It is False (Retrying) while the work has ended
	// and its result can't be read.
	ConditionComplete = "Complete"
	// ConditionFailed is True when the work has failed or was cancelled, as for a
	// batch/v1 Job: status.failureDetails says why. Otherwise it is absent.
	ConditionFailed = "Failed"
	// ConditionReported is True when CodePipeline has taken the final result.
	ConditionReported = "Reported"
)

// Reasons of a PipelineJob's conditions and, EmptyOutputs, of its events.
const (
	// ReasonAcknowledged: the claim was taken.
	ReasonAcknowledged = "Acknowledged"
	// ReasonClaimedElsewhere: another worker acknowledged the job first.
	ReasonClaimedElsewhere = "ClaimedElsewhere"
	// ReasonNotInProgress: AcknowledgeJob answered another status than InProgress.
	ReasonNotInProgress = "NotInProgress"
	// ReasonJobNoLongerOpen: CodePipeline no longer waits for this job: its
	// execution was stopped, or the action timed out.
	ReasonJobNoLongerOpen = "JobNoLongerOpen"
	// ReasonJobStarted: the Kubernetes Job of the current run exists.
	ReasonJobStarted = "JobStarted"
	// ReasonJobFinished: the Kubernetes Job of the last run has ended.
	ReasonJobFinished = "JobFinished"
	// ReasonContinuing: the run ended with a continuation token; CodePipeline
	// will hand the action out again.
	ReasonContinuing = "Continuing"
	// ReasonContinuationOverdue: CodePipeline was given a continuation token and
	// has not handed the action out again for a long time.
	ReasonContinuationOverdue = "ContinuationOverdue"
	// ReasonSucceeded: the work succeeded.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed: the work failed; status.failureDetails says why.
	ReasonFailed = "Failed"
	// ReasonCancelled: the work was cancelled: the PipelineJob was deleted, or
	// CodePipeline no longer waits for the action.
	ReasonCancelled = "Cancelled"
	// ReasonReported: CodePipeline took the result.
	ReasonReported = "Reported"
	// ReasonEmptyOutputs: the work succeeded, and output artifacts have no file. The event
	// names them.
	ReasonEmptyOutputs = "EmptyOutputs"
	// ReasonClaimUnconfirmed: CodePipeline did not take the progress of a job whose claim it
	// did not confirm either. The run goes on.
	ReasonClaimUnconfirmed = "ClaimUnconfirmed"
	// ReasonReportRefused: CodePipeline refused the result for good.
	ReasonReportRefused = "ReportRefused"
	// ReasonNotReported: the PipelineJob was deleted, and the result could not be reported
	// to CodePipeline in time.
	ReasonNotReported = "NotReported"
	// ReasonRetrying: the call failed with a temporary error; the operator tries again.
	ReasonRetrying = "Retrying"
)

// Reasons of a PipelineJob's condition Running while its Kubernetes Job waits (also
// Suspended). They are Kubernetes' own terms where it has one.
const (
	// ReasonPodPending: the Job has no pod yet, or no scheduler handles it.
	ReasonPodPending = "PodPending"
	// ReasonQuotaExceeded: a ResourceQuota of the namespace is used up.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonPodRefused: the API server refuses the pod: Pod Security, an admission
	// webhook or policy, or something that the pod refers to.
	ReasonPodRefused = "PodRefused"
	// ReasonSchedulingGated: the pod has scheduling gates.
	ReasonSchedulingGated = "SchedulingGated"
	// ReasonUnschedulable: the pod fits on no node.
	ReasonUnschedulable = "Unschedulable"
	// ReasonContainerCreating: the node has been preparing volumes, network and images of
	// the pod for more than 15 seconds.
	ReasonContainerCreating = "ContainerCreating"
	// ReasonPodInitializing: the next container of the pod has not started for more than
	// 15 seconds, usually because its image is being pulled.
	ReasonPodInitializing = "PodInitializing"
	// ReasonImagePullBackOff: an image can't be pulled. It includes all similar
	// reasons of the kubelet, such as ErrImagePull, between which it alternates.
	ReasonImagePullBackOff = "ImagePullBackOff"
	// ReasonCreateContainerError: a container can't be created or started. It includes
	// all similar reasons of the kubelet, such as CreateContainerConfigError.
	ReasonCreateContainerError = "CreateContainerError"
	// ReasonCrashLoopBackOff: a sidecar crashes repeatedly before the steps after it could
	// start.
	ReasonCrashLoopBackOff = "CrashLoopBackOff"
)
