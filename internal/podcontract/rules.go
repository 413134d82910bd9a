package podcontract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// variableKey matches the keys of output variables that the API model allows.
var variableKey = regexp.MustCompile(`^[A-Za-z0-9@\-_]+$`)

// ruleError is the rule that a member breaks.
type ruleError struct {
	member jsontext.Pointer
	rule   string
}

func (e *ruleError) Error() string { return e.rule }

func breaks(member jsontext.Pointer, rule string, args ...any) error {
	return &ruleError{member, fmt.Sprintf(rule, args...)}
}

// Validate checks the result against the rules of PutJobSuccessResult. Errors name the member and
// the rule.
func (r *Result) Validate() error {
	if r.PercentComplete != nil && (*r.PercentComplete < 0 || *r.PercentComplete > 100) {
		return breaks("/percentComplete", "percentComplete is %d: it must be from 0 to 100", *r.PercentComplete)
	}
	if n := utf8.RuneCountInString(r.ContinuationToken); n > limits.ContinuationToken {
		return breaks(tokenMember, "continuationToken has %d characters: at most %d are allowed", n, limits.ContinuationToken)
	}
	if r.ContinuationToken != "" && len(r.OutputVariables) > 0 {
		return breaks(variablesMember, "outputVariables can't be given with a continuationToken: give them when the work has ended")
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
			return breaks(variablesMember.AppendToken(key), "the output variable %.50q: its key may have only letters, digits, @, - and _", key)
		}
		if !utf8.ValidString(variables[key]) {
			return breaks(variablesMember.AppendToken(key), "the output variable %q: its value is not UTF-8", key)
		}
		size += len(key) + len(variables[key])
	}
	if size > limits.OutputVariables {
		return breaks(variablesMember, "outputVariables have %d bytes in all: at most %d are allowed", size, limits.OutputVariables)
	}
	return nil
}

const revisionMember = jsontext.Pointer("/currentRevision")

func (r *Revision) validate() error {
	length := func(member, value string, least, most int) error {
		if n := utf8.RuneCountInString(value); n < least || n > most {
			return breaks(revisionMember.AppendToken(member), "currentRevision.%s has %d characters: it must have %d to %d", member, n, least, most)
		}
		return nil
	}
	if err := length("revision", r.Revision, 1, limits.Revision); err != nil {
		return err
	}
	if err := length("changeIdentifier", r.ChangeIdentifier, 1, limits.ChangeIdentifier); err != nil {
		return err
	}
	// Other years can't be parsed again, in UTC.
	if r.Created != nil && (r.Created.UTC().Year() < 1 || r.Created.UTC().Year() > 9999) {
		return breaks(revisionMember.AppendToken("created"), "currentRevision.created is in the year %d: it must be one from 1 to 9999, in UTC", r.Created.UTC().Year())
	}
	return nil
}
