package customaction

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// policyAnswer returns the response of a ValidatingAdmissionPolicy: its code is 422 by default, as
// for an invalid field, but it names no field.
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
		"a webhook without dry runs":     {apierrors.NewBadRequest("admission webhook \"x\" does not support dry run"), ""},
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
			g.Expect(found.message).NotTo(ContainSubstring("spec.jobTemplate.:"), "a path to no field")
		})
	}
}

// TestMissingPermissionToTryPodsIsLogged: it is not a refusal of the pods.
func TestMissingPermissionToTryPodsIsLogged(t *testing.T) {
	g := NewWithT(t)
	tried := 0
	scheme := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	r := &Reconciler{Client: interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			if _, is := object.(*corev1.Pod); !is {
				return nil
			}
			tried++
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`User "operator" cannot create resource "pods" in API group "" in the namespace "team"`))
		},
	})}
	logged := ""
	ctx := logf.IntoContext(t.Context(), funcr.New(func(_, args string) { logged += args + "\n" }, funcr.Options{}))
	action := harness.NewAction("team")
	for range 2 {
		g.Expect(r.checkTemplate(ctx, action, nil)).To(Equal(finding{}))
	}
	g.Expect(tried).To(Equal(2), "the permission may be granted later")
	g.Expect(strings.Count(logged, "\n")).To(Equal(1))
	g.Expect(logged).To(ContainSubstring("permission to create pods"))
}
