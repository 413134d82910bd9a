package podcontract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// Files that a step may write in the result folder. All are optional. White space at both ends of a
// text is removed. Files whose names begin with a dot are ignored. Any other file is an error,
// because its name is probably misspelled. Steps write these files, so each error is a
// ConfigurationError.
const (
	FileSummary             = "summary"
	FilePercentComplete     = "percent-complete"
	FileExternalExecutionID = "external-execution-id"
	FileContinuationToken   = "continuation-token"
	FileOutputVariables     = "output-variables"
	FileRevision            = "revision.json"
	// FileResult has the whole result as JSON (see Result). It must be the only file.
	FileResult = "result.json"
)

// MaxResultFile is the maximum number of bytes that are read from a file.
const MaxResultFile = 1 << 20

// byteOrderMark is at the beginning of texts from some programs.
var byteOrderMark = []byte("\ufeff")

// parsers parse each file into a result.
var parsers = map[string]func(content []byte, into *Result) error{
	FileSummary:             func(b []byte, r *Result) error { return parseText(b, &r.Summary) },
	FileExternalExecutionID: func(b []byte, r *Result) error { return parseText(b, &r.ExternalExecutionID) },
	FileContinuationToken:   func(b []byte, r *Result) error { return parseToken(b, &r.ContinuationToken) },
	FilePercentComplete:     parsePercent,
	FileOutputVariables:     parseVariables,
	FileRevision:            func(b []byte, r *Result) error { return parseJSON(b, &r.CurrentRevision) },
	FileResult:              func(b []byte, r *Result) error { return parseJSON(b, r) },
}

// ParseResultFiles parses the files in the result folder. An error names the file, the line if
// there is one, and the rule.
func ParseResultFiles(folder fs.FS) (Result, error) {
	var given Result
	names, err := fileNames(folder)
	if err != nil {
		return given, err
	}
	for _, name := range names {
		content, err := OpenResultFile(folder, name)
		if err != nil {
			return Result{}, err
		}
		if err := given.Take(name, content); err != nil {
			return Result{}, err
		}
	}
	given.cutTexts()
	return given, nil
}

// Take parses the content of a known result file into the result. An error names the file, the line
// if there is one, and the rule.
func (r *Result) Take(name string, content []byte) error {
	if err := parsers[name](content, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// After each file, so that the error names the one that broke the rule.
	if err := r.Validate(); err != nil {
		return fmt.Errorf("%s: %s%w", name, placeOf(name, content, err), err)
	}
	return nil
}

// placeOf returns the line of the member that breaks a rule, in a JSON file.
func placeOf(name string, content []byte, err error) string {
	var broken *ruleError
	if !strings.HasSuffix(name, ".json") || !errors.As(err, &broken) {
		return ""
	}
	member := broken.member
	if name == FileRevision {
		member = member[len(revisionMember):]
	}
	return fmt.Sprintf("line %d: ", lineOf(content, member))
}

// cutTexts cuts the texts that may have any length to CodePipeline's limits.
func (r *Result) cutTexts() {
	r.Summary = limits.Cut(r.Summary, limits.Summary)
	r.ExternalExecutionID = limits.Cut(r.ExternalExecutionID, limits.ExternalExecutionID)
	if r.CurrentRevision != nil {
		r.CurrentRevision.RevisionSummary = limits.Cut(r.CurrentRevision.RevisionSummary, limits.RevisionSummary)
	}
}

// fileNames returns the names of the existing result files, in order.
func fileNames(folder fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, fmt.Errorf("read the result folder: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if _, known := parsers[name]; !known {
			return nil, fmt.Errorf("%q: not a result file; known are %s", name, strings.Join(knownFiles(), ", "))
		}
		if !entry.Type().IsRegular() {
			return nil, fmt.Errorf("%s: must be a regular file", name)
		}
		names = append(names, name)
	}
	if len(names) > 1 && slices.Contains(names, FileResult) {
		return nil, fmt.Errorf("%s and %s both exist: %s must be the only one", names[0], names[1], FileResult)
	}
	return names, nil
}

func knownFiles() []string { return slices.Sorted(maps.Keys(parsers)) }

// OpenResultFile opens a result file and reads it as ReadResultFile does.
func OpenResultFile(folder fs.FS, name string) ([]byte, error) {
	file, err := folder.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s: can't be read by this user: make it readable for others (chmod a+r)", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	content, err := ReadResultFile(name, file)
	return content, errors.Join(err, file.Close())
}

// ReadResultFile reads the content of a result file, at most 1 MiB, which suffices for all output
// variables with every character escaped. It reads only the beginning of a summary or an external
// execution ID, which are cut anyway.
func ReadResultFile(name string, from io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, MaxResultFile+1))
	content = bytes.TrimPrefix(content, byteOrderMark)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(content) <= MaxResultFile:
		return content, nil
	case name == FileSummary || name == FileExternalExecutionID:
		return []byte(strings.ToValidUTF8(string(content[:MaxResultFile]), "")), nil
	default:
		return nil, fmt.Errorf("%s: larger than %d bytes", name, MaxResultFile)
	}
}

func parseText(content []byte, into *string) error {
	if !utf8.Valid(content) {
		return errors.New("not UTF-8")
	}
	*into = strings.TrimSpace(string(content))
	return nil
}

// parseToken refuses an empty file: without a token the work would count as done, which a step that
// writes the file does not mean.
func parseToken(content []byte, into *string) error {
	if err := parseText(content, into); err != nil {
		return err
	}
	if *into == "" {
		return errors.New("is empty: write the token, or no file when the work is done")
	}
	return nil
}

func parsePercent(content []byte, into *Result) error {
	text := strings.TrimSpace(string(content))
	percent, err := strconv.ParseInt(text, 10, 32)
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("%.20q: must be a whole number from 0 to 100", text)
	}
	value := int32(percent)
	into.PercentComplete = &value
	return nil
}

// parseVariables parses lines of KEY=VALUE. The value is everything after the first equals sign,
// unchanged. Empty lines are ignored. There are no comments: a line that looks like one is more
// likely a mistake.
func parseVariables(content []byte, into *Result) error {
	if !utf8.Valid(content) {
		return errors.New("not UTF-8")
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return fmt.Errorf("line %d: must be KEY=VALUE", number)
		}
		if !variableKey.MatchString(key) {
			return fmt.Errorf("line %d: the key %.50q may have only letters, digits, @, - and _", number, key)
		}
		if _, twice := into.OutputVariables[key]; twice {
			return fmt.Errorf("line %d: the key %q is given twice", number, key)
		}
		if into.OutputVariables == nil {
			into.OutputVariables = map[string]string{}
		}
		into.OutputVariables[key] = value
	}
	return nil
}
