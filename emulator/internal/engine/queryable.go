package engine

import (
	"fmt"
	"regexp"
)

// queryableRule is the rule for values of a queryable property. The API reference of
// ActionConfigurationProperty defines the characters, and the model of PollForJobs the length of a
// queryParam's value. No poll can ask for other values.
const queryableRule = "it must have 1 to 50 letters, digits, underscores and hyphens"

var queryable = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,50}$`)

// canBePolled reports whether a poll can ask for a value.
func canBePolled(value string) bool { return queryable.MatchString(value) }

// checkResolved checks a queryable value that a declaration takes from a variable.
func (e *Engine) checkResolved(a *actionRun) error {
	t, ok := e.actionTypes[a.declared.ActionTypeID]
	if !ok {
		return nil
	}
	if name := t.queryable(); name != "" && !canBePolled(a.resolved[name]) {
		return fmt.Errorf("the value %q of the queryable configuration %s can't be polled for: %s", a.resolved[name], name, queryableRule)
	}
	return nil
}
