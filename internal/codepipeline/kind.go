package codepipeline

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/internal/awstext"
)

// Kind is the meaning of an error for the caller.
type Kind int

const (
	// Unclear: the call may have had its effect. The response was lost (a time-out, a
	// broken connection), is a server error (5xx), is not from AWS (a proxy's page), or
	// has a code that the model does not have for the operation.
	Unclear Kind = iota
	// Throttled: the call had no effect; the same call later may succeed.
	Throttled
	// AccessDenied: the call had no effect; credentials or permissions are
	// missing, wrong or expired. It may succeed after they were corrected.
	AccessDenied
	// InvalidNonce: AcknowledgeJob found another nonce than ours to be current.
	InvalidNonce
	// JobNotFound: the job ID is not, or no longer, known.
	JobNotFound
	// InvalidJobState: the job is not in progress, so it takes no result.
	InvalidJobState
	// ActionTypeNotFound: PollForJobs found no such action type.
	ActionTypeNotFound
	// ResourceNotFound: there is no resource of the ARN.
	ResourceNotFound
	// LimitExceeded: the account has the maximum number of action types.
	LimitExceeded
	// Refused: CodePipeline will never accept this request unchanged
	// (ValidationException and similar errors).
	Refused
)

var kindNames = map[Kind]string{
	Unclear: "unclear", Throttled: "throttled", AccessDenied: "access_denied", InvalidNonce: "invalid_nonce",
	JobNotFound: "job_not_found", InvalidJobState: "invalid_job_state", ActionTypeNotFound: "action_type_not_found",
	ResourceNotFound: "resource_not_found", LimitExceeded: "limit_exceeded", Refused: "refused",
}

// String returns the kind as metrics name it.
func (k Kind) String() string { return kindNames[k] }

// KindOf returns the kind of an error of a Client. Any other error, such as a
// context's, is Unclear.
func KindOf(err error) Kind {
	var notSent *NotSentError
	if errors.As(err, &notSent) {
		return notSent.Kind
	}
	var failed *CallError
	if errors.As(err, &failed) {
		return failed.Kind
	}
	return Unclear
}

// modelled has the errors of each operation in the model. Only these are refusals: any
// other code, or the code of another operation, says nothing about the call. The errors of
// all operations are in commonKind.
var modelled = map[string]map[string]Kind{
	"PollForJobs": {
		"ValidationException":         Refused,
		"ActionTypeNotFoundException": ActionTypeNotFound,
	},
	"AcknowledgeJob": {
		"ValidationException":   Refused,
		"InvalidNonceException": InvalidNonce,
		"JobNotFoundException":  JobNotFound,
	},
	"GetJobDetails": {
		"ValidationException":  Refused,
		"JobNotFoundException": JobNotFound,
	},
	"PutJobSuccessResult": {
		"ValidationException":                  Refused,
		"JobNotFoundException":                 JobNotFound,
		"InvalidJobStateException":             InvalidJobState,
		"OutputVariablesSizeExceededException": Refused,
	},
	"PutJobFailureResult": {
		"ValidationException":      Refused,
		"JobNotFoundException":     JobNotFound,
		"InvalidJobStateException": InvalidJobState,
	},
	"CreateCustomActionType": {
		"ValidationException":             Refused,
		"LimitExceededException":          LimitExceeded,
		"TooManyTagsException":            Refused,
		"InvalidTagsException":            Refused,
		"ConcurrentModificationException": Throttled,
	},
	"DeleteCustomActionType": {
		"ValidationException":             Refused,
		"ConcurrentModificationException": Throttled,
	},
	"ListActionTypes": {
		"ValidationException": Refused,
		// The list is read again from its first page.
		"InvalidNextTokenException": Unclear,
	},
	"ListActionExecutions": {
		"ValidationException":                Refused,
		"PipelineNotFoundException":          Refused,
		"PipelineExecutionNotFoundException": Refused,
		"InvalidNextTokenException":          Unclear,
	},
	"TagResource": {
		"ValidationException":             Refused,
		"ResourceNotFoundException":       ResourceNotFound,
		"InvalidArnException":             Refused,
		"TooManyTagsException":            Refused,
		"InvalidTagsException":            Refused,
		"ConcurrentModificationException": Throttled,
	},
	"UntagResource": {
		"ValidationException":             Refused,
		"ResourceNotFoundException":       ResourceNotFound,
		"InvalidArnException":             Refused,
		"InvalidTagsException":            Refused,
		"ConcurrentModificationException": Throttled,
	},
	"ListTagsForResource": {
		"ValidationException":       Refused,
		"ResourceNotFoundException": ResourceNotFound,
		"InvalidArnException":       Refused,
		"InvalidNextTokenException": Unclear,
	},
}

