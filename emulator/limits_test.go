package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/model"
)

// limit is a bound of a member of a request.
type limit struct {
	path string
	t    *model.Type
	// request returns a valid request in which the member has this size: a length, a count or a
	// value.
	request func(size int64) map[string]any
}

// limits returns the bounds of all members of an operation's request.
func limits(m *model.Model, operation model.Operation) []limit {
	w := limitWalk{m: m}
	w.members("", operation.Request, func(request map[string]any) map[string]any { return request })
	return w.found
}

type limitWalk struct {
	m     *model.Model
	found []limit
}

// members walks the members of a structure. within puts the structure in its place in a request.
func (w *limitWalk) members(path string, members []model.Member, within func(map[string]any) map[string]any) {
	for _, member := range members {
		at := strings.TrimPrefix(path+"."+member.Name, ".")
		w.walk(at, member.Type, func(value any) map[string]any {
			structure := minimal(w.m, members)
			structure[member.Name] = value
			return within(structure)
		})
	}
}

func (w *limitWalk) walk(path string, t *model.Type, with func(any) map[string]any) {
	if t.Min != nil || t.Max != nil {
		w.found = append(w.found, limit{path, t, func(size int64) map[string]any { return with(sized(w.m, t, size)) }})
	}
	switch t.Kind {
	case "struct":
		w.members(path, w.m.Structs[t.Struct], func(value map[string]any) map[string]any { return with(value) })
	case "list":
		w.walk(path+".1.member", t.Element, func(value any) map[string]any { return with([]any{value}) })
	case "map":
		w.walk(path+".key", t.Key, func(value any) map[string]any {
			return with(map[string]any{value.(string): valid(w.m, t.Element)})
		})
		key := valid(w.m, t.Key).(string)
		w.walk(path+"."+key+".member", t.Element, func(value any) map[string]any { return with(map[string]any{key: value}) })
	}
}

// minimal returns a structure with only the required members.
func minimal(m *model.Model, members []model.Member) map[string]any {
	value := map[string]any{}
	for _, member := range members {
		if member.Required {
			value[member.Name] = valid(m, member.Type)
		}
	}
	return value
}

// valid returns a small valid value of a type.
func valid(m *model.Model, t *model.Type) any {
	size := int64(1)
	if t.Min != nil {
		size = *t.Min
	}
	if t.Kind != "string" || len(t.Enum) > 0 {
		return sized(m, t, size)
	}
	for _, begin := range beginnings {
		if candidate := text(t, max(size, int64(len(begin)))); t.Pattern == nil || t.Pattern.MatchString(candidate) {
			return candidate
		}
	}
	panic("no text matches " + t.Source)
}

func sized(m *model.Model, t *model.Type, size int64) any {
	switch t.Kind {
	case "string":
		return text(t, size)
	case "integer":
		return size
	case "boolean":
		return false
	case "list":
		list := []any{}
		for range size {
			list = append(list, valid(m, t.Element))
		}
		return list
	case "map":
		entries := map[string]any{}
		for i := range size {
			entries[fmt.Sprintf("key%d", i)] = valid(m, t.Element)
		}
		return entries
	case "struct":
		return minimal(m, m.Structs[t.Struct])
	default:
		return 0
	}
}

// beginnings are prefixes of texts that match the model's patterns.
var beginnings = []string{"", "arn:aws:iam::111122223333:role/", "arn:aws:codepipeline:us-east-1:111122223333:p", nowhere}

// text returns a text of this length that matches the type's pattern, if it has one.
func text(t *model.Type, length int64) string {
	if len(t.Enum) > 0 {
		return t.Enum[0]
	}
	for _, begin := range beginnings {
		candidate := begin + strings.Repeat("a", max(0, int(length)-len(begin)))
		if len(candidate) == int(length) && (t.Pattern == nil || t.Pattern.MatchString(candidate)) {
			return candidate
		}
	}
	return strings.Repeat("a", int(length))
}

// TestEveryLimitOfTheModel sends, for each bound of each member, a request at the bound and one
// beyond it.
func TestEveryLimitOfTheModel(t *testing.T) {
	w := newWorld(t, unsigned)
	tested := 0
	for name, operation := range w.emulator.model.Operations {
		for _, l := range limits(w.emulator.model, operation) {
			what := "length"
			if l.t.Kind == "integer" {
				what = "value"
			}
			if l.t.Min != nil && *l.t.Min > 0 {
				w.expectLimit(name, l, *l.t.Min, *l.t.Min-1, fmt.Sprintf("Member must have %s greater than or equal to %d", what, *l.t.Min))
				tested++
			}
			if l.t.Max != nil {
				w.expectLimit(name, l, *l.t.Max, *l.t.Max+1, fmt.Sprintf("Member must have %s less than or equal to %d", what, *l.t.Max))
				tested++
			}
		}
	}
	w.Expect(tested).To(BeNumerically(">", 300), "limits were not found")
}

func (w *world) expectLimit(operation string, l limit, at, beyond int64, rule string) {
	w.t.Helper()
	answer := func(size int64) (code, message string) {
		body, err := json.Marshal(l.request(size))
		w.Expect(err).NotTo(HaveOccurred())
		_, code, message = w.send(w.WithT, rawRequest{http.MethodPost, "/", targetPrefix + operation, contentType, string(body)})
		return code, message
	}
	// At the bound, the request may still be refused for another reason.
	code, message := answer(at)
	w.Expect(message).NotTo(ContainSubstring("failed to satisfy constraint"), "%s %s at %d: %s", operation, l.path, at, code)
	code, message = answer(beyond)
	w.Expect(code).To(Equal("ValidationException"), "%s %s at %d: %s", operation, l.path, beyond, message)
	w.Expect(message).To(ContainSubstring("at '%s' failed to satisfy constraint: %s", l.path, rule))
}
