package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"
)

// TestPanicInAWorkerHoldsNoJobUp has a worker panic once, which controller-runtime turns into
// an error. The PipelineJob must be reconciled afterwards.
func TestPanicInAWorkerHoldsNoJobUp(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	request := requestFor(p.pipelineJob().Name)
	cached := p.operator.Client
	p.operator.Client = nil
	p.Expect(func() { _, _ = p.operator.Reconcile(p.ctx, request) }).To(Panic())
	p.operator.Client = cached
	p.reconcileOnce()
	p.Expect(p.pipelineJob().Status.Protocol.AcknowledgedJobID).NotTo(BeEmpty())
}
