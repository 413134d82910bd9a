package jobspec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// checkArtifacts refuses artifact names, which the pipeline chooses, if they can't be folders or
// map to the same environment variable.
func checkArtifacts(job *v1alpha1.PipelineJob) error {
	for _, kind := range []struct {
		what      string
		artifacts []v1alpha1.Artifact
		variable  func(string) string
	}{
		{"input", job.Spec.InputArtifacts, podcontract.EnvInput},
		{"output", job.Spec.OutputArtifacts, podcontract.EnvOutput},
	} {
		field := "the " + kind.what + " artifacts of the pipeline's action"
		byVariable := map[string]string{}
		for _, artifact := range kind.artifacts {
			if !artifactName.MatchString(artifact.Name) {
				return &FieldError{Field: field, Err: fmt.Errorf(
					"%q can't be a folder: give it a name of 1 to 100 letters, digits, underscores and hyphens in the pipeline",
					limits.Cut(artifact.Name, limits.ArtifactName))}
			}
			variable := kind.variable(artifact.Name)
			if other, taken := byVariable[variable]; taken {
				return &FieldError{Field: field, Err: fmt.Errorf(
					"%q and %q would both be in %s: give one of them another name in the pipeline", other, artifact.Name, variable)}
			}
			byVariable[variable] = artifact.Name
		}
	}
	return nil
}

// checkConfiguration refuses values with which a step can't start.
func checkConfiguration(job *v1alpha1.PipelineJob) error {
	for _, name := range slices.Sorted(maps.Keys(job.Spec.Configuration)) {
		size := len(podcontract.EnvConfig(name)) + len("=") + len(job.Spec.Configuration[name])
		if size > limits.EnvironmentVariable {
			return &FieldError{Field: "configuration." + limits.Cut(name, limits.PropertyName), Err: fmt.Errorf(
				"must be at most %d bytes long as an environment variable, which is Linux's limit, and has %d: pass large values between actions as artifacts",
				limits.EnvironmentVariable, size)}
		}
	}
	return nil
}
