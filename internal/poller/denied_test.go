package poller

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestJobThatAPolicyDeniesKeepsItsContent has a policy on spec.configuration deny a job with
// 422, the code of a ValidatingAdmissionPolicy without a reason. The job must be retried
// unchanged, as after any other code.
func TestJobThatAPolicyDeniesKeepsItsContent(t *testing.T) {
	s := newStation(t)
	var tries atomic.Int32
	s.onCreate(func(_ context.Context, job *v1alpha1.PipelineJob) error {
		if tries.Add(1) > 1 || job.Spec.Omitted != "" {
			return nil // without its configuration, or once the policy is corrected
		}
		err := apierrors.NewForbidden(schema.GroupResource{Resource: "pipelinejobs"}, "x", errors.New("ValidatingAdmissionPolicy 'p' with binding 'all' denied request: configuration.branch must be main"))
		err.ErrStatus.Code, err.ErrStatus.Reason = 422, metav1.StatusReasonInvalid
		return err
	})
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	jobs := s.jobs(s)
	s.Expect(jobs[first(jobs)].Spec.Omitted).To(BeEmpty())
}
