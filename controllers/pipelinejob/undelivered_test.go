package pipelinejob

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestResultThatOnlySeemedToBeDelivered: the claim and the report both seem to be accepted,
// because of an earlier try that never reached CodePipeline. When CodePipeline hands the job
// out again, the result must be reported again, and the work must not be done again.
func TestResultThatOnlySeemedToBeDelivered(t *testing.T) {
	for name, c := range map[string]struct {
		result string
		looks  func(*v1alpha1.PipelineJob) bool
		runs   int
	}{
		"a success":            {`{"result":{"summary":"done"}}`, (*v1alpha1.PipelineJob).Settled, 1},
		"a continuation token": {`{"result":{"continuationToken":"later"}}`, (*v1alpha1.PipelineJob).AwaitsContinuation, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.start(nil)
			p.poll(nil)
			job := p.pipelineJob().Name
			stepUntil := func(is func(*v1alpha1.PipelineJob) bool) {
				for range 20 {
					if !is(p.pipelineJob()) {
						p.tryStep(job)
						p.clock.Step(2 * time.Second)
					}
				}
				p.Expect(is(p.pipelineJob())).To(BeTrue(), "%+v", p.pipelineJob().Status)
			}
			p.failing = answerLost
			p.tryStep(job) // records the try of the claim, but does not make it
			p.clock.Step(2 * time.Minute)
			p.otherPoll() // handed out again, which is not recorded
			stepUntil(runs1)
			p.end(&p.running()[0], c.result)
			p.Expect(p.aws.Inject(emulator.Fault{Operation: operationSuccess, Kind: emulator.ResetBefore})).To(Succeed())
			stepUntil(c.looks)
			for _, action := range p.actions() {
				p.Expect(action.Status).To(Equal(types.ActionExecutionStatusInProgress), "CodePipeline accepted nothing")
			}

			p.clock.Step(2 * time.Minute)
			p.poll(nil)
			p.Expect(p.pipelineJob().Settled()).To(BeFalse())
			p.settle()
			p.Expect(p.pipelineJob().Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
			for _, action := range p.actions() {
				p.Expect(action.Status).To(Equal(types.ActionExecutionStatusSucceeded))
			}
			p.Expect(p.made).To(HaveLen(c.runs))
			p.invariants(nil)
		})
	}
}
