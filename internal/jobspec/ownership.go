package jobspec

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// originOf is where in a CustomAction a field of its built Job comes from or, if it is
// there through the operator alone, what to call it.
func originOf(action *v1alpha1.CustomAction, field string) string {
	origin := templateField(action, withoutOwnRule(action, field))
	built, err := build(action, sampleJobOf(action), v1alpha1.Run{Number: 1}, Options{}, true)
	if err != nil {
		return origin // Validate says why
	}
	pod := built.Spec.Template.Spec
	if name := containerAt(pod, field); strings.HasPrefix(name, podcontract.ContainerPrefix) {
		return fmt.Sprintf("the Job's %s, of the operator's container %s", field, name)
	}
	if of := workspaceField(action, pod, field); of != "" {
		return of
	}
	if hasField(built, field) && !hasField(action, origin) {
		return "the Job's " + field + ", which the operator sets"
	}
	return origin
}

// builtRule matches the beginning of the path of a rule of a Job's podFailurePolicy.
var builtRule = regexp.MustCompile(`^spec\.podFailurePolicy\.rules\[([0-9]+)\]`)

// withoutOwnRule is the path of a Job's field as it is in the template, which does not
// have the rule of podFailurePolicy that the operator adds.
func withoutOwnRule(action *v1alpha1.CustomAction, field string) string {
	given := action.Spec.JobTemplate.Spec.PodFailurePolicy
	match := builtRule.FindStringSubmatch(field)
	if match == nil || given == nil {
		return field
	}
	added := len(ignoreDisruptions(given).Rules) - len(given.Rules)
	index, _ := strconv.Atoi(match[1]) // the pattern has digits alone
	return fmt.Sprintf("spec.podFailurePolicy.rules[%d]", index-added) + strings.TrimPrefix(field, match[0])
}

// podContainer matches the beginning of the path of a container's field in a Job.
var podContainer = regexp.MustCompile(`^spec\.template\.spec\.(initContainers|containers)\[([0-9]+)\]`)

// containerAt is the name of the container that a field of a Job belongs to; empty if it
// belongs to none.
func containerAt(pod corev1.PodSpec, field string) string {
	match := podContainer.FindStringSubmatch(field)
	if match == nil {
		return ""
	}
	containers := pod.Containers
	if match[1] == "initContainers" {
		containers = pod.InitContainers
	}
	index, err := strconv.Atoi(match[2])
	if err != nil || index >= len(containers) {
		return ""
	}
	return containers[index].Name
}

// pathElement matches an element of a path as the API server writes it: name, [3] or [key].
var pathElement = regexp.MustCompile(`\[[^\]]*\]|[^.\[]+`)

// hasField reports whether an object has a field with this path.
func hasField(object any, field string) bool {
	content, err := json.Marshal(object)
	if err != nil {
		return false
	}
	var node any
	if err := json.Unmarshal(content, &node); err != nil {
		return false
	}
	for _, element := range pathElement.FindAllString(field, -1) {
		switch parent := node.(type) {
		case map[string]any:
			node = parent[strings.Trim(element, "[]")]
		case []any:
			index, err := strconv.Atoi(strings.Trim(element, "[]"))
			if err != nil || index < 0 || index >= len(parent) {
				return false
			}
			node = parent[index]
		default:
			return false
		}
	}
	return node != nil
}
