package jobspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// CodePipeline passes texts with a job that come from users who change a pipeline, start it with
// variables or name an object in its bucket. They are data. This file distinguishes them from texts
// of the operator and the CustomAction, by the names of references and variables.

// pipelineControls reports whether a pipeline controls the value of a reference. expression is the
// text between the parentheses. All references count as controlled, except for the listed ones.
func pipelineControls(action *v1alpha1.CustomAction, expression string) bool {
	group, name, _ := strings.Cut(referenceName(expression), ".")
	switch group {
	case "aws", "run", "output":
		return false
	case "input":
		return isFile(action, name) // its path ends in the key of the object
	default:
		return true
	}
}

// referenceName returns the name of a reference without label: and default.
func referenceName(expression string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(expression, labelPrefix), "|")
	return name
}

// controlledReference returns the first reference in a text whose value a pipeline controls, as
// written, or an empty string.
func controlledReference(action *v1alpha1.CustomAction, text string) string {
	for _, match := range reference.FindAllStringSubmatch(text, -1) {
		if !isEscaped(match[0]) && pipelineControls(action, match[1]) {
			return match[0]
		}
	}
	return ""
}

// operatorVariables are the variables that the operator sets in steps and whose values no pipeline
// controls. isOperatorVariable also covers those of artifacts.
var operatorVariables = map[string]bool{
	podcontract.EnvRegion: true, podcontract.EnvAccountID: true, podcontract.EnvResult: true, podcontract.EnvHelper: true,
}

// isOperatorVariable reports whether a variable is set by the operator, with a value that no pipeline
// controls.
func isOperatorVariable(action *v1alpha1.CustomAction, name string) bool {
	switch {
	case operatorVariables[name], strings.HasPrefix(name, podcontract.EnvOutput("")):
		return true
	case strings.HasPrefix(name, podcontract.EnvInput("")):
		return !mayBeFile(action, name)
	default:
		return false
	}
}

// mayBeFile reports whether a variable may have the path of an input artifact that is not unpacked.
// Different artifact names may map to the same variable, so it errs on the side of true.
func mayBeFile(action *v1alpha1.CustomAction, variable string) bool {
	given := action.Spec.Artifacts
	return given.Unpack == v1alpha1.UnpackNever || slices.ContainsFunc(given.Inputs, func(input v1alpha1.InputArtifact) bool {
		return input.Unpack == v1alpha1.UnpackNever && podcontract.EnvInput(input.Name) == variable
	})
}

// variables knows which environment variables of a container have values that a pipeline controls.
type variables struct {
	action *v1alpha1.CustomAction
	// ofTemplate are those of the template's variables.
	ofTemplate map[string]bool
}

// variablesOf reads the environment of a container in the template. One pass is enough, because
// Kubernetes expands $(NAME) in the value of a variable only if NAME is defined before it.
func variablesOf(action *v1alpha1.CustomAction, container corev1.Container) variables {
	v := variables{action, map[string]bool{}}
	for _, variable := range container.Env {
		if v.controlsValue(variable) {
			v.ofTemplate[variable.Name] = true
		}
	}
	return v
}

func (v variables) controlsValue(variable corev1.EnvVar) bool {
	if variable.ValueFrom != nil && !isOfCluster(*variable.ValueFrom) {
		return true
	}
	return controlledReference(v.action, variable.Value) != "" || v.controlledVariable(variable.Value) != ""
}

// isOfCluster reports whether a variable's source is known to be out of a pipeline's control.
// Labels and annotations are not, because they may have references, and files are not, because
// steps may write them.
func isOfCluster(source corev1.EnvVarSource) bool {
	if field := source.FieldRef; field != nil {
		return !strings.HasPrefix(field.FieldPath, "metadata.labels") && !strings.HasPrefix(field.FieldPath, "metadata.annotations")
	}
	return source.ConfigMapKeyRef != nil || source.SecretKeyRef != nil || source.ResourceFieldRef != nil
}

// pipelineControls reports whether a pipeline controls the value of a variable.
func (v variables) pipelineControls(name string) bool {
	ofOperator := name == podcontract.EnvHelper || strings.HasPrefix(name, podcontract.EnvHelper+"_")
	return v.ofTemplate[name] || ofOperator && !isOperatorVariable(v.action, name)
}

// controlledVariable returns the first $(NAME) in a text that Kubernetes would replace with a value
// that a pipeline controls, or an empty string.
func (v variables) controlledVariable(text string) string {
	found := ""
	scanVariables(text, func(string) bool { return true }, func(name string) bool {
		if v.pipelineControls(name) {
			found = "$(" + name + ")"
		}
		return found == ""
	})
	return found
}
