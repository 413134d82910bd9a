package podcontract

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// TestEmptyOutputsTravelWithTheResult, both in the termination message and in the log.
func TestEmptyOutputsTravelWithTheResult(t *testing.T) {
	for name, variable := range map[string]string{"inline": "v", "through the log": strings.Repeat("v", 5000)} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given := RunResult{Result: Result{Summary: "s", OutputVariables: map[string]string{"K": variable}}, EmptyOutputs: []string{"app", "docs"}}
			var log bytes.Buffer
			message, err := WrapResult(given, limits.TerminationMessage, &log)
			g.Expect(err).NotTo(HaveOccurred())
			envelope, err := ParseEnvelope(string(message))
			g.Expect(err).NotTo(HaveOccurred())
			if envelope.Log == nil {
				g.Expect(envelope.Result).To(HaveValue(Equal(given)))
				return
			}
			g.Expect(ResultFromLog(&log, *envelope.Log)).To(HaveValue(Equal(given)))
		})
	}
}

// TestVersionsOfOperatorAndPodMayDiffer: the operator may be upgraded or rolled back while pods
// run.
func TestVersionsOfOperatorAndPodMayDiffer(t *testing.T) {
	g := NewWithT(t)
	older, err := ParseEnvelope(`{"result":{"summary":"done"}}`)
	g.Expect(err).NotTo(HaveOccurred(), "a pod that knows no empty outputs")
	g.Expect(older.Result).To(HaveValue(Equal(RunResult{Result: Result{Summary: "done"}})))

	message, err := WrapResult(RunResult{Result: Result{Summary: "done"}, EmptyOutputs: []string{"app"}}, limits.TerminationMessage, nil)
	g.Expect(err).NotTo(HaveOccurred())
	var known struct {
		Result *Result `json:"result"`
	}
	g.Expect(json.Unmarshal(message, &known)).To(Succeed(), "an operator that does not know emptyOutputs")
	g.Expect(known.Result).To(HaveValue(Equal(Result{Summary: "done"})))
}

// TestStepsCantTellOfEmptyOutputs: only the report container determines them.
func TestStepsCantTellOfEmptyOutputs(t *testing.T) {
	_, err := ParseResultFiles(fstest.MapFS{FileResult: {Data: []byte(`{"summary": "done", "emptyOutputs": ["app"]}`)}})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring(`unknown member "emptyOutputs"`)))
}
