package podcontract

import "time"

// Result is what a job's steps report. The zero value is empty, which is a valid result.
type Result struct {
	// Summary is executionDetails.summary, up to 2048 characters.
	Summary string `json:"summary,omitempty"`
	// PercentComplete is executionDetails.percentComplete, 0 to 100.
	PercentComplete *int32 `json:"percentComplete,omitempty"`
	// ExternalExecutionID is executionDetails.externalExecutionId, up to 1500 characters.
	ExternalExecutionID string `json:"externalExecutionId,omitempty"`
	// ContinuationToken asks CodePipeline to hand out the action again, with this token: 1 to 2048
	// characters. It can't be combined with OutputVariables.
	ContinuationToken string `json:"continuationToken,omitempty"`
	// OutputVariables have keys of [A-Za-z0-9@_-] and at most 122,880 bytes in total.
	OutputVariables map[string]string `json:"outputVariables,omitempty"`
	// CurrentRevision is for source actions.
	CurrentRevision *Revision `json:"currentRevision,omitempty"`
}

// Revision is CodePipeline's CurrentRevision.
type Revision struct {
	// Revision is 1 to 1500 characters.
	Revision string `json:"revision"`
	// ChangeIdentifier is 1 to 100 characters.
	ChangeIdentifier string `json:"changeIdentifier"`
	// Created is when the revision was created (RFC 3339).
	Created *time.Time `json:"created,omitempty"`
	// RevisionSummary is up to 2048 characters.
	RevisionSummary string `json:"revisionSummary,omitempty"`
}

// Failure is the reason why a wrapper container failed.
type Failure struct {
	// Type is a CodePipeline failure type: JobFailed, ConfigurationError,
	// PermissionError, RevisionUnavailable or SystemUnavailable.
	Type string `json:"type"`
	// Message names the operation, the artifact, file or rule, and the remedy.
	Message string `json:"message"`
}

// Envelope is the termination message of a wrapper container. Exactly one of its members is set.
type Envelope struct {
	// Result is a result that is small enough for the termination message.
	Result *RunResult `json:"result,omitempty"`
	// Log points to a result in the container's log, because the kubelet cuts termination messages
	// to 4096 bytes per container.
	Log *LogPointer `json:"log,omitempty"`
	// Failure is set if the container failed.
	Failure *Failure `json:"failure,omitempty"`
	// Progress is the last progress of the steps, from the progress container.
	Progress *Progress `json:"progress,omitempty"`
}

// LogPointer describes the result in a container's log.
type LogPointer struct {
	// Size is the length of the result's JSON in bytes.
	Size int `json:"size"`
	// SHA256 is the hex digest of the result's JSON.
	SHA256 string `json:"sha256"`
}
