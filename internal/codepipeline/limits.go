package codepipeline

import "unicode/utf8"

// Limits of the CodePipeline model (2015-07-09), in characters unless said otherwise.
const (
	MaxSummary             = 2048
	MaxExternalExecutionID = 1500
	MaxContinuationToken   = 2048
	MaxFailureMessage      = 5000
	MaxRevision            = 1500
	MaxChangeIdentifier    = 100
	MaxRevisionSummary     = 2048
	// MaxOutputVariables is in bytes, for all keys and values of one action.
	MaxOutputVariables = 122880
)

// Cut shortens s to at most limit characters, the last of them an ellipsis if
// anything was cut. Invalid UTF-8 is replaced: the API takes JSON.
func Cut(s string, limit int) string {
	runes := []rune(s)
	if len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	if !utf8.ValidString(s) {
		return string(runes)
	}
	return s
}

func (s Success) withinLimits() Success {
	s.Summary = Cut(s.Summary, MaxSummary)
	s.ExternalExecutionID = Cut(s.ExternalExecutionID, MaxExternalExecutionID)
	if s.CurrentRevision != nil {
		revision := *s.CurrentRevision
		revision.Summary = Cut(revision.Summary, MaxRevisionSummary)
		s.CurrentRevision = &revision
	}
	return s
}

func (f Failure) withinLimits() Failure {
	f.Message = Cut(f.Message, MaxFailureMessage)
	f.ExternalExecutionID = Cut(f.ExternalExecutionID, MaxExternalExecutionID)
	return f
}
