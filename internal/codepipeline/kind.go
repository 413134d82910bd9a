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
	// Unclear: the call may have taken effect. The response was lost (a timeout or a broken
	// connection), is a server error (5xx), is not from AWS (a proxy's page), or has a code that
	// the model does not have for the operation.
	Unclear Kind = iota
	// Throttled: the call had no effect. The same call may succeed later.
	Throttled
	// AccessDenied: the call had no effect. Credentials or permissions are missing, wrong or
	// expired. The call may succeed after they are corrected.
	AccessDenied
	// InvalidNonce: the nonce that was sent to AcknowledgeJob is not the current one.
	InvalidNonce
	// JobNotFound: the job ID is not, or no longer, known.
	JobNotFound
	// InvalidJobState: the job is not in progress, so it accepts no result.
	InvalidJobState
	// ActionTypeNotFound: PollForJobs did not find the action type.
	ActionTypeNotFound
	// ResourceNotFound: there is no resource with this ARN.
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

// String returns the kind's name in metrics.
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

// modelled has the errors of each operation in the API model. Only these are refusals: any other
// code, or the code of another operation, says nothing about the call. commonKind has the errors
// that all operations share.
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
		// The list is read again from the first page.
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

// throttlingCodes and credentialCodes are codes of AWS's common errors, without the suffix
// "Exception", which only the JSON protocols add.
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

// Classify converts the SDK's error of an operation to a *CallError. It returns nil for nil. If the
// error wraps a *NotSentError, it returns only that one, because the SDK's text around it has no
// information.
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

// answerOf returns the code and message of an error response from AWS. The code is empty if the
// response is not from AWS.
func answerOf(err error) (code, message string) {
	var foreign *foreignAnswerError
	if errors.As(err, &foreign) {
		return "", ""
	}
	return awstext.Answer(err)
}

func kindOfCode(operation, code string, status int) Kind {
	if isThrottlingCode(code) {
		return Throttled // S3 and others use 503 for throttling
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

// IsThrottle reports whether AWS throttled a call. A ConcurrentModificationException has the kind
// Throttled, but is not a reason to slow down.
func IsThrottle(err error) bool {
	var failed *CallError
	return errors.As(err, &failed) && isThrottlingCode(failed.Code)
}

// foreignAnswerError is a response that is not from AWS.
type foreignAnswerError struct {
	status int
	err    error // of the SDK, or nil
}

func (e *foreignAnswerError) Error() string { return awstext.Foreign(e.status) }

// Unwrap returns the SDK's error.
func (e *foreignAnswerError) Unwrap() error { return e.err }

// HTTPStatusCode lets the SDK retry according to the status.
func (e *foreignAnswerError) HTTPStatusCode() int { return e.status }
