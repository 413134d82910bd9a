package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestUnclaimedJobThatOthersKeepIsSettled deletes a PipelineJob before it is claimed, which a
// finalizer of a user keeps: it is no job in flight, which would take a slot, keep the account and
// keep others from the jobs of its action.
func TestUnclaimedJobThatOthersKeepIsSettled(t *testing.T) {
	p := newPlay(t)
	p.start(nil)
	p.poll(nil)
	name := p.names()[0]
	job := &v1alpha1.PipelineJob{}
	key := client.ObjectKey{Namespace: "team", Name: name}
	p.Expect(p.kube.Get(p.ctx, key, job)).To(Succeed())
	job.Finalizers = append(job.Finalizers, "example.com/kept")
	p.Expect(p.kube.Update(p.ctx, job)).To(Succeed())
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	for range 3 {
		p.step(name)
		p.step(name)
		p.Expect(p.kube.Get(p.ctx, key, job)).To(Succeed())
		p.Expect(job.Status.Protocol.AcknowledgedJobID).To(BeEmpty())
		p.Expect(job.Settled()).To(BeTrue())
		p.clock.Step(DefaultActionTimeout / 24)
		p.poll(nil) // it is handed out again
	}
}
