package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestOperatorThatWasReplacedMeanwhileWritesNoSecret has an operator ask for credentials
// when its last write was not long ago, and get them not long after that: in both together
// another one took over, and the job has ended and its Secret is gone.
func TestOperatorThatWasReplacedMeanwhileWritesNoSecret(t *testing.T) {
	const almost = Takeover - time.Second/10
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	late := p.freeze(t, operationDetails, thawsAfter)
	_, err := advance(p, late.Reconciler, p.pipelineJob().Name)
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.pipelineJob().Status.Run).NotTo(BeNil())
	p.clock.Step(almost)
	p.thawOver(late, func() {
		p.clock.Step(almost)
		steps := func(is func(*v1alpha1.PipelineJob) bool) {
			for range 10 {
				if !is(p.pipelineJob()) {
					p.step(p.pipelineJob().Name)
				}
			}
			p.Expect(is(p.pipelineJob())).To(BeTrue())
		}
		steps(runs1)
		p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
		steps(func(job *v1alpha1.PipelineJob) bool { return job.Settled() && job.Status.Protocol.Secret == nil })
	})
	p.Expect(p.secrets).To(BeEmpty())
}
