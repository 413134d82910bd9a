package diagnosis

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// policySaid returns the API server's error for a denial by a ValidatingAdmissionPolicy.
func policySaid(code int32, reason metav1.StatusReason) error {
	const message = "ValidatingAdmissionPolicy 'ttl' with binding 'all' denied request: set ttlSecondsAfterFinished"
	err := apierrors.NewForbidden(jobs, "j", errors.New(message))
	err.ErrStatus.Code, err.ErrStatus.Reason = code, reason
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: message}}
	return err
}

// webhookSaid returns the error for a webhook's denial with a status code.
func webhookSaid(code int32) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Message: `admission webhook "x" denied the request: no`,
	}}
}

var jobs = schema.GroupResource{Group: "batch", Resource: "jobs"}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Answer
	}{
		"created":                        {nil, AnswerTaken},
		"there already":                  {apierrors.NewAlreadyExists(jobs, "j"), AnswerTaken},
		"no answer":                      {errors.New("connection refused"), AnswerNone},
		"a webhook that does not answer": {apierrors.NewInternalError(errors.New("failed calling webhook")), AnswerNone},
		"a time-out":                     {apierrors.NewTimeoutError("request did not complete", 1), AnswerNone},
		"too many requests":              {apierrors.NewTooManyRequests("later", 1), AnswerNone},
		"an API server that shuts down":  {apierrors.NewServiceUnavailable("shutting down"), AnswerNone},
		"an expired token":               {apierrors.NewUnauthorized("expired"), AnswerNone},
		"a webhook without a dry run":    {apierrors.NewBadRequest(`admission webhook "x" does not support dry run`), AnswerNoDryRun},
		"a used-up quota":                {apierrors.NewForbidden(jobs, "j", errors.New("exceeded quota: team")), AnswerQuotaExceeded},
		"a quota that asks for limits":   {apierrors.NewForbidden(jobs, "j", errors.New("failed quota: team: must specify limits.cpu for: build")), AnswerDenied},
		"RBAC":                           {apierrors.NewForbidden(jobs, "", errors.New(`User "u" cannot create resource "jobs"`)), AnswerNotPermitted},
		"an invalid field":               {apierrors.NewInvalid(batchv1.SchemeGroupVersion.WithKind("Job").GroupKind(), "j", field.ErrorList{field.Required(field.NewPath("spec"), "")}), AnswerInvalid},
		"too large for the API server":   {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), AnswerInvalid},
		"too large for etcd":             {apierrors.NewInternalError(errors.New("etcdserver: request is too large")), AnswerInvalid},
		"a malformed object":             {apierrors.NewBadRequest("unknown field"), AnswerInvalid},
		"a policy":                       {policySaid(422, metav1.StatusReasonInvalid), AnswerDenied},
		"a policy, 401":                  {policySaid(401, metav1.StatusReasonUnauthorized), AnswerDenied},
		"a policy, 403":                  {policySaid(403, metav1.StatusReasonForbidden), AnswerDenied},
		"a policy, 413":                  {policySaid(413, metav1.StatusReasonRequestEntityTooLarge), AnswerDenied},
		"a webhook, 400":                 {webhookSaid(400), AnswerDenied},
		"a webhook, 409":                 {webhookSaid(409), AnswerDenied},
		"a webhook, 418":                 {webhookSaid(418), AnswerDenied},
		"a webhook, 500":                 {webhookSaid(500), AnswerDenied},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(AnswerOf(c.err)).To(Equal(c.want)) })
	}
}
