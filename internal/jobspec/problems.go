package jobspec

import "errors"

// Paths in a CustomAction.
const (
	atJob       = "spec.jobTemplate.spec"
	atPod       = atJob + ".template.spec"
	atWorkspace = "spec.workspace"
)

// problems collects the fields of a CustomAction that break a rule.
type problems []error

// refuse adds a *FieldError for a field if it breaks the rule.
func (p *problems) refuse(breaks bool, field, rule string) {
	if breaks {
		*p = append(*p, &FieldError{Field: field, Err: errors.New(rule)})
	}
}

// join returns all problems as one error, or nil if there are none.
func (p problems) join() error { return errors.Join(p...) }
