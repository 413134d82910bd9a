package podcontract

// RunResult is what a run gave back: the result of its steps, and what the report container
// found. An operator or a pod of an older version has the result alone.
type RunResult struct {
	Result
	// EmptyOutputs are the names of output artifacts without a file. It is no member of
	// Result because steps write that themselves, as FileResult.
	EmptyOutputs []string `json:"emptyOutputs,omitempty"`
}
