package podcontract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	// encoding/json is too lenient for files that people write: it accepts names in any case,
	// duplicate names and invalid UTF-8.
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// strict refuses unknown and duplicate names.
var strict = json.JoinOptions(
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(readText)),
)

// parseJSON parses a single JSON object that only has known members.
func parseJSON(content []byte, into any) error {
	text := bytes.TrimSpace(content)
	if len(text) == 0 {
		return errors.New("is empty: it must hold a JSON object")
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		return errors.New("must hold one JSON object and nothing else")
	}
	if err := json.Unmarshal(content, into, strict); err != nil {
		return explainJSON(content, err)
	}
	return nil
}

// Members whose rules can't be checked after decoding.
const (
	tokenMember     = jsontext.Pointer("/continuationToken")
	variablesMember = jsontext.Pointer("/outputVariables")
)

// readText reads a text. Null means absent, except for the value of an output variable, which could
// simply be left out.
func readText(from *jsontext.Decoder, into *string) error {
	value, err := from.ReadToken()
	if err != nil {
		return err
	}
	at := from.StackPointer()
	switch kind := value.Kind(); {
	case kind == 'n' && at.Parent() != variablesMember:
		return nil
	case kind != '"':
		return &json.SemanticError{ByteOffset: from.InputOffset(), JSONPointer: at, JSONKind: kind, GoType: reflect.TypeFor[string]()}
	}
	*into = value.String()
	if at == tokenMember && strings.TrimSpace(*into) == "" {
		return errNoToken
	}
	return nil
}

// errNoToken: without a token the work would count as done, which a step that sets one does not
// mean.
var errNoToken = errors.New("is empty: give the token, or leave it out when the work is done")

// explainJSON translates a decoder's error into words that require no knowledge of Go.
func explainJSON(content []byte, err error) error {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("line %d: not valid JSON: it ends too early", lineAt(content, int64(len(content))))
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("line %d: %.50q is given twice", lineAt(content, syntax.ByteOffset), syntax.JSONPointer.LastToken())
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: not valid JSON: %w", lineAt(content, syntax.ByteOffset), syntax.Err)
	case errors.As(err, &semantic):
		return fmt.Errorf("line %d: %w", lineAt(content, semantic.ByteOffset), explainMember(semantic))
	default:
		return err
	}
}

func explainMember(found *json.SemanticError) error {
	member := dotted(found.JSONPointer)
	switch {
	case errors.Is(found.Err, json.ErrUnknownName):
		return fmt.Errorf("unknown member %.50q: known are %s", member, strings.Join(membersOf(found.GoType), ", "))
	case errors.Is(found.Err, errNoToken):
		return fmt.Errorf("%s %w", member, found.Err)
	default:
		return fmt.Errorf("%s must be %s, not %s", member, wanted(found.GoType), given(found))
	}
}

// dotted returns a member's path with dots.
func dotted(at jsontext.Pointer) string { return strings.Join(slices.Collect(at.Tokens()), ".") }

// membersOf returns the names that an object may have.
func membersOf(object reflect.Type) []string {
	var names []string
	for field := range object.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func wanted(kind reflect.Type) string {
	switch {
	case kind == reflect.TypeFor[time.Time]():
		return "a time as in 2006-01-02T15:04:05Z (RFC 3339)"
	case kind.Kind() == reflect.String:
		return "a string"
	case kind.Kind() == reflect.Int32:
		return "a whole number from 0 to 100"
	default:
		return "an object"
	}
}

func given(found *json.SemanticError) string {
	var badTime *time.ParseError
	switch {
	case errors.As(found.Err, &badTime):
		return fmt.Sprintf("%.50q", badTime.Value)
	case len(found.JSONValue) > 0:
		return fmt.Sprintf("%.50s", found.JSONValue)
	case found.JSONKind == '{':
		return "an object"
	case found.JSONKind == '[':
		return "a list"
	default:
		return found.JSONKind.String()
	}
}

// lineAt returns the line of the next token after an offset.
func lineAt(content []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(content)))
	rest := content[offset:]
	between := len(rest) - len(bytes.TrimLeft(rest, " \t\r\n,:"))
	return 1 + bytes.Count(content[:int(offset)+between], []byte("\n"))
}

// lineOf returns the line of a member, or of the object that lacks it.
func lineOf(content []byte, member jsontext.Pointer) int {
	for ; member != ""; member = member.Parent() {
		decoder := jsontext.NewDecoder(bytes.NewReader(content))
		for {
			if _, err := decoder.ReadToken(); err != nil {
				break
			}
			if decoder.StackPointer() == member {
				return lineAt(content, decoder.InputOffset()-1)
			}
		}
	}
	return 1
}
