package codepipeline

import "github.com/pipelinejob/pipelinejob-operator/internal/limits"

// withinLimits cuts the texts that may be longer than CodePipeline accepts.
func (s Success) withinLimits() Success {
	s.Summary = limits.Cut(s.Summary, limits.Summary)
	s.ExternalExecutionID = limits.Cut(s.ExternalExecutionID, limits.ExternalExecutionID)
	if s.CurrentRevision != nil {
		revision := *s.CurrentRevision
		revision.Summary = limits.Cut(revision.Summary, limits.RevisionSummary)
		s.CurrentRevision = &revision
	}
	return s
}

func (f Failure) withinLimits() Failure {
	f.Message = limits.Cut(f.Message, limits.FailureMessage)
	f.ExternalExecutionID = limits.Cut(f.ExternalExecutionID, limits.ExternalExecutionID)
	return f
}
