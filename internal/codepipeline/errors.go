package codepipeline

import (
	"errors"
	"net/http"
	"slices"

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

// isThrottle asks the SDK's own list of throttling codes.
func isThrottle(err error) bool {
	return slices.ContainsFunc(retry.DefaultThrottles, func(check retry.IsErrorThrottle) bool {
		return check.IsErrorThrottle(err).Bool()
	})
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
