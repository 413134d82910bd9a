package pipelinejob

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestNoJobNoExternalExecution has a PipelineJob deleted before it has a Job. CodePipeline
// must not get the name of a Job. See docs/protocol.md.
func TestNoJobNoExternalExecution(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.planned()
	p.Expect(p.kube.Delete(p.ctx, p.pipelineJob())).To(Succeed())
	for range 10 {
		for _, name := range p.names() {
			p.step(name)
		}
	}
	p.Expect(p.pipelineJobs()).To(BeEmpty())
	p.Expect(p.made).To(BeEmpty())
	reports := p.aws.Journal(operationFailure)
	p.Expect(reports).To(HaveLen(1))
	var request struct{ FailureDetails v1alpha1.FailureDetails }
	p.Expect(json.Unmarshal(reports[0].Request, &request)).To(Succeed())
	p.Expect(request.FailureDetails.Message).To(ContainSubstring("deleted"))
	p.Expect(request.FailureDetails.ExternalExecutionID).To(BeEmpty())
}
