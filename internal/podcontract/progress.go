package podcontract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// Progress is what steps report while they run: the members of a Result that CodePipeline
// can show then. The zero value is empty.
//
// It is best effort. ParseFiles reports the errors of result files when the work has
// ended.
type Progress struct {
	// PercentComplete is executionDetails.percentComplete, 0 to 100.
	PercentComplete *int32 `json:"percentComplete,omitempty"`
	// Summary is executionDetails.summary, up to 2048 characters.
	Summary string `json:"summary,omitempty"`
	// ExternalExecutionID is executionDetails.externalExecutionId, up to 1500 characters.
	ExternalExecutionID string `json:"externalExecutionId,omitempty"`
}

// Equal reports whether both have the same content.
func (p Progress) Equal(other Progress) bool {
	if p.Summary != other.Summary || p.ExternalExecutionID != other.ExternalExecutionID {
		return false
	}
	if p.PercentComplete == nil || other.PercentComplete == nil {
		return p.PercentComplete == other.PercentComplete
	}
	return *p.PercentComplete == *other.PercentComplete
}

// ProgressFiles are the names of the result files that can have progress.
func ProgressFiles() []string {
	// FileResult comes first: if a step writes both, the separate file takes precedence.
	return []string{FileResult, FileSummary, FilePercentComplete, FileExternalExecutionID}
}

// ParseProgress reads the progress from the result folder while steps write there. It
// ignores a file that is missing, is being written or breaks a rule. The error names files
// that could not be read; the progress is that of all others.
func ParseProgress(folder fs.FS) (Progress, error) {
	var given Result
	var problems []error
	for _, name := range ProgressFiles() {
		content, err := readSoFar(folder, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
			continue
		}
		switch {
		case len(content) == 0: // it is missing, or about to be written
		case name == FileResult:
			takeProgressJSON(content, &given)
		default:
			_ = parsers[name](content, &given) // on an error it takes nothing
		}
	}
	progress := Progress{given.PercentComplete, given.Summary, given.ExternalExecutionID}
	progress.cut()
	return progress, errors.Join(problems...)
}

// maxProgressText bounds, in bytes, what is read of a file with one text in
// it: room for the longest, and for blanks before it.
const maxProgressText = 64 << 10

// readSoFar reads what a file holds by now. What is no regular file, and could
// keep its reader waiting, holds nothing.
func readSoFar(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Lstat(folder, name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	file, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	limit := maxProgressText
	if name == FileResult {
		limit = MaxResultFile
	}
	content, err := io.ReadAll(io.LimitReader(file, int64(limit)))
	if len(content) == limit && name != FileResult {
		content = bytes.ToValidUTF8(content, nil) // a character may be cut
	}
	return bytes.TrimPrefix(content, byteOrderMark), errors.Join(err, file.Close())
}

// takeProgressJSON looks at each member alone: one that breaks a rule keeps
// none of the others from being taken.
func takeProgressJSON(content []byte, into *Result) {
	var members struct {
		PercentComplete     json.RawMessage `json:"percentComplete"`
		Summary             json.RawMessage `json:"summary"`
		ExternalExecutionID json.RawMessage `json:"externalExecutionId"`
	}
	if !utf8.Valid(content) || json.Unmarshal(content, &members) != nil {
		return
	}
	_ = parsePercent(members.PercentComplete, into) // a number is written as in a file of its own
	_ = json.Unmarshal(members.Summary, &into.Summary)
	_ = json.Unmarshal(members.ExternalExecutionID, &into.ExternalExecutionID)
}

// cut shortens the texts to what CodePipeline takes, as the operator does it
// with those of a result: the last character tells that there was more.
func (p *Progress) cut() {
	p.Summary = limits.Cut(p.Summary, limits.Summary)
	p.ExternalExecutionID = limits.Cut(p.ExternalExecutionID, limits.ExternalExecutionID)
}

const (
	// progressPrefix marks the lines of a log that carry progress.
	progressPrefix = "codepipeline-progress "
	// maxProgressLine is below the length at which container runtimes split lines.
	maxProgressLine = limits.LogLine - 1
)

// ProgressLine is the line of a log that carries the progress, with its end.
// Texts over the limits are cut, and further when the line would be so long
// that a container runtime splits it.
func ProgressLine(given Progress) []byte { return given.encodeWithin(maxProgressLine, encodeProgress) }

// encodeWithin encodes the progress in at most limit bytes. To fit, texts are cut, the
// longer one first.
func (p Progress) encodeWithin(limit int, encode func(Progress) []byte) []byte {
	p.cut()
	for {
		encoded := encode(p)
		over := len(encoded) - limit
		text := &p.Summary
		if len(p.ExternalExecutionID) > len(p.Summary) {
			text = &p.ExternalExecutionID
		}
		if over <= 0 || *text == "" {
			return encoded
		}
		// A character takes at most six bytes (\u0000): cut so many that it
		// can't be too many, and cut again if they were too few.
		*text = limits.Cut(*text, utf8.RuneCountInString(*text)-over/6-1)
	}
}

func encodeProgress(given Progress) []byte {
	line := bytes.NewBufferString(progressPrefix)
	encoder := json.NewEncoder(line) // it ends what it writes with a newline
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(given); err != nil {
		panic(err) // texts and a number can always be encoded
	}
	return line.Bytes()
}

// LastProgress is the progress in the last whole progress line of a log; nil
// when there is none. All other lines are passed over, also those that were
// cut. The error is that of reading the log.
func LastProgress(log io.Reader) (*Progress, error) {
	var last *Progress
	err := eachLine(log, maxProgressLine, func(line []byte) bool {
		if progress := decodeProgress(line); progress != nil {
			last = progress
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return last, nil
}

// decodeProgress is the progress in a line; nil in any but a progress line.
func decodeProgress(line []byte) *Progress {
	encoded, marked := bytes.CutPrefix(line, []byte(progressPrefix))
	if !marked || !bytes.HasPrefix(encoded, []byte("{")) {
		return nil
	}
	var progress Progress
	if json.Unmarshal(encoded, &progress) != nil {
		return nil
	}
	if percent := progress.PercentComplete; percent != nil && (*percent < 0 || *percent > 100) {
		return nil
	}
	progress.cut()
	return &progress
}
