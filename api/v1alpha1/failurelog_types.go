package v1alpha1

// FailureLog sets whether the last log lines of a failed step are copied out of the cluster's logs.
//
// +kubebuilder:validation:Enum=Always;NoSecrets;Never
type FailureLog string

const (
	// FailureLogAlways copies the lines of every step.
	FailureLogAlways FailureLog = "Always"
	// FailureLogNoSecrets leaves out the lines of a step that refers to a Secret.
	FailureLogNoSecrets FailureLog = "NoSecrets"
	// FailureLogNever leaves out the lines of every step.
	FailureLogNever FailureLog = "Never"
)

// StricterFailureLog returns the rule of two that copies less. An empty rule is Always.
// A rule that this version does not know is Never.
func StricterFailureLog(a, b FailureLog) FailureLog {
	a, b = a.known(), b.known()
	if a == FailureLogNever || b == FailureLogNever {
		return FailureLogNever
	}
	if a == FailureLogNoSecrets || b == FailureLogNoSecrets {
		return FailureLogNoSecrets
	}
	return FailureLogAlways
}

func (f FailureLog) known() FailureLog {
	switch f {
	case "", FailureLogAlways:
		return FailureLogAlways
	case FailureLogNoSecrets:
		return f
	default:
		return FailureLogNever
	}
}
