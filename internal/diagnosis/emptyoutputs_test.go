package diagnosis

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestEmptyOutputs: the report container reports empty outputs with the result or as a failure. A
// failed step takes precedence.
func TestEmptyOutputs(t *testing.T) {
	const message = `output artifact "app": there is no file in /codepipeline/output/app`
	found := podcontract.RunResult{Result: podcontract.Result{Summary: "done"}, EmptyOutputs: []string{"app"}}
	refused := ours(podcontract.ContainerReport, podcontract.Envelope{Failure: &podcontract.Failure{Type: "ConfigurationError", Message: message}})
	backoff := jobFailed(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")

	t.Run("the work succeeded", func(t *testing.T) {
		got := observeTrimmed(evidence(jobWith(batchv1.JobComplete), pods(reported(podcontract.Envelope{Result: &found}))))
		NewWithT(t).Expect(got).To(Equal(Outcome{Result: &found}))
	})
	t.Run("the rule is Fail", func(t *testing.T) {
		got := observeTrimmed(evidence(backoff, pods(failedPhase, terminated("unit", 0, "Completed", ""), refused)))
		NewWithT(t).Expect(got.Failure).To(HaveValue(Equal(Failure{Type: v1alpha1.FailureConfigurationError, Message: message})))
	})
	t.Run("a step ran out of memory, and a kubelet went on", func(t *testing.T) {
		pod := since(-time.Minute, failedPhase, limited("unit", "32Mi"), terminated("unit", 0, "OOMKilled", ""), refused)
		g, got := NewWithT(t), observeTrimmed(evidence(backoff, pod))
		g.Expect(got.Failure).NotTo(BeNil())
		g.Expect(got.Failure.Type).To(Equal(v1alpha1.FailureJobFailed))
		expectParts(g, got.Failure.Message, []string{`step "unit" failed: exit code 0 (OOMKilled)`})
	})
}
