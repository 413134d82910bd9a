package pipelinejob

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestOperatorFrozenInAWriteMakesNoSecondJob freezes an operator after its write took effect
// but before it reads the answer. Another operator takes over and creates the Job, which a
// user deletes. Then the first one, thawed, works with a stale cache.
func TestOperatorFrozenInAWriteMakesNoSecondJob(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	job := p.pipelineJob()
	job.Spec.InputArtifacts = nil
	p.Expect(p.kube.Update(p.ctx, job)).To(Succeed())

	frozen, planned := p.newOperator(p.cloud()...), (*v1alpha1.PipelineJob)(nil)
	frozen.Client = interceptor.NewClient(frozen.Client.(client.WithWatch), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			err := c.SubResource(sub).Patch(ctx, object, patch, options...)
			if now := p.pipelineJob(); planned == nil && now.Status.Run != nil {
				planned = now
				p.clock.Step(time.Minute)
				p.until(runs1)
				p.Expect(p.kube.DeleteAllOf(p.ctx, &batchv1.Job{}, client.InNamespace("team"))).To(Succeed())
				p.until((*v1alpha1.PipelineJob).Settled)
			}
			return err
		},
	})
	_, err := advance(p, frozen, job.Name)
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.made).To(HaveKeyWithValue(planned.Status.Run.JobName, 1))

	frozen.Client = p.lagging(planned)
	_, _ = advance(p, frozen, job.Name)
	p.Expect(p.made).To(HaveKeyWithValue(planned.Status.Run.JobName, 1))
}
