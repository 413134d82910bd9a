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

// place is a pattern for fields below spec.jobTemplate. An element is a field's name, "[]" for any
// element of a list, or "*" for any key of a map.
type place []string

// placesOf parses places in path notation: spec.template.spec.containers[].image.
func placesOf(paths ...string) []place {
	var places []place
	for _, path := range paths {
		places = append(places, strings.Split(strings.ReplaceAll(path, "[]", ".[]"), "."))
	}
	return places
}

// inPod returns places in the pod's spec, and inContainers in each of its containers.
func inPod(paths ...string) []place {
	for i := range paths {
		paths[i] = "spec.template.spec." + paths[i]
	}
	return placesOf(paths...)
}

func inContainers(paths ...string) []place {
	var all []string
	for _, path := range paths {
		all = append(all, "containers[]."+path, "initContainers[]."+path)
	}
	return inPod(all...)
}

// openPlaces are the places where references to values that a pipeline controls are always allowed.
// Everywhere else they need a grant, including in fields of future Kubernetes versions.
var openPlaces = slices.Concat(
	placesOf("metadata.labels.*", "metadata.annotations.*", "spec.template.metadata.labels.*", "spec.template.metadata.annotations.*"),
	inContainers("env[].value", "command[]", "args[]"),
)

// grantedPlaces are the places that an account's grant can add.
var grantedPlaces = map[v1alpha1.ReferencePlace][]place{
	v1alpha1.ReferenceInImage:              inContainers("image"),
	v1alpha1.ReferenceInNodeSelector:       inPod("nodeSelector.*"),
	v1alpha1.ReferenceInTolerations:        inPod("tolerations[].key", "tolerations[].value"),
	v1alpha1.ReferenceInPriorityClassName:  inPod("priorityClassName"),
	v1alpha1.ReferenceInServiceAccountName: inPod("serviceAccountName"),
	v1alpha1.ReferenceInWorkingDir:         inContainers("workingDir"),
	v1alpha1.ReferenceInSubPath:            inContainers("volumeMounts[].subPath", "volumeMounts[].subPathExpr"),
	v1alpha1.ReferenceInConfigMapName: slices.Concat(
		inContainers("env[].valueFrom.configMapKeyRef.name", "envFrom[].configMapRef.name"),
		inPod("volumes[].configMap.name", "volumes[].projected.sources[].configMap.name"),
	),
	v1alpha1.ReferenceInSecretName: slices.Concat(
		inContainers("env[].valueFrom.secretKeyRef.name", "envFrom[].secretRef.name"),
		inPod("volumes[].secret.secretName", "volumes[].projected.sources[].secret.name"),
	),
	v1alpha1.ReferenceInClaimName: inPod("volumes[].persistentVolumeClaim.claimName"),
}

// has reports whether the field at a path in the CustomAction matches the place.
func (p place) has(at path) bool {
	at = at[min(len(at), len(path{"spec", "jobTemplate"})):]
	if len(at) != len(p) {
		return false
	}
	for i, element := range p {
		isElement := strings.HasPrefix(at[i], "[")
		if element != at[i] && element != "*" && (element != "[]" || !isElement) {
			return false
		}
	}
	return true
}

func isAmong(places []place, at path) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.has(at) })
}

// grantFor returns the place that an account must grant for the field at a path, or an empty string
// if no grant can allow it.
func grantFor(at path) v1alpha1.ReferencePlace {
	for granted, places := range grantedPlaces {
		if isAmong(places, at) {
			return granted
		}
	}
	return ""
}

// referenceCheck refuses references to values that a pipeline controls in fields where they would
// be more than data.
type referenceCheck struct {
	action *v1alpha1.CustomAction
	// allowed are the places that the account grants.
	allowed []v1alpha1.ReferencePlace
	// variables are the variables of each container, by the container's path.
	variables map[string]variables
}

