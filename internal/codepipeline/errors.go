package codepipeline

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/internal/awstext"
)

// CallError is a call that failed: AWS refused it, or there was no response.
//
// Its text has no request ID, so it is the same each time a call fails for the same reason, and a
// condition with the text is not written again.
type CallError struct {
	// Operation is the operation's name in the service's API.
	Operation string
	Kind      Kind
	// Code is the error code of AWS. It is empty if AWS did not respond.
	Code string
	// Message is the message of AWS, or why there was no response.
	Message string
	// Err is the error of the SDK.
	Err error
}

func (e *CallError) Error() string {
	text := e.Operation
	for _, part := range []string{e.Code, e.Message} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// Unwrap returns the error of the SDK.
func (e *CallError) Unwrap() error { return e.Err }

// CredentialsError reports that there are no credentials for an identity, because the environment
// has none or the role can't be assumed.
type CredentialsError struct {
	Identity Identity
	Err      error
}

func (e *CredentialsError) Error() string {
	if e.Identity.RoleARN == "" {
		return "get AWS credentials from the operator's environment: " + awstext.Of(e.Err)
	}
	return fmt.Sprintf("assume the role %s with the external ID %q: %s", e.Identity.RoleARN, e.Identity.ExternalID, awstext.Of(e.Err))
}

// Unwrap returns the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }

// RoleNotAllowedError reports that the operator may not assume a role.
type RoleNotAllowedError struct {
	RoleARN string
	// Allowed are the patterns of ClientsOptions.AllowedRoles.
	Allowed []string
}

func (e *RoleNotAllowedError) Error() string {
	return fmt.Sprintf("the operator may not assume the role %s: its flag --allowed-roles has %s", e.RoleARN, strings.Join(e.Allowed, ", "))
}

// NoExternalIDError reports that a role is not assumed because there is no external ID.
type NoExternalIDError struct{ RoleARN string }

func (e *NoExternalIDError) Error() string {
	return fmt.Sprintf("the role %s is assumed only with an external ID, CLUSTER-ID/NAMESPACE, and the operator has no cluster ID: "+
		"set its flag --cluster-id, and require the external ID in the role's trust policy", e.RoleARN)
}

// UnknownHost reports whether a call failed because its host name is unknown, as for a region that
// does not exist. It returns the name.
func UnknownHost(err error) (name string, unknown bool) {
	var lookup *net.DNSError
	if !errors.As(err, &lookup) || !lookup.IsNotFound {
		return "", false
	}
	return lookup.Name, true
}

// IsRetiredVersion reports whether CreateCustomActionType was refused because the
// version was deleted with another definition. The model has no separate error for that, so this
// depends on the text.
func IsRetiredVersion(err error) bool {
	return KindOf(err) == Refused && strings.Contains(strings.ToLower(err.Error()), "deleted")
}

// NotSentError reports that a call was not sent, so it can't have had an effect.
type NotSentError struct {
	// Kind is Throttled (its context had ended) or AccessDenied (there were no
	// credentials).
	Kind Kind
	Err  error
}

func (e *NotSentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NotSentError) Unwrap() error { return e.Err }
