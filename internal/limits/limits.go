// Package limits defines the limits of AWS CodePipeline and Kubernetes that the operator respects,
// each with its source, and cuts texts to them.
//
// Lengths are in characters (Unicode code points), unless the comment says bytes.
package limits

// Limits of CodePipeline's job results: API model 2015-07-09, structures
// ExecutionDetails, FailureDetails and CurrentRevision, and the operation
// PutJobSuccessResult.
const (
	Summary             = 2048
	ExternalExecutionID = 1500
	ContinuationToken   = 2048
	FailureMessage      = 5000
	// FailureSummary is the part of a failure's message that the steps' summary may take: the note
	// of an event also needs room for what failed.
	FailureSummary   = 500
	Revision         = 1500
	ChangeIdentifier = 100
	RevisionSummary  = 2048
	// OutputVariables is in bytes, for all keys and values of an action: the
	// user guide's page "Quotas in AWS CodePipeline".
	OutputVariables = 122880
)

// Limits of names in pipelines: API model 2015-07-09, ActionConfigurationKey and ArtifactName. A
// job from CodePipeline may exceed them.
const (
	PropertyName = 50
	ArtifactName = 100
)

// Limits of sessions of assumed roles: the API reference of STS, AssumeRole,
// RoleSessionName and Policy.
const (
	SessionName   = 64
	SessionPolicy = 2048
)

// Limits of Kubernetes objects.
const (
	// HandedOver is how much data from CodePipeline a PipelineJob may have, in bytes of JSON. An
	// object has at most 1.5 MiB (etcd's --max-request-bytes), and the result of the work needs
	// part of it: the output variables alone may have OutputVariables bytes.
	HandedOver = 1 << 20
	// OmittedReason is the longest reason for data that is omitted from a PipelineJob: an error of
	// the API server may quote the refused value.
	OmittedReason = 512
	// ConditionMessage is a quarter of the 32,768 characters that a condition's message may have
	// (metav1.Condition): an object has several conditions, and people read them.
	ConditionMessage = 8192
	// EventNote is the longest note of an event, in bytes (events.k8s.io/v1; NoteLengthLimit in the
	// API server's validation).
	EventNote = 1024
	// Expanded is the most bytes that all references of a jobTemplate together may expand to. The
	// API server would refuse a larger Job: an object has at most 1.5 MiB (etcd's
	// --max-request-bytes). A template could also refer to a value so often that expanding it
	// exhausts the operator's memory.
	Expanded = 1 << 20
	// ObjectName is the longest name of an object, in bytes (DNS subdomain, RFC 1123).
	ObjectName = 253
	// ActionSpec is the largest spec of a CustomAction that takes jobs, in bytes of JSON. It is the
	// operator's own limit: it keeps all specs in memory, and an object may have 1.5 MiB (etcd's
	// --max-request-bytes). A large template has 20 KiB.
	ActionSpec = 64 << 10
	// FailurePolicyRules is the maximum number of rules in a Job's podFailurePolicy (batch/v1
	// PodFailurePolicy).
	FailurePolicyRules = 20
)

// Limits of termination messages, in bytes: the kubelet keeps at most this much of each container's
// message (MaxContainerTerminationMessageLength), and of all messages of a pod, divided evenly
// among its containers (MaxPodTerminationMessageLogLength).
const (
	TerminationMessage     = 4096
	PodTerminationMessages = 12 << 10
	// TemplateContainers is the maximum number of containers in a jobTemplate, including init
	// containers. It is the operator's own limit: with more, the wrapper containers' part of
	// PodTerminationMessages is too short for the result. Each container also gets all variables of
	// the job.
	TemplateContainers = 64
)

// EnvironmentVariable is the longest environment variable that Linux accepts when it starts a
// program, in bytes of NAME=VALUE: MAX_ARG_STRLEN of linux/binfmts.h, 32 pages of 4 KiB, without
// the final NUL.
const EnvironmentVariable = 32*4096 - 1

// LogLine is the longest line of a container's log, in bytes including its end, that CRI runtimes
// do not split.
const LogLine = 16 << 10

// PollBatch is the most jobs that a poll asks for. API model 2015-07-09 has no upper bound for
// PollForJobs' MaxBatchSize: this is the operator's own, so that a response with the details of
// each job has at most a few megabytes. A poll asks for more jobs than the operator can take only
// while it looks for an awaited job that other jobs precede.
const PollBatch = 1000
