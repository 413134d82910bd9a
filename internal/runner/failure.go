package runner

import (
	"errors"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// Failure types of CodePipeline that the runner reports.
const (
	configurationError  = "ConfigurationError"
	permissionError     = "PermissionError"
	revisionUnavailable = "RevisionUnavailable"
	systemUnavailable   = "SystemUnavailable"
)

// failure is an error with its failure type.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failureOf classifies an error for the envelope.
func failureOf(err error) podcontract.Failure {
	kind := systemUnavailable
	var known *failure
	var refused *archive.RefusedError
	switch {
	case errors.As(err, &known):
		kind = known.kind
	case errors.As(err, &refused), s3store.IsNotFound(err):
		kind = revisionUnavailable
	case s3store.IsAccessDenied(err):
		kind = permissionError
	case s3store.IsUntrusted(err):
		kind = configurationError
	}
	return podcontract.Failure{Type: kind, Message: err.Error() + remedy(kind, err)}
}

// remedy returns what the user can do about a failure.
func remedy(kind string, err error) string {
	var refused *archive.RefusedError
	switch {
	case errors.As(err, &refused):
		return archiveRemedy(refused)
	case errors.Is(err, s3store.ErrExpired):
		return "; the operator did not renew them in time: see its log"
	case s3store.IsAccessDenied(err):
		return "; the pipeline's role, and the policies of the artifact bucket and of its KMS key, must allow it"
	case kind == revisionUnavailable && s3store.IsBucketNotFound(err):
		return "; the pipeline's artifact store must be a bucket that exists"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; the workspace is full: raise the size in spec.workspace of the CustomAction, or check the node's disk"
	case s3store.IsUntrusted(err):
		return "; set spec.runner.ca of the CustomAction, or the operator's --runner-ca, to the certificates of its CA"
	case kind == revisionUnavailable && s3store.IsNotFound(err):
		return "; the object was deleted, perhaps by a lifecycle rule of the bucket, and a retry of the action looks for the same one: release the change again, which creates a new revision"
	}
	return ""
}

// limitRemedies are the remedies for artifacts that exceed a limit.
var limitRemedies = map[archive.Limit]string{
	archive.LimitBytes:            "; the operator's --artifact-max-size raises the limit",
	archive.LimitEntries:          "; the operator's --artifact-max-entries raises the limit",
	archive.LimitRatio:            "; the operator's --artifact-max-ratio raises the limit",
	archive.LimitPackedBytes:      "; split the artifact, or store the files elsewhere and pass their location as an output variable",
	archive.LimitPackedIndexBytes: "; pack the files into one file in a step, with tar",
}

func archiveRemedy(refused *archive.RefusedError) string {
	var exceeded *archive.LimitError
	switch {
	case errors.As(refused, new(*archive.LinkError)):
		return "; with Skip in the CustomAction's spec.artifacts.links it is left out, with Keep it stays unchanged"
	case errors.As(refused, new(*archive.MemoryError)):
		return "; compress it with a smaller window or dictionary, or keep it as a file with Never in the CustomAction's spec.artifacts.unpack"
	case errors.Is(refused, archive.ErrChanged):
		return "; the last step must not end before whatever writes the file"
	case !errors.As(refused, &exceeded):
		return ""
	case exceeded.Limit == archive.LimitIndexBytes && refused.Entry == "": // not about a symbolic link
		return "; a tar or tar.gz archive has no such list"
	}
	return limitRemedies[exceeded.Limit]
}
