package jobspec

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// originOf returns the field of the CustomAction from which a field of its built Job comes or, if
// the operator sets it, its name in messages.
func originOf(action *v1alpha1.CustomAction, job *batchv1.Job, field string) string {
	origin := templateField(action, job, withoutAddedRule(action, field))
	if !strings.HasPrefix(origin, "spec.jobTemplate") { // from a wrapper container
		return origin
	}
	if of := workspaceField(action, job.Spec.Template.Spec, field); of != "" {
		return of
	}
	if hasField(job, field) && !hasField(action, origin) {
		return "the Job's " + field + ", which the operator sets"
	}
	return origin
}

// builtRule matches the beginning of the path of a rule in a Job's podFailurePolicy.
var builtRule = regexp.MustCompile(`^spec\.podFailurePolicy\.rules\[([0-9]+)\]`)

// withoutAddedRule converts the path of a Job's field to the template, which does not have the rule
// that the operator adds to podFailurePolicy.
func withoutAddedRule(action *v1alpha1.CustomAction, field string) string {
	given := action.Spec.JobTemplate.Spec.PodFailurePolicy
	match := builtRule.FindStringSubmatch(field)
	if match == nil || given == nil {
		return field
	}
	added := len(ignoreDisruptions(given).Rules) - len(given.Rules)
	index, _ := strconv.Atoi(match[1]) // the pattern has only digits
	return fmt.Sprintf("spec.podFailurePolicy.rules[%d]", index-added) + strings.TrimPrefix(field, match[0])
}

// pathElement matches an element of a path in the API server's notation: name, [3] or [key].
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
