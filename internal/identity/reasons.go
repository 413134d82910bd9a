package identity

import (
	"errors"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// ReasonOf returns the condition reason for a failure that does not depend on the request, such as
// missing credentials. It returns an empty string for any other failure.
func ReasonOf(cause error) string {
	var credentials *codepipeline.CredentialsError
	var role *codepipeline.RoleNotAllowedError
	var anonymous *codepipeline.NoExternalIDError
	_, unknown := codepipeline.UnknownHost(cause)
	switch {
	case errors.As(cause, &role), errors.As(cause, &anonymous):
		return v1alpha1.ReasonRoleNotAllowed
	case errors.As(cause, &credentials):
		return v1alpha1.ReasonCredentialsUnavailable
	case unknown:
		return v1alpha1.ReasonRegionNotFound
	}
	switch codepipeline.KindOf(cause) {
	case codepipeline.AccessDenied:
		return v1alpha1.ReasonAccessDenied
	case codepipeline.Throttled, codepipeline.Unclear:
		return v1alpha1.ReasonAWSUnavailable
	default:
		return ""
	}
}
