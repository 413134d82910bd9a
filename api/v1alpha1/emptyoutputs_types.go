package v1alpha1

// EmptyOutputs says what happens when the steps have succeeded and left an output artifact
// without a file.
//
// +kubebuilder:validation:Enum=Fail;Warn;Allow
type EmptyOutputs string

const (
	// EmptyOutputsFail fails the action.
	EmptyOutputsFail EmptyOutputs = "Fail"
	// EmptyOutputsWarn uploads the empty artifact, and tells of it.
	EmptyOutputsWarn EmptyOutputs = "Warn"
	// EmptyOutputsAllow uploads the empty artifact.
	EmptyOutputsAllow EmptyOutputs = "Allow"
)
