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
			found := judge(&v1alpha1.CustomAction{}, c.answer)
			g.Expect(found.reason).To(Equal(c.reason))
			g.Expect(found.err != nil).To(Equal(c.reason != ""))
		})
	}
}