// checkReferences refuses references in the action's template where a pipeline's text would be more
// than data. resolved is the template with its references replaced, and environment is what the
// operator sets in steps: both are needed because a pipeline's text may be an option that makes the
// next element a script.
func checkReferences(action *v1alpha1.CustomAction, resolved *batchv1.JobTemplateSpec, environment []corev1.EnvVar, allowed []v1alpha1.ReferencePlace) error {
	check := referenceCheck{action, allowed, map[string]variables{}}
	given, made := action.Spec.JobTemplate.Spec.Template.Spec, resolved.Spec.Template.Spec
	for _, kind := range []struct {
		name        string
		given, made []corev1.Container
	}{{"initContainers", given.InitContainers, made.InitContainers}, {"containers", given.Containers, made.Containers}} {
		for i := range kind.given {
			field := fmt.Sprintf("%s.%s[%d]", atPod, kind.name, i)
			check.variables[field] = variablesOf(action, kind.given[i])
			if err := check.scripts(field, kind.given[i], commandLine(kind.made[i], environment)); err != nil {
				return err
			}
		}
	}
	content, err := json.Marshal(action.Spec.JobTemplate)
	if err != nil {
		return fmt.Errorf("encode spec.jobTemplate: %w", err)
	}
	var tree any
	if err := json.Unmarshal(content, &tree); err != nil {
		return fmt.Errorf("decode spec.jobTemplate: %w", err)
	}
	return check.walk(tree, path{"spec", "jobTemplate"}, nil)
}

// commandLine returns the command line of a container, as far as it is known before the pod runs.
func commandLine(container corev1.Container, environment []corev1.EnvVar) []string {
	known := map[string]string{}
	for _, variable := range slices.Concat(environment, container.Env) {
		if variable.ValueFrom != nil {
			delete(known, variable.Name) // only the kubelet knows its value
			continue
		}
		known[variable.Name] = expand(variable.Value, known)
	}
	line := slices.Concat(container.Command, container.Args)
	for i := range line {
		line[i] = expand(line[i], known)
	}
	return line
}

// scripts checks the elements of command and args that are scripts. line has their expanded values.
func (c referenceCheck) scripts(field string, container corev1.Container, line []string) error {
	isScript := scriptsIn(line)
	for i, text := range slices.Concat(container.Command, container.Args) {
		if i >= len(line) || !isScript[i] {
			continue
		}
		at := fmt.Sprintf("%s.command[%d]", field, i)
		if i >= len(container.Command) {
			at = fmt.Sprintf("%s.args[%d]", field, i-len(container.Command))
		}
		if found := controlledReference(c.action, text); found != "" {
			return &FieldError{Field: at, Err: errInScript(found, wayOutOfScript(found))}
		}
		if found := c.variables[field].controlledVariable(text); found != "" {
			return &FieldError{Field: at, Err: errInScript(found, shellVariable(strings.Trim(found, "$()")))}
		}
	}
	return nil
}

// walk checks all strings of the template except scripts. of are the variables of the surrounding
// container, or nil outside of containers.
func (c referenceCheck) walk(node any, at path, of *variables) error {
	switch node := node.(type) {
	case string:
		return c.text(node, at, of)
	case []any:
		for i := range node {
			if err := c.walk(node[i], at.with(fmt.Sprintf("[%d]", i)), of); err != nil {
				return err
			}
		}
	case map[string]any:
		if found, is := c.variables[at.String()]; is {
			of = &found
		}
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if err := c.walk(node[key], at.with(key), of); err != nil {
				return err
			}
		}
	}
	return nil
}

// text checks one string of the template.
func (c referenceCheck) text(text string, at path, of *variables) error {
	found := controlledReference(c.action, text)
	if found == "" && of != nil {
		found = of.controlledVariable(text)
	}
	if found == "" || isAmong(openPlaces, at) {
		return nil
	}
	grant := grantFor(at)
	if grant != "" && slices.Contains(c.allowed, grant) {
		return nil
	}
	return &FieldError{Field: at.String(), Err: errNotHere(found, grant)}
}
