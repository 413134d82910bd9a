package poller

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestSettledJobOfWhichNothingIsConfirmedIsAskedFor has the claim of a job, and its report or
// cancellation, only seem to be accepted. The action takes no new jobs by then: it is
// suspended, not ready, or its grant was withdrawn. The operator must poll until the job is
// handed out again, and must record no other job.
func TestSettledJobOfWhichNothingIsConfirmedIsAskedFor(t *testing.T) {
	for name, reported := range map[string]bool{"it was reported": true, "it was cancelled": false} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = 30 * time.Second })
			s.queue(1)
			s.poller.Ensure(s.target)
			s.awaitJobs(1)
			known := first(s.jobs(s))
			s.target.MaxConcurrent = 0
			s.poller.Ensure(s.target)
			s.queue(3)
			s.status(known, func(job *v1alpha1.PipelineJob) {
				is, protocol := job.Spec.CodePipelineJob, &job.Status.Protocol
				protocol.AcknowledgedJobID, protocol.AcknowledgedNonce, protocol.ClaimUnconfirmed = is.ID, is.Nonce, true
				if reported {
					protocol.ReportedJobID = is.ID
				}
				job.Settle(metav1.NewTime(s.clock.Now()))
			})
			nonce := s.jobs(s)[known].Spec.CodePipelineJob.Nonce
			s.await(func(g Gomega) {
				s.clock.Step(gatherFor)
				g.Expect(s.jobs(g)[known].Spec.CodePipelineJob.Nonce).NotTo(Equal(nonce), "it is handed out again, and recorded")
			})
			s.Expect(s.jobs(s)[known].Settled()).To(BeFalse(), "it is claimed again")
			s.Expect(s.jobs(s)).To(HaveLen(1))
		})
	}
}
