package jobspec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// FieldError is an error about a field of a CustomAction's jobTemplate.
type FieldError struct {
	// Field is the path from the object's root.
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the broken rule.
func (e *FieldError) Unwrap() error { return e.Err }

// fill returns a copy of an action's template with its references replaced. It returns an error if
// a reference is unknown or in a field that does not allow it. environment is what the operator
// sets in steps.
func fill(
	action *v1alpha1.CustomAction, s scope, environment []corev1.EnvVar, anyArtifact bool, allowed []v1alpha1.ReferencePlace,
) (*batchv1.JobTemplateSpec, error) {
	template, err := substitute(action.Spec.JobTemplate, s, anyArtifact)
	if err != nil {
		return nil, err
	}
	if err := checkReferences(action, template, environment, allowed); err != nil {
		return nil, err
	}
	return template, nil
}

// substitute returns a copy of the template with the references in all string values replaced. Map
// keys are kept unchanged.
func substitute(template batchv1.JobTemplateSpec, s scope, anyArtifact bool) (*batchv1.JobTemplateSpec, error) {
	content, err := json.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("encode spec.jobTemplate: %w", err)
	}
	var tree any
	if err := json.Unmarshal(content, &tree); err != nil {
		return nil, fmt.Errorf("decode spec.jobTemplate: %w", err)
	}
	walker := &substitution{scope: s, anyArtifact: anyArtifact}
	tree, err = walker.walk(tree, path{"spec", "jobTemplate"})
	if err != nil {
		return nil, err
	}
	content, err = json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("encode spec.jobTemplate: %w", err)
	}
	resolved := &batchv1.JobTemplateSpec{}
	if err := json.Unmarshal(content, resolved); err != nil {
		return nil, &FieldError{Field: "spec.jobTemplate", Err: fmt.Errorf("after the references are replaced: %w", err)}
	}
	return resolved, nil
}

// substitution replaces the references of one template.
type substitution struct {
	scope       scope
	anyArtifact bool
	// expanded is the total size of the values so far, in bytes.
	expanded int
}

func (s *substitution) walk(node any, at path) (any, error) {
	var err error
	switch node := node.(type) {
	case string:
		text, err := s.resolve(node, at.expandedByKubernetes())
		if err == nil && text != node && at.isLabelValue() {
			err = checkLabelValue(node, text)
		}
		if err != nil {
			return nil, &FieldError{Field: at.String(), Err: err}
		}
		return text, nil
	case []any:
		for i := range node {
			if node[i], err = s.walk(node[i], at.with(fmt.Sprintf("[%d]", i))); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if node[key], err = s.walk(node[key], at.with(key)); err != nil {
				return nil, err
			}
		}
	}
	return node, nil
}

// path is the location of a value in the object. List indexes are "[N]".
type path []string

func (p path) with(element string) path { return append(slices.Clone(p), element) }

func (p path) String() string {
	return strings.ReplaceAll(strings.Join(p, "."), ".[", "[")
}

// expandedByKubernetes reports whether the kubelet expands $(NAME) in this field:
// a container's command, args, env values and volumeMounts' subPathExpr.
func (p path) expandedByKubernetes() bool {
	at := slices.IndexFunc(p, func(element string) bool { return element == "containers" || element == "initContainers" })
	if at < 0 || len(p) < at+3 {
		return false
	}
	field, last := p[at+2], p[len(p)-1]
	switch field {
	case "command", "args":
		return true
	case "env":
		return last == "value"
	case "volumeMounts":
		return last == "subPathExpr"
	default:
		return false
	}
}
