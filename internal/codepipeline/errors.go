package codepipeline

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Kind says what an error means for the caller.
type Kind int

const (
	// Unclear: the call may have had its effect; the answer was lost (a
	// time-out, a broken connection) or is a server fault (5xx).
	Unclear Kind = iota
	// Throttled: the call had no effect; the same call later may succeed.
	Throttled
	// AccessDenied: the call had no effect; credentials or permissions are
	// missing, wrong or expired. It may succeed once somebody mends them.
	AccessDenied
	// InvalidNonce: AcknowledgeJob found another nonce than ours to be current.
	InvalidNonce
	// JobNotFound: the job ID is not, or no longer, known.
	JobNotFound
	// InvalidJobState: the job is not in progress, so it takes no result.
	InvalidJobState
	// ActionTypeNotFound: PollForJobs found no such action type.
	ActionTypeNotFound
	// LimitExceeded: the account has as many action types as it may.
	LimitExceeded
	// Refused: CodePipeline will never take this request as it is
	// (ValidationException and its like).
	Refused
)

var kindNames = map[Kind]string{
	Unclear: "unclear", Throttled: "throttled", AccessDenied: "access_denied", InvalidNonce: "invalid_nonce",
	JobNotFound: "job_not_found", InvalidJobState: "invalid_job_state", ActionTypeNotFound: "action_type_not_found",
	LimitExceeded: "limit_exceeded", Refused: "refused",
}

// String is the kind as metrics name it.
func (k Kind) String() string { return kindNames[k] }

// KindOf says what err means. An error that does not come from AWS's answer,
// such as a broken connection, is Unclear.
func KindOf(err error) Kind {
	var notSent *NotSentError
	if errors.As(err, &notSent) {
		return notSent.Kind
	}
	if isThrottle(err) {
		return Throttled
	}
	var answer smithy.APIError
	if errors.As(err, &answer) {
		if kind, known := kinds[answer.ErrorCode()]; known {
			return kind
		}
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return kindOfStatus(response.HTTPStatusCode())
	}
	return Unclear
}

func kindOfStatus(status int) Kind {
	switch {
	case status >= 500:
		return Unclear
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return AccessDenied
	case status >= 400:
		return Refused
	default:
		return Unclear // an answer that could not be read
	}
}

var kinds = map[string]Kind{
	"InvalidNonceException":                InvalidNonce,
	"JobNotFoundException":                 JobNotFound,
	"InvalidJobStateException":             InvalidJobState,
	"ActionTypeNotFoundException":          ActionTypeNotFound,
	"LimitExceededException":               LimitExceeded,
	"ValidationException":                  Refused,
	"OutputVariablesSizeExceededException": Refused,
	"InvalidTagsException":                 Refused,
	"TooManyTagsException":                 Refused,
	"InvalidArnException":                  Refused,
	"ResourceNotFoundException":            Refused,
	"SerializationException":               Refused,
	"ConcurrentModificationException":      Throttled,
	"AccessDeniedException":                AccessDenied,
	"AccessDenied":                         AccessDenied,
	"UnrecognizedClientException":          AccessDenied,
	"InvalidClientTokenId":                 AccessDenied,
	"ExpiredTokenException":                AccessDenied,
	"ExpiredToken":                         AccessDenied,
	"IncompleteSignature":                  AccessDenied,
	"InvalidSignatureException":            AccessDenied,
	"MissingAuthenticationToken":           AccessDenied,
	"MissingAuthenticationTokenException":  AccessDenied,
	"OptInRequired":                        AccessDenied,
	"RequestExpired":                       AccessDenied,
	"InternalFailure":                      Unclear,
	"ServiceUnavailable":                   Unclear,
}

// isThrottle asks the SDK's own list of throttling codes, but for one, which
// CodePipeline has for a quota (CreateCustomActionType).
func isThrottle(err error) bool {
	var answer smithy.APIError
	if errors.As(err, &answer) && answer.ErrorCode() == "LimitExceededException" {
		return false
	}
	return slices.ContainsFunc(retry.DefaultThrottles, func(check retry.IsErrorThrottle) bool {
		return check.IsErrorThrottle(err).Bool()
	})
}

// CredentialsError says that there are no credentials for an identity: the
// environment has none, or its role can't be assumed.
type CredentialsError struct {
	Identity Identity
	Err      error
}

func (e *CredentialsError) Error() string {
	if e.Identity.RoleARN == "" {
		return fmt.Sprintf("get AWS credentials from the operator's environment: %v", e.Err)
	}
	return fmt.Sprintf("assume the role %s with the external ID %q: %v", e.Identity.RoleARN, e.Identity.ExternalID, e.Err)
}

// Unwrap gives the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }

// RoleNotAllowedError says that the operator is not to assume a role.
type RoleNotAllowedError struct {
	RoleARN string
	// Allowed are the patterns of Clients.AllowRoles.
	Allowed []string
}

func (e *RoleNotAllowedError) Error() string {
	return fmt.Sprintf("the operator may not assume the role %s: its flag --allowed-roles has %s", e.RoleARN, strings.Join(e.Allowed, ", "))
}

// UnknownHost reports whether a call failed because its host name is not known,
// as that of a region that does not exist is, and gives the name.
func UnknownHost(err error) (name string, unknown bool) {
	var lookup *net.DNSError
	if !errors.As(err, &lookup) || !lookup.IsNotFound {
		return "", false
	}
	return lookup.Name, true
}

// IsRetiredVersion reports whether CreateCustomActionType was refused because the
// version was deleted with another definition. The model has no error of its
// own for that: it is told from the text.
func IsRetiredVersion(err error) bool {
	return KindOf(err) == Refused && strings.Contains(strings.ToLower(err.Error()), "deleted")
}

// NotSentError says that a call never left: it can't have had an effect.
type NotSentError struct {
	// Kind is Throttled (our own rate limit, or a cancelled context) or
	// AccessDenied (no credentials could be had).
	Kind Kind
	Err  error
}

func (e *NotSentError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NotSentError) Unwrap() error { return e.Err }
