package v1alpha1

// EmptyOutputs sets what happens if the steps have succeeded and an output artifact is
// empty.
//
// +kubebuilder:validation:Enum=Fail;Warn;Allow
type EmptyOutputs string

const (
	// EmptyOutputsFail fails the action.
	EmptyOutputsFail EmptyOutputs = "Fail"
	// EmptyOutputsWarn uploads the empty artifact, and warns.
	EmptyOutputsWarn EmptyOutputs = "Warn"
	// EmptyOutputsAllow uploads the empty artifact.
	EmptyOutputsAllow EmptyOutputs = "Allow"
)
