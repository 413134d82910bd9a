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
	for name, c := range map[string]struct{ told, want []string }{
		"none":                   {nil, nil},
		"of an older version":    {[]string{}, nil},
		"in the job's order":     {[]string{"docs", "app"}, []string{"app", "docs"}},
		"what is not of the job": {[]string{"docs", "others\nReady"}, []string{"docs"}},
		"an input is no output":  {[]string{"source"}, nil},
		"one that is told twice": {[]string{"app", "app"}, []string{"app"}},
		"case counts":            {[]string{"APP"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.PipelineJob{}
			job.Spec.InputArtifacts = []v1alpha1.Artifact{{Name: "source"}}
			job.Spec.OutputArtifacts = []v1alpha1.Artifact{{Name: "app"}, {Name: "docs"}}
			NewWithT(t).Expect(emptyOutputs(job, &podcontract.RunResult{EmptyOutputs: c.told})).To(Equal(c.want))
		})
	}
}

// TestSummaryWithAWarning: the warning has its own line, for which nothing of the summary is cut.
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
		"it just has room":    {fits, []string{"app"}, fits + line},
		"it has no room":      {fits + "ü", []string{"app"}, fits + "ü"},
		"the longest summary": {strings.Repeat("ü", limits.Summary), []string{"app"}, strings.Repeat("ü", limits.Summary)},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(withWarning(c.summary, c.empty)).To(Equal(c.want))
		})
	}
}
