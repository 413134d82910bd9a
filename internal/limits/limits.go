// Package limits has the limits of AWS CodePipeline and Kubernetes that the
// operator keeps to, each once and with its source, and cuts texts to them.
//
// Lengths are in characters (Unicode code points) unless the comment says bytes.
package limits

// Limits of CodePipeline's job results: API model 2015-07-09, structures
// ExecutionDetails, FailureDetails and CurrentRevision, and the operation
// PutJobSuccessResult.
const (
	Summary             = 2048
	ExternalExecutionID = 1500
	ContinuationToken   = 2048
	FailureMessage      = 5000
	// FailureSummary is how much of a failure's message the summary of the steps may take:
	// an event's note must have room for what failed, too.
	FailureSummary   = 500
	Revision         = 1500
	ChangeIdentifier = 100
	RevisionSummary  = 2048
	// OutputVariables is in bytes, for all keys and values of an action: the
	// user guide's page "Quotas in AWS CodePipeline".
	OutputVariables = 122880
)

// Limits of names in pipelines: API model 2015-07-09, ActionConfigurationKey and
// ArtifactName. A job that was handed out may go beyond them.
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
	// HandedOver is how much of a PipelineJob CodePipeline may fill, in bytes of JSON. An
	// object has at most 1.5 MiB (etcd's --max-request-bytes), of which the result of the
	// work needs some: the output variables alone may have OutputVariables.
	HandedOver = 1 << 20
	// OmittedReason is the longest reason for what is not in a PipelineJob: an error of
	// the API server may repeat the value that it refuses.
	OmittedReason = 512
	// ConditionMessage is a quarter of the 32,768 characters that a condition's
	// message may have (metav1.Condition): an object has several, and people read
	// them.
	ConditionMessage = 8192
	// EventNote is, in bytes, the longest note of an event (events.k8s.io/v1;
	// NoteLengthLimit in the API server's validation).
	EventNote = 1024
	// Expanded is, in bytes, the most that all references of a jobTemplate together may be
	// replaced by. An object has at most 1.5 MiB (etcd's --max-request-bytes), so that a Job
	// with more would be refused; and a template near that limit could name a value so often
	// that the memory of who builds the Job does not suffice.
	Expanded = 1 << 20
	// ObjectName is, in bytes, the longest name of an object (DNS subdomain, RFC 1123).
	ObjectName = 253
	// ActionSpec is, in bytes of JSON, the largest spec of a CustomAction of which jobs are
	// made. It is the operator's own limit: it keeps all of them in memory, and an object may
	// have 1.5 MiB (etcd's --max-request-bytes). A large template has 20 KiB.
	ActionSpec = 64 << 10
	// FailurePolicyRules is the most rules of a Job's podFailurePolicy (batch/v1
	// PodFailurePolicy).
	FailurePolicyRules = 20
)

// Limits of termination messages, in bytes: the kubelet keeps this much of each
// container's message (MaxContainerTerminationMessageLength), and this much of all
// messages of a pod, divided evenly among its containers
// (MaxPodTerminationMessageLogLength).
const (
	TerminationMessage     = 4096
	PodTerminationMessages = 12 << 10
	// TemplateContainers is the most containers, init containers included, of a jobTemplate.
	// It is the operator's own limit: with more, the part of PodTerminationMessages that is
	// left for the operator's containers is too short to say what became of the work. Each
	// container also gets all variables of the job.
	TemplateContainers = 64
)

// EnvironmentVariable is the longest variable that Linux lets a program start with, in bytes
// of NAME=VALUE: MAX_ARG_STRLEN of linux/binfmts.h, 32 pages of 4 KiB, less the NUL at the
// end.
const EnvironmentVariable = 32*4096 - 1

// LogLine is the longest line of a container's log, in bytes with its end, that
// container runtimes keep whole: CRI runtimes split longer ones.
const LogLine = 16 << 10

// PollBatch is the most jobs that a poll asks for. API model 2015-07-09 has no upper
// bound for PollForJobs' MaxBatchSize: it is the operator's own, so that an answer
// with the details of each job stays within some megabytes. A poll asks for more jobs
// than can be taken only while it looks for an awaited one behind others.
const PollBatch = 1000
