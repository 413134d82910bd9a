package customaction

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// policyAnswer is that of a ValidatingAdmissionPolicy: its code is 422 by default, as of an
// invalid field, and it names none.
func policyAnswer() error {
	const message = "ValidatingAdmissionPolicy 'ttl' with binding 'all' denied request: every Job must set spec.ttlSecondsAfterFinished"
	err := apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, "j", errors.New(message))
	err.ErrStatus.Code, err.ErrStatus.Reason = 422, metav1.StatusReasonInvalid
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: message}}
	return err
}

func webhookAnswer(code int32) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Message: `admission webhook "x" denied the request: no`}}
}

func TestWhatAnAnswerToTheDryRunMeans(t *testing.T) {
	job := schema.GroupResource{Group: "batch", Resource: "jobs"}
	cases := map[string]struct {
		answer error
		reason string
	}{
		"taken":                          {nil, ""},
		"a quota that is used up":        {apierrors.NewForbidden(job, "j", errors.New("exceeded quota: jobs, requested: count/jobs.batch=1")), ""},
		"a webhook that can't be asked":  {apierrors.NewBadRequest("admission webhook \"x\" does not support dry run"), ""},
		"an admission policy":            {apierrors.NewForbidden(job, "j", errors.New("images must come from our registry")), v1alpha1.ReasonJobRefused},
		"a policy that answers 422":      {policyAnswer(), v1alpha1.ReasonJobRefused},
		"no permission":                  {apierrors.NewForbidden(job, "", errors.New("User \"x\" cannot create resource")), v1alpha1.ReasonJobRefused},
		"a webhook that refuses by 500":  {webhookAnswer(500), v1alpha1.ReasonJobRefused},
		"a webhook that refuses by 400":  {webhookAnswer(400), v1alpha1.ReasonJobRefused},
		"a malformed Job":                {apierrors.NewBadRequest("unknown field"), v1alpha1.ReasonInvalidJobTemplate},
		"the sample's own value":         {apierrors.NewForbidden(job, "j", errors.New("image pipelinejob-sample is not ours")), ""},
		"a webhook's own refusal":        {&apierrors.StatusError{ErrStatus: metav1.Status{Code: 418, Message: "not here"}}, v1alpha1.ReasonJobRefused},
		"a webhook that does not answer": {apierrors.NewInternalError(errors.New("webhook timed out")), v1alpha1.ReasonAPIServerUnavailable},
		"a request that took too long":   {apierrors.NewTimeoutError("request did not complete", 1), v1alpha1.ReasonAPIServerUnavailable},
		"too many requests":              {apierrors.NewTooManyRequests("later", 1), v1alpha1.ReasonAPIServerUnavailable},
		"an API server that shuts down":  {apierrors.NewServiceUnavailable("shutting down"), v1alpha1.ReasonAPIServerUnavailable},
		"a token that has expired":       {apierrors.NewUnauthorized("expired"), v1alpha1.ReasonAPIServerUnavailable},
		"no answer":                      {errors.New("connection refused"), v1alpha1.ReasonAPIServerUnavailable},
		"an invalid field": {apierrors.NewInvalid(batchv1.SchemeGroupVersion.WithKind("Job").GroupKind(), "j",
			field.ErrorList{field.Required(field.NewPath("spec"), "")}), v1alpha1.ReasonInvalidJobTemplate},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			found := judge(&v1alpha1.CustomAction{}, &batchv1.Job{}, kindJobs, c.answer)
			g.Expect(found.reason).To(Equal(c.reason))
			g.Expect(found.err != nil).To(Equal(c.reason != ""))
			g.Expect(found.message).NotTo(ContainSubstring("spec.jobTemplate.:"), "a path that leads nowhere")
		})
	}
}
