package poller

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestUnfitJobIsRecordedWithoutItsBulk: the API server, or etcd, will never accept the job as
// it is.
func TestUnfitJobIsRecordedWithoutItsBulk(t *testing.T) {
	for name, refusal := range map[string]error{
		"too large for etcd":           apierrors.NewInternalError(errors.New("etcdserver: request is too large")),
		"too large for its connection": apierrors.NewInternalError(errors.New("rpc error: code = ResourceExhausted desc = trying to send message larger than max (2105050 vs. 2097152)")),
		"too large for the API server": apierrors.NewRequestEntityTooLargeError("limit is 3145728"),
		"invalid": apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("PipelineJob").GroupKind(), "x",
			field.ErrorList{field.Invalid(field.NewPath("spec", "inputArtifacts"), "", "of a newer version of the CRD")}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t)
			s.onCreate(func(_ context.Context, job *v1alpha1.PipelineJob) error {
				if job.Spec.Omitted == "" {
					return refusal
				}
				return nil
			})
			s.queue(1)
			s.poller.Ensure(s.target)
			s.awaitJobs(1)
			jobs := s.jobs(s)
			spec := jobs[first(jobs)].Spec
			s.Expect(spec.Omitted).To(ContainSubstring(refusal.Error()))
			s.Expect(spec.Omitted).To(ContainSubstring("is the largest, with"))
			s.Expect(spec.Configuration).To(BeEmpty())
			s.Expect(spec.Pipeline.ActionExecutionID).NotTo(BeEmpty())
			s.Expect(spec.CodePipelineJob.Nonce).NotTo(BeEmpty())
		})
	}
}
