package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Policy is the inline policy of a session. It bounds what the session may do.
type Policy struct{ statements []statement }

type statement struct {
	denies             bool
	actions, resources []*regexp.Regexp
}

// texts is a text or a list of texts, both of which IAM accepts.
type texts []string

func (t *texts) UnmarshalJSON(content []byte) error {
	var one string
	if json.Unmarshal(content, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(content, (*[]string)(t))
}

// ParsePolicy parses a policy document. It supports the elements Version, Id, Sid, Effect, Action
// and Resource. Others are an error.
func ParsePolicy(document string) (*Policy, error) {
	var read struct {
		Version, ID string
		Statement   json.RawMessage
	}
	if err := strictly([]byte(document), &read); err != nil {
		return nil, err
	}
	if read.Version != "2012-10-17" && read.Version != "2008-10-17" {
		return nil, errors.New("the version must be 2012-10-17 or 2008-10-17")
	}
	if !bytes.HasPrefix(bytes.TrimSpace(read.Statement), []byte("[")) {
		read.Statement = slices.Concat([]byte("["), read.Statement, []byte("]"))
	}
	var written []struct {
		Sid, Effect      string
		Action, Resource texts
	}
	if err := strictly(read.Statement, &written); err != nil {
		return nil, err
	}
	policy := &Policy{}
	for _, s := range written {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action) == 0 || len(s.Resource) == 0 {
			return nil, errors.New("a statement must have an Effect, Allow or Deny, an Action and a Resource")
		}
		policy.statements = append(policy.statements, statement{
			denies: s.Effect == "Deny", actions: patterns("(?is)", s.Action), resources: patterns("(?s)", s.Resource),
		})
	}
	return policy, nil
}

func strictly(content []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the emulator can't read it: %w", err)
	}
	return nil
}

// patterns compiles texts with * (any characters) and ? (a single character).
func patterns(flags string, written texts) (all []*regexp.Regexp) {
	for _, pattern := range written {
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		all = append(all, regexp.MustCompile(flags+`^`+quoted+`$`))
	}
	return all
}

// Allows reports whether an action, such as codepipeline:PollForJobs, is allowed on a resource,
// which is * for actions without one. A nil Policy allows everything.
func (p *Policy) Allows(action, resource string) bool {
	if p == nil {
		return true
	}
	allowed := false
	for _, s := range p.statements {
		if !matchesAny(s.actions, action) || !matchesAny(s.resources, resource) {
			continue
		}
		if s.denies {
			return false
		}
		allowed = true
	}
	return allowed
}

func matchesAny(patterns []*regexp.Regexp, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern *regexp.Regexp) bool { return pattern.MatchString(text) })
}
