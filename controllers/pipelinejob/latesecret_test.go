package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestOperatorThatWasReplacedMeanwhileWritesNoSecret has an operator call GetJobDetails
// shortly before Takeover has passed since its last write, and get the answer after almost as
// long again. In that time, another one took over, the job ended, and its Secret was deleted.
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
