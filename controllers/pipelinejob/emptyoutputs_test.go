package pipelinejob

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

func TestEmptyOutputsOfAJob(t *testing.T) {
	for name, c := range map[string]struct{ reported, want []string }{
		"none":                       {nil, nil},
		"from an older version":      {[]string{}, nil},
		"in the job's order":         {[]string{"docs", "app"}, []string{"app", "docs"}},
		"not an artifact of the job": {[]string{"docs", "others\nReady"}, []string{"docs"}},
		"an input artifact":          {[]string{"source"}, nil},
		"reported twice":             {[]string{"app", "app"}, []string{"app"}},
		"in another case":            {[]string{"APP"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.PipelineJob{}
			job.Spec.InputArtifacts = []v1alpha1.Artifact{{Name: "source"}}
			job.Spec.OutputArtifacts = []v1alpha1.Artifact{{Name: "app"}, {Name: "docs"}}
			NewWithT(t).Expect(emptyOutputs(job, &podcontract.RunResult{EmptyOutputs: c.reported})).To(Equal(c.want))
		})
	}
}

// TestSummaryWithAWarning: the warning is on a line of its own, and the summary is never cut
// for it.
func TestSummaryWithAWarning(t *testing.T) {
	const line = "\nWarning: output artifact \"app\" is empty"
	fits := strings.Repeat("ü", limits.Summary-len(line))
	for name, c := range map[string]struct {
		summary string
		empty   []string
		want    string
	}{
		"none is empty":       {"12 tests passed", nil, "12 tests passed"},
		"one is empty":        {"12 tests passed", []string{"app"}, "12 tests passed" + line},
		"several are empty":   {"12 tests passed", []string{"app", "docs"}, "12 tests passed\nWarning: output artifacts \"app\", \"docs\" are empty"},
		"several lines":       {"passed: 12\nfailed: 0", []string{"app"}, "passed: 12\nfailed: 0" + line},
		"it just fits":        {fits, []string{"app"}, fits + line},
		"it does not fit":     {fits + "ü", []string{"app"}, fits + "ü"},
		"the longest summary": {strings.Repeat("ü", limits.Summary), []string{"app"}, strings.Repeat("ü", limits.Summary)},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(withWarning(c.summary, c.empty)).To(Equal(c.want))
		})
	}
}
