package pipelinejob

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// lagging returns a client whose cache shows an old version of a PipelineJob.
func (p *play) lagging(shown *v1alpha1.PipelineJob) client.Client {
	return interceptor.NewClient(p.kube, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if job, ok := object.(*v1alpha1.PipelineJob); ok {
				shown.DeepCopyInto(job)
				return nil
			}
			return c.Get(ctx, key, object, options...)
		},
	})
}

// planned takes a job without artifacts until its run is planned.
func (p *play) planned() *v1alpha1.PipelineJob {
	p.start(nil)
	p.poll(nil)
	job := p.pipelineJob()
	job.Spec.InputArtifacts = nil
	p.Expect(p.kube.Update(p.ctx, job)).To(Succeed())
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Run != nil })
	return p.pipelineJob()
}

// TestLostAnswerOfAWriteMakesNoSecondJob has the answer lost to the write that records a Job,
// and a user delete the Job before the cache shows either.
func TestLostAnswerOfAWriteMakesNoSecondJob(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	planned := p.planned()
	p.operator.Client = interceptor.NewClient(p.lagging(planned).(client.WithWatch), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			p.failing = answerLost
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	_, err := advance(p, p.operator, planned.Name)
	p.Expect(err).To(MatchError(errWrite))
	p.Expect(p.pipelineJob().Status.Run.JobUID).NotTo(BeEmpty(), "it was written")
	p.Expect(p.kube.DeleteAllOf(p.ctx, &batchv1.Job{}, client.InNamespace("team"))).To(Succeed())

	p.operator.Client = p.lagging(planned)
	p.clock.Step(firstRetry)
	_, _ = advance(p, p.operator, planned.Name)
	p.Expect(p.made).To(HaveKeyWithValue(planned.Status.Run.JobName, 1))
}
