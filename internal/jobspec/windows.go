package jobspec

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// osLabels are the node labels with the operating system: the current one and the one of older
// clusters.
var osLabels = []string{corev1.LabelOSStable, "beta.kubernetes.io/os"}

// errWindows is the rule that a pod that requires Windows breaks.
var errWindows = errors.New("must not require Windows: the operator's containers, which transfer artifacts and write the result, " +
	"are Linux programs, so let the steps run on Linux nodes and have one of them start what needs Windows elsewhere")

// checkWindows refuses a pod that can only run on Windows nodes. It names one field, even if
// several require Windows.
func checkWindows(pod corev1.PodSpec) error {
	if pod.OS != nil && pod.OS.Name == corev1.Windows {
		return &FieldError{Field: atPod + ".os.name", Err: errWindows}
	}
	for _, label := range osLabels {
		if pod.NodeSelector[label] == string(corev1.Windows) {
			return &FieldError{Field: atPod + ".nodeSelector." + label, Err: errWindows}
		}
	}
	if affinityDemandsWindows(pod.Affinity) {
		return &FieldError{Field: atPod + ".affinity.nodeAffinity", Err: errWindows}
	}
	return nil
}

// affinityDemandsWindows reports whether all terms of a required node affinity are for Windows
// nodes.
func affinityDemandsWindows(affinity *corev1.Affinity) bool {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, demandsWindows)
	})
}

// demandsWindows reports whether a requirement on a node's operating system allows only
// Windows.
func demandsWindows(requirement corev1.NodeSelectorRequirement) bool {
	if !slices.Contains(osLabels, requirement.Key) {
		return false
	}
	switch requirement.Operator {
	case corev1.NodeSelectorOpIn:
		return len(requirement.Values) == 1 && requirement.Values[0] == string(corev1.Windows)
	case corev1.NodeSelectorOpNotIn:
		return slices.Contains(requirement.Values, string(corev1.Linux))
	default:
		return false
	}
}
