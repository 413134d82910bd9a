package pipelinejob

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestStepThatPanicsIsTriedAgainLater has a step panic in a lane. It must be retried later, as
// any step that fails.
func TestStepThatPanicsIsTriedAgainLater(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	panics, cached := 0, p.operator.Client
	p.operator.Client = interceptor.NewClient(cached.(client.WithWatch), interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			panics++
			panic("on purpose")
		},
	})
	for range 5 {
		p.reconcileOnce()
	}
	p.Expect(panics).To(Equal(1))
	p.operator.Client = cached
	p.clock.Step(firstRetry)
	p.reconcileOnce()
	p.Expect(p.pipelineJob().Status.Protocol.AcknowledgedJobID).NotTo(BeEmpty())
}
