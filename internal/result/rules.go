package result

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"
)

// Limits of PutJobSuccessResult in the CodePipeline model, in characters
// unless said otherwise. Summaries and external execution IDs over them are
// cut by the operator; all else over a limit is an error.
const (
	maxSummary             = 2048
	maxExternalExecutionID = 1500
	maxContinuationToken   = 2048
	maxRevision            = 1500
	maxChangeIdentifier    = 100
	// maxOutputVariables is in bytes, for all keys and values.
	maxOutputVariables = 122880
)

// variableKey is what the model takes as the key of an output variable.
var variableKey = regexp.MustCompile(`^[A-Za-z0-9@\-_]+$`)

// Validate says which rule of PutJobSuccessResult the result breaks. Errors
// name the member and the rule.
func (r *Result) Validate() error {
	if r.PercentComplete != nil && (*r.PercentComplete < 0 || *r.PercentComplete > 100) {
		return fmt.Errorf("percentComplete is %d: it must be from 0 to 100", *r.PercentComplete)
	}
	if n := utf8.RuneCountInString(r.ContinuationToken); n > maxContinuationToken {
		return fmt.Errorf("continuationToken has %d characters: at most %d are allowed", n, maxContinuationToken)
	}
	if r.ContinuationToken != "" && len(r.OutputVariables) > 0 {
		return fmt.Errorf("outputVariables can't be given with a continuationToken: give them when the work has ended")
	}
	if err := validateVariables(r.OutputVariables); err != nil {
		return err
	}
	if r.CurrentRevision != nil {
		return r.CurrentRevision.validate()
	}
	return nil
}

func validateVariables(variables map[string]string) error {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		if !variableKey.MatchString(key) {
			return fmt.Errorf("the output variable %q: its key may have only letters, digits, @, - and _", key)
		}
		if !utf8.ValidString(variables[key]) {
			return fmt.Errorf("the output variable %q: its value is not UTF-8", key)
		}
		size += len(key) + len(variables[key])
	}
	if size > maxOutputVariables {
		return fmt.Errorf("outputVariables have %d bytes in all: at most %d are allowed", size, maxOutputVariables)
	}
	return nil
}

func (r *Revision) validate() error {
	length := func(member, value string, least, most int) error {
		if n := utf8.RuneCountInString(value); n < least || n > most {
			return fmt.Errorf("currentRevision.%s has %d characters: it must have %d to %d", member, n, least, most)
		}
		return nil
	}
	if err := length("revision", r.Revision, 1, maxRevision); err != nil {
		return err
	}
	return length("changeIdentifier", r.ChangeIdentifier, 1, maxChangeIdentifier)
}
