package podcontract

// RunResult is the result of a run: the result of its steps, and the findings of the report
// container. Older versions of the operator and the pod only have the result of the steps.
type RunResult struct {
	Result
	// EmptyOutputs are the names of empty output artifacts. They are not part of Result, which
	// steps can write themselves as FileResult.
	EmptyOutputs []string `json:"emptyOutputs,omitempty"`
}
