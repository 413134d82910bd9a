package jobspec

import (
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// SplitConfiguration splits an action's configuration into the properties that may be shown and the
// names of those that may not: secret properties, and properties that the definition does not have.
func SplitConfiguration(action *v1alpha1.CustomAction, configuration map[string]string) (map[string]string, []string) {
	open := map[string]bool{}
	for _, property := range action.Spec.ActionType.ConfigurationProperties {
		open[property.Name] = !property.Secret
	}
	var shown map[string]string
	var secret []string
	for name, value := range configuration {
		if !open[name] {
			secret = append(secret, name)
			continue
		}
		if shown == nil {
			shown = map[string]string{}
		}
		shown[name] = value
	}
	slices.Sort(secret)
	return shown, secret
}
