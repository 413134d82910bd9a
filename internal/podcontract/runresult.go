package podcontract

// RunResult is the result of a run: that of its steps, and the findings of the report
// container. An operator or a pod of an older version has only the result of the steps.
type RunResult struct {
	Result
	// EmptyOutputs are the names of empty output artifacts. It is not a member of Result,
	// which steps write themselves as FileResult.
	EmptyOutputs []string `json:"emptyOutputs,omitempty"`
}
