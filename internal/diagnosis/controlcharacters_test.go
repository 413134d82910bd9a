package diagnosis

import (
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestFailureOfAWrapperHasNoControlCharacters uses an error with a name that a step or an artifact
// chose.
func TestFailureOfAWrapperHasNoControlCharacters(t *testing.T) {
	g := NewWithT(t)
	envelope, err := podcontract.WrapFailure(podcontract.Failure{
		Type: string(v1alpha1.FailureConfigurationError), Message: "x\x1b[2J\x1b]0;owned\x07y: not a result file",
	}, 4096)
	g.Expect(err).NotTo(HaveOccurred())
	o := observeTrimmed(evidence(jobFailed(batchv1.JobReasonBackoffLimitExceeded, ""), pods(terminated(podcontract.ContainerFetch, 1, "Error", string(envelope)))))
	g.Expect(o.Failure).NotTo(BeNil())
	g.Expect(o.Failure.Message).To(Equal("xy: not a result file"))
}

func TestWhatIsWaitedForIsSaidInOneLine(t *testing.T) {
	g := NewWithT(t)
	w := Waiting{Reason: v1alpha1.ReasonPodRefused, Subject: "The API server refuses\x07 the pod", Detail: "no\x1b[2J\r\nReady: all is well"}
	g.Expect(w.Message()).To(Equal("The API server refuses the pod: no Ready: all is well"))
	g.Expect(w.SaidBy(w.Reason, w.Message())).To(BeTrue(), "otherwise the status is written again and again")
	w.Detail = "another detail"
	g.Expect(w.SaidBy(w.Reason, "The API server refuses the pod: no Ready: all is well")).To(BeFalse())
}