// throttlingCodes and credentialCodes are those of AWS's common errors, without the
// ending "Exception" that the JSON protocols have and the query protocol has not.
var (
	throttlingCodes = codes("Throttling", "Throttled", "RequestThrottled", "EC2Throttled", "TooManyRequests",
		"RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete")
	credentialCodes = codes("AccessDenied", "NotAuthorized", "OptInRequired", "AuthFailure",
		"UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken",
		"ExpiredToken", "RequestExpired", "TokenRefreshRequired",
		"MissingAuthenticationToken", "IncompleteSignature", "InvalidSignature", "SignatureDoesNotMatch", "RequestTimeTooSkewed")
)

func codes(list ...string) map[string]bool {
	set := map[string]bool{}
	for _, code := range list {
		set[code] = true
	}
	return set
}

// Classify returns what the SDK's error of an operation means, as a *CallError. It returns
// nil for nil. Of an error that wraps a *NotSentError it returns only that one: the SDK's
// text around it says nothing.
func Classify(operation string, err error) error {
	var notSent *NotSentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notSent):
		return notSent
	}
	code, message := answerOf(err)
	if code == "" {
		return &CallError{Operation: operation, Kind: Unclear, Message: awstext.OfCause(err), Err: err}
	}
	return &CallError{Operation: operation, Kind: kindOfCode(operation, code, awstext.Status(err)), Code: code, Message: awstext.Stable(message), Err: err}
}

// answerOf returns code and message of an error that AWS answered. The code is
// empty if AWS did not answer.
func answerOf(err error) (code, message string) {
	var foreign *foreignAnswerError
	if errors.As(err, &foreign) {
		return "", ""
	}
	return awstext.Answer(err)
}

func kindOfCode(operation, code string, status int) Kind {
	if isThrottlingCode(code) {
		return Throttled // S3 and others say so with a 503
	}
	if status >= http.StatusInternalServerError {
		return Unclear
	}
	if kind, known := modelled[operation][code]; known {
		return kind
	}
	if credentialCodes[strings.TrimSuffix(code, "Exception")] {
		return AccessDenied
	}
	return Unclear
}

func isThrottlingCode(code string) bool {
	return throttlingCodes[strings.TrimSuffix(code, "Exception")]
}

// IsThrottle reports whether AWS throttled a call. A ConcurrentModificationException
// is Throttled to its caller, and no reason to slow down.
func IsThrottle(err error) bool {
	var failed *CallError
	return errors.As(err, &failed) && isThrottlingCode(failed.Code)
}

// foreignAnswerError is an answer that is not AWS's.
type foreignAnswerError struct {
	status int
	err    error // of the SDK, or nil
}

func (e *foreignAnswerError) Error() string { return awstext.Foreign(e.status) }

// Unwrap returns the SDK's error.
func (e *foreignAnswerError) Unwrap() error { return e.err }

// HTTPStatusCode lets the SDK's retries treat the answer as they treat any other.
func (e *foreignAnswerError) HTTPStatusCode() int { return e.status }
