package pipelinejob

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// emptyOutputs are the names of the output artifacts of a job that a run has left without a file,
// in the job's order. What else a pod names is left out.
func emptyOutputs(job *v1alpha1.PipelineJob, given *podcontract.RunResult) []string {
	var names []string
	for _, artifact := range job.Spec.OutputArtifacts {
		if slices.Contains(given.EmptyOutputs, artifact.Name) {
			names = append(names, artifact.Name)
		}
	}
	return names
}

// areEmpty is the clause that says which artifacts are empty.
func areEmpty(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	if len(quoted) == 1 {
		return "output artifact " + quoted[0] + " is empty"
	}
	return "output artifacts " + strings.Join(quoted, ", ") + " are empty"
}

// withWarning is a summary with a line that names the empty artifacts below it, if CodePipeline
// has room for all of both: what a step wrote is not cut for it.
func withWarning(summary string, empty []string) string {
	if len(empty) == 0 {
		return summary
	}
	warned := summary + "\nWarning: " + areEmpty(empty)
	if utf8.RuneCountInString(warned) > limits.Summary {
		return summary
	}
	return warned
}

// tellEmpty tells in an event which output artifacts are empty, if any. The PipelineJob alone gets
// it: the artifacts are those of one execution, and a CustomAction may have thousands.
func (r *Reconciler) tellEmpty(job *v1alpha1.PipelineJob, empty []string) {
	if len(empty) == 0 {
		return
	}
	folders := make([]string, len(empty))
	for i, name := range empty {
		folders[i] = podcontract.OutputDir + "/" + name
	}
	r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonEmptyOutputs, "RecordResult", fmt.Sprintf(
		"The %s: no step left a file in %s. Set spec.emptyOutputs of the CustomAction to Fail to have such an action fail, or to Allow for no warning",
		areEmpty(empty), strings.Join(folders, ", ")))
}
