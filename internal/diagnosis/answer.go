package diagnosis

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Answer is the kind of response to the creation of an object, or to its dry run.
type Answer int

const (
	// AnswerTaken: the object was created or exists already.
	AnswerTaken Answer = iota
	// AnswerNone: there is no response, or one that says nothing about the object: a timeout, a
	// server error, too many requests or an expired token.
	AnswerNone
	// AnswerNoDryRun: a webhook does not support dry runs, because it has side effects.
	AnswerNoDryRun
	// AnswerQuotaExceeded: a ResourceQuota is used up. It has room again when other objects are
	// deleted.
	AnswerQuotaExceeded
	// AnswerNotPermitted: the operator may not create such objects (RBAC).
	AnswerNotPermitted
	// AnswerInvalid: the API server's validation refuses fields, or the object is too large.
	AnswerInvalid
	// AnswerDenied: admission refuses the object, because of a policy, a webhook, a LimitRange or
	// Pod Security, or because the object refers to something that does not exist.
	AnswerDenied
)

// AnswerOf classifies the error of a Create.
func AnswerOf(err error) Answer {
	if err == nil {
		return AnswerTaken
	}
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return AnswerNone
	}
	status := answer.Status()
	switch {
	case IsQuotaExceeded(err):
		return AnswerQuotaExceeded
	case apierrors.IsBadRequest(err) && strings.Contains(status.Message, "does not support dry run"):
		return AnswerNoDryRun
	case isDenial(status.Message):
		return AnswerDenied
	case apierrors.IsAlreadyExists(err):
		return AnswerTaken
	case isTooLarge(err):
		return AnswerInvalid
	case saysNothing(status.Code):
		return AnswerNone
	case isNotPermitted(status):
		return AnswerNotPermitted
	case apierrors.IsInvalid(err) && namesField(status), apierrors.IsBadRequest(err):
		return AnswerInvalid
	default:
		return AnswerDenied
	}
}

// isDenial reports whether a webhook or a ValidatingAdmissionPolicy refused. The status code does
// not show it: policies answer 422 by default, like for an invalid field, and webhooks may choose
// any code from 400 on.
func isDenial(message string) bool {
	return strings.Contains(message, "denied the request") || strings.Contains(message, "denied request")
}

// saysNothing reports whether an HTTP status says nothing about the object.
func saysNothing(code int32) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return code < http.StatusBadRequest || code >= http.StatusInternalServerError
	}
}

// isNotPermitted reports whether the authorizer refused. Unlike admission, it only knows the kind
// and does not name the object.
func isNotPermitted(status metav1.Status) bool {
	return status.Reason == metav1.StatusReasonForbidden && status.Details != nil &&
		status.Details.Kind != "" && status.Details.Name == ""
}

func namesField(status metav1.Status) bool {
	return status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field != "" })
}
