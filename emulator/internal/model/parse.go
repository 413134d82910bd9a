// Package model validates CodePipeline's requests and responses. Their shapes are in
// codepipeline.model, in a notation that is easy to compare with AWS's documentation.
package model

import (
	_ "embed" // for the shapes
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed codepipeline.model
var source string

// Operation describes an operation of the service.
type Operation struct {
	Name     string
	Request  []Member
	Response []Member
	// Errors of the operation in the model.
	Errors []string
}

// Member is a member of a structure or request.
type Member struct {
	Name     string
	Required bool
	Type     *Type
}

// Type is a type with its constraints.
type Type struct {
	// Kind is string, integer, boolean, timestamp, list, map or struct.
	Kind string
	// Struct is the name of the structure, for Kind struct.
	Struct string
	// Key and Element are the types of a map's keys and values. Lists only have Element.
	Key, Element *Type
	// Min and Max bound a length, a count or a value. Nil means unbounded.
	Min, Max *int64
	// Pattern matches the whole string. Source is its text.
	Pattern *regexp.Regexp
	Source  string
	Enum    []string
}

// Model is all operations and structures.
type Model struct {
	Operations map[string]Operation
	Structs    map[string][]Member
}

// Load parses the embedded shapes once. Callers must not change them.
var Load = sync.OnceValues(load)

func load() (*Model, error) {
	m := &Model{Operations: map[string]Operation{}, Structs: map[string][]Member{}}
	var kind, name string
	number := 0
	for line := range strings.Lines(source) {
		number++
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, " ") {
			kind, name, _ = strings.Cut(line, " ")
			m.declare(kind, name)
			continue
		}
		if err := m.add(kind, name, strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("codepipeline.model, line %d: %w", number, err)
		}
	}
	return m, nil
}

func (m *Model) declare(kind, name string) {
	if kind == "operation" {
		m.Operations[name] = Operation{Name: name}
		return
	}
	m.Structs[name] = nil
}

func (m *Model) add(kind, name, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	operation := m.Operations[name]
	if kind == "operation" && word == "errors" {
		operation.Errors = strings.Split(rest, ", ")
		m.Operations[name] = operation
		return nil
	}
	response := kind == "operation" && word == "response"
	if response {
		word, rest, _ = strings.Cut(rest, " ")
	}
	p := parser{rest: rest}
	parsed, err := p.parse()
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	member := Member{Name: strings.TrimSuffix(word, "!"), Required: strings.HasSuffix(word, "!"), Type: parsed}
	switch {
	case response:
		operation.Response = append(operation.Response, member)
		m.Operations[name] = operation
	case kind == "operation":
		operation.Request = append(operation.Request, member)
		m.Operations[name] = operation
	default:
		m.Structs[name] = append(m.Structs[name], member)
	}
	return nil
}

// parser parses a type.
type parser struct{ rest string }

var wordPattern = regexp.MustCompile(`^[A-Za-z0-9]+`)

func (p *parser) parse() (*Type, error) {
	word := wordPattern.FindString(p.rest)
	p.rest = p.rest[len(word):]
	t := &Type{Kind: word}
	switch word {
	case "string", "integer", "boolean", "timestamp":
	case "list", "map":
		if err := p.parameters(t); err != nil {
			return nil, err
		}
	case "":
		return nil, fmt.Errorf("a type is missing at %q", p.rest)
	default:
		t.Kind, t.Struct = "struct", word
	}
	return t, p.constraints(t)
}

func (p *parser) parameters(t *Type) (err error) {
	if !p.skip("<") {
		return fmt.Errorf("%s needs <…>", t.Kind)
	}
	if t.Kind == "map" {
		if t.Key, err = p.parse(); err != nil {
			return err
		}
		if !p.skip(",") {
			return fmt.Errorf("a map needs a key and a value")
		}
	}
	if t.Element, err = p.parse(); err != nil {
		return err
	}
	if !p.skip(">") {
		return fmt.Errorf("%s is not closed at %q", t.Kind, p.rest)
	}
	return nil
}

func (p *parser) skip(token string) bool {
	rest := strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(rest, token) {
		return false
	}
	p.rest = strings.TrimLeft(rest[len(token):], " ")
	return true
}

func (p *parser) constraints(t *Type) error {
	for {
		switch {
		case p.skip("["):
			bounds, rest, _ := strings.Cut(p.rest, "]")
			p.rest = rest
			if err := t.bound(bounds); err != nil {
				return err
			}
		case p.skip("/"):
			// A pattern ends at the last slash before the next constraint.
			pattern, rest, _ := strings.Cut(p.rest, "/")
			for strings.HasSuffix(pattern, ":role") || strings.Count(pattern, "[") > strings.Count(pattern, "]") {
				var more string
				more, rest, _ = strings.Cut(rest, "/")
				pattern += "/" + more
			}
			p.rest = rest
			compiled, err := regexp.Compile(`^(?s:` + pattern + `)$`)
			if err != nil {
				return err
			}
			t.Pattern, t.Source = compiled, pattern
		case p.skip("{"):
			values, rest, _ := strings.Cut(p.rest, "}")
			p.rest = rest
			t.Enum = strings.Split(values, " | ")
		case p.skip("sensitive"):
		default:
			return nil
		}
	}
}

func (t *Type) bound(text string) error {
	least, most, found := strings.Cut(text, "..")
	if !found {
		return fmt.Errorf("[%s] is not a range", text)
	}
	for _, side := range []struct {
		text string
		into **int64
	}{{least, &t.Min}, {most, &t.Max}} {
		if side.text == "" {
			continue
		}
		value, err := strconv.ParseInt(side.text, 10, 64)
		if err != nil {
			return fmt.Errorf("[%s] is not a range: %w", text, err)
		}
		*side.into = &value
	}
	return nil
}
