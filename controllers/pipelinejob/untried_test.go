package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestLostReportIsNotTakenForUntried has a job with an unconfirmed claim handed out again,
// with another nonce, after its result is recorded and before its report is tried. The job is
// claimed again and reported, all within a second, and the answer to the report is lost. The
// next try finds the job closed, and must count the report as accepted.
func TestLostReportIsNotTakenForUntried(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.reporting()
	moved := p.pipelineJob()
	before := moved.DeepCopy()
	moved.Status.Protocol.ClaimUnconfirmed = true
	p.Expect(p.kube.Status().Patch(p.ctx, moved, client.MergeFrom(before))).To(Succeed())
	before = moved.DeepCopy()
	moved.Spec.CodePipelineJob.Nonce = "another"
	moved.Generation++ // as the API server does
	p.Expect(p.kube.Patch(p.ctx, moved, client.MergeFrom(before))).To(Succeed())
	_, err := advance(p, p.operator, moved.Name) // the claim
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.pipelineJob().Status.Protocol.AcknowledgedNonce).To(Equal("another"))

	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationSuccess, Kind: emulator.ServerErrorAfter})).To(Succeed())
	_, err = advance(p, p.operator, moved.Name)
	p.Expect(err).To(HaveOccurred(), "the answer is lost")
	p.clock.Step(firstRetry)
	p.until((*v1alpha1.PipelineJob).Settled)
	p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
}
