package jobspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// setArtifactArgs passes spec.artifacts and spec.emptyOutputs to the containers that transfer
// artifacts. It omits defaults, because the runner image of an older version does not know every
// flag.
func setArtifactArgs(fetch, report *corev1.Container, action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob) {
	var args []string
	if links := action.Spec.Artifacts.Links; links != "" && links != v1alpha1.LinksRefuse {
		args = append(args, "--links="+string(links))
	}
	fetch.Command = append(fetch.Command, args...)
	report.Command = append(report.Command, args...)
	if rule := action.Spec.EmptyOutputs; rule != "" && rule != v1alpha1.EmptyOutputsWarn {
		report.Command = append(report.Command, "--empty-outputs="+string(rule))
	}
	for _, input := range job.Spec.InputArtifacts {
		if isFile(action, input.Name) {
			fetch.Command = append(fetch.Command, "--file="+input.Name)
		}
	}
}

// isFile reports whether an input artifact is not unpacked.
func isFile(action *v1alpha1.CustomAction, name string) bool {
	given := action.Spec.Artifacts
	at := slices.IndexFunc(given.Inputs, func(input v1alpha1.InputArtifact) bool { return input.Name == name })
	if at >= 0 {
		return given.Inputs[at].Unpack == v1alpha1.UnpackNever
	}
	return given.Unpack == v1alpha1.UnpackNever
}

// inputPath returns the path of an input artifact in steps: its folder or its file.
func inputPath(action *v1alpha1.CustomAction, input v1alpha1.Artifact) string {
	if isFile(action, input.Name) {
		return podcontract.InputFile(input.Name, input.S3Location.ObjectKey)
	}
	return podcontract.InputDir + "/" + input.Name
}
