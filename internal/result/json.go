package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// parseJSON reads one JSON object with no members but the known ones.
func parseJSON(content []byte, into any) error {
	if !utf8.Valid(content) {
		return errors.New("not UTF-8") // the decoder would replace what is not
	}
	text := bytes.TrimSpace(content)
	if len(text) == 0 {
		return errors.New("is empty: it must hold a JSON object")
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		return errors.New("must hold one JSON object and nothing else")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return explainJSON(content, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: must hold one JSON object and nothing else", lineOf(content, decoder.InputOffset()))
	}
	return refuseTwins(content, json.NewDecoder(bytes.NewReader(content)))
}

// refuseTwins refuses an object that has a name twice, at any depth: the
// decoder has kept the last and dropped the others without a word, a
// continuation token for one. The content is known to be valid.
func refuseTwins(content []byte, decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') { // members of a result are objects and plain values
		return nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("line %d: %.50q is given twice", lineOf(content, decoder.InputOffset()), name)
		}
		seen[name] = true
		if err := refuseTwins(content, decoder); err != nil {
			return err
		}
	}
	_, err = decoder.Token() // the end of the object
	return err
}

// explainJSON says what a decoder found in words that need no knowledge of Go.
func explainJSON(content []byte, err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	var badTime *time.ParseError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: not valid JSON: %w", lineOf(content, syntax.Offset), err)
	case errors.As(err, &mismatch):
		return fmt.Errorf("line %d: %s must be %s, not %s", lineOf(content, mismatch.Offset), mismatch.Field, jsonType(mismatch.Type), mismatch.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("line %d: not valid JSON: it ends too early", lineOf(content, int64(len(content))))
	case errors.As(err, &badTime):
		return fmt.Errorf("created is %.50q: it must be a time as in 2006-01-02T15:04:05Z (RFC 3339)", strings.Trim(badTime.Value, `"`))
	default:
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
}

func jsonType(wanted reflect.Type) string {
	switch wanted.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int32:
		return "a whole number"
	default:
		return "an object"
	}
}

// lineOf is the line of the last byte that was read when offset bytes were.
func lineOf(content []byte, offset int64) int {
	read := content[:min(max(int(offset)-1, 0), len(content))]
	return 1 + bytes.Count(read, []byte("\n"))
}
