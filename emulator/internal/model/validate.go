package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Violations are the broken constraints, in AWS's wording.
type Violations []string

// Message returns the text of AWS's ValidationException.
func (v Violations) Message() string {
	noun := "errors"
	if len(v) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(v), noun, strings.Join(v, "; "))
}

// TypeError reports that a value in a request has the wrong JSON type. AWS returns
// SerializationException for it.
type TypeError struct{ Path, Want string }

func (e *TypeError) Error() string { return fmt.Sprintf("%s must be of type %s", e.Path, e.Want) }

// Validate checks a request, decoded from JSON with json.Number, against its operation. It removes
// members that the model does not have, which the service ignores.
func (m *Model) Validate(operation Operation, request map[string]any) (Violations, error) {
	v := validation{model: m}
	v.structure("", operation.Request, request)
	return v.found, v.mistyped
}

// ValidateResponse checks a response against its operation. Members that the model does not have
// are violations.
func (m *Model) ValidateResponse(operation Operation, response map[string]any) (Violations, error) {
	v := validation{model: m, strict: true}
	v.structure("", operation.Response, response)
	return v.found, v.mistyped
}

type validation struct {
	model *Model
	// strict reports unknown members instead of removing them.
	strict   bool
	found    Violations
	mistyped error
}

func (v *validation) violate(value any, path, rule string) {
	shown := fmt.Sprint(value)
	switch value.(type) {
	case nil:
		v.found = append(v.found, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: %s", path, rule))
		return
	case map[string]any, []any:
		shown = "[]"
	}
	v.found = append(v.found, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", shown, path, rule))
}

func (v *validation) structure(path string, members []Member, value map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(value)) {
		if slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) {
			continue
		}
		if v.strict {
			v.violate(name, cmp.Or(path, "the response"), "Member is not known")
		}
		delete(value, name)
	}
	for _, member := range members {
		at := member.Name
		if path != "" {
			at = path + "." + member.Name
		}
		given, ok := value[member.Name]
		switch {
		case ok && given != nil:
			v.value(at, member.Type, given)
		case member.Required:
			v.violate(nil, at, "Member must not be null")
		}
	}
}

func (v *validation) mismatch(path, want string) {
	if v.mistyped == nil {
		v.mistyped = &TypeError{path, want}
	}
}

func (v *validation) value(path string, t *Type, value any) {
	switch t.Kind {
	case "string":
		if text, ok := value.(string); ok {
			v.text(path, t, text)
			return
		}
	case "integer", "timestamp":
		if number, ok := value.(json.Number); ok {
			v.number(path, t, number)
			return
		}
	case "boolean":
		if _, ok := value.(bool); ok {
			return
		}
	case "list":
		if list, ok := value.([]any); ok {
			v.list(path, t, list)
			return
		}
	case "map":
		if entries, ok := value.(map[string]any); ok {
			v.entries(path, t, entries)
			return
		}
	case "struct":
		if fields, ok := value.(map[string]any); ok {
			v.structure(path, v.model.Structs[t.Struct], fields)
			return
		}
	}
	v.mismatch(path, t.Kind)
}

func (v *validation) text(path string, t *Type, text string) {
	if len(t.Enum) > 0 {
		if !slices.Contains(t.Enum, text) {
			v.violate(text, path, "Member must satisfy enum value set: ["+strings.Join(t.Enum, ", ")+"]")
		}
		return
	}
	v.length(path, t, text, int64(utf8.RuneCountInString(text)))
	if t.Pattern != nil && !t.Pattern.MatchString(text) {
		v.violate(text, path, "Member must satisfy regular expression pattern: "+t.Source)
	}
}

func (v *validation) length(path string, t *Type, value any, length int64) {
	if t.Min != nil && length < *t.Min {
		v.violate(value, path, fmt.Sprintf("Member must have length greater than or equal to %d", *t.Min))
	}
	if t.Max != nil && length > *t.Max {
		v.violate(value, path, fmt.Sprintf("Member must have length less than or equal to %d", *t.Max))
	}
}

func (v *validation) number(path string, t *Type, number json.Number) {
	if t.Kind == "timestamp" {
		return
	}
	value, err := number.Int64()
	if err != nil {
		v.mismatch(path, "integer")
		return
	}
	if t.Min != nil && value < *t.Min {
		v.violate(number, path, fmt.Sprintf("Member must have value greater than or equal to %d", *t.Min))
	}
	if t.Max != nil && value > *t.Max {
		v.violate(number, path, fmt.Sprintf("Member must have value less than or equal to %d", *t.Max))
	}
}

func (v *validation) list(path string, t *Type, list []any) {
	v.length(path, t, list, int64(len(list)))
	for i, element := range list {
		v.value(fmt.Sprintf("%s.%d.member", path, i+1), t.Element, element)
	}
}

func (v *validation) entries(path string, t *Type, entries map[string]any) {
	v.length(path, t, entries, int64(len(entries)))
	for _, key := range slices.Sorted(maps.Keys(entries)) { // for a deterministic message
		v.value(path+".key", t.Key, key)
		if value := entries[key]; value != nil {
			v.value(path+"."+key+".member", t.Element, value)
		}
	}
}
