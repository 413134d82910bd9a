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

// emptyOutputs returns the names of the job's output artifacts for which a run wrote no file,
// in the job's order. Other names from the pod are ignored.
func emptyOutputs(job *v1alpha1.PipelineJob, given *podcontract.RunResult) []string {
	var names []string
	for _, artifact := range job.Spec.OutputArtifacts {
		if slices.Contains(given.EmptyOutputs, artifact.Name) {
			names = append(names, artifact.Name)
		}
	}
	return names
}

// areEmpty returns the clause that names the empty artifacts.
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

// withWarning appends a line that names the empty artifacts to a summary, if both fit: a
// step's own summary is never cut for it.
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

// eventEmptyOutputs names the empty output artifacts, if any, in an event. Only the
// PipelineJob gets it: the artifacts belong to one execution, and a CustomAction may have
// thousands of them.
func (r *Reconciler) eventEmptyOutputs(job *v1alpha1.PipelineJob, empty []string) {
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
