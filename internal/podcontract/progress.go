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

// Progress is what steps report while they run: the members of a Result that CodePipeline can show
// before the work ends. The zero value is empty.
//
// It is best effort. ParseResultFiles reports the errors of result files when the work has ended.
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

// ProgressFiles returns the names of the result files that can have progress.
func ProgressFiles() []string {
	// FileResult comes first: if a step writes both, the separate file takes precedence.
	return []string{FileResult, FileSummary, FilePercentComplete, FileExternalExecutionID}
}

// ParseProgress reads the progress from the result folder while steps write there. It ignores a
// file that is missing, is being written or breaks a rule. The error names the files that could not
// be read, and the progress is from all others.
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
		case len(content) == 0: // missing, or about to be written
		case name == FileResult:
			takeProgressJSON(content, &given)
		default:
			_ = parsers[name](content, &given) // does not change given on an error
		}
	}
	progress := Progress{given.PercentComplete, given.Summary, given.ExternalExecutionID}
	progress.cut()
	return progress, errors.Join(problems...)
}

// maxProgressText bounds what is read from a file with a single text, in bytes. It suffices for the
// longest text and white space before it.
const maxProgressText = 64 << 10

// readSoFar reads the current content of a file. Anything other than a regular file, which might
// block the reader, counts as empty.
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
		content = bytes.ToValidUTF8(content, nil) // a character may have been cut
	}
	return bytes.TrimPrefix(content, byteOrderMark), errors.Join(err, file.Close())
}

// takeProgressJSON parses each member separately, so that a member that breaks a rule does not
// affect the others.
func takeProgressJSON(content []byte, into *Result) {
	var members struct {
		PercentComplete     json.RawMessage `json:"percentComplete"`
		Summary             json.RawMessage `json:"summary"`
		ExternalExecutionID json.RawMessage `json:"externalExecutionId"`
	}
	if !utf8.Valid(content) || json.Unmarshal(content, &members) != nil {
		return
	}
	_ = parsePercent(members.PercentComplete, into) // a JSON number has the same form as in the file
	_ = json.Unmarshal(members.Summary, &into.Summary)
	_ = json.Unmarshal(members.ExternalExecutionID, &into.ExternalExecutionID)
}

// cut shortens the texts to CodePipeline's limits in the same way as those of a result: the last
// character shows that text was cut.
func (p *Progress) cut() {
	p.Summary = limits.Cut(p.Summary, limits.Summary)
	p.ExternalExecutionID = limits.Cut(p.ExternalExecutionID, limits.ExternalExecutionID)
}

const (
	// progressPrefix marks the log lines that carry progress.
	progressPrefix = "codepipeline-progress "
	// maxProgressLine is below the length at which container runtimes split lines.
	maxProgressLine = limits.LogLine - 1
)

// ProgressLine returns the log line that carries the progress, including the line break. It cuts
// texts to their limits, and further if a container runtime would split the line.
func ProgressLine(given Progress) []byte { return given.encodeWithin(maxProgressLine, encodeProgress) }

// encodeWithin encodes the progress in at most limit bytes. It cuts texts to fit, the longer one
// first.
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
		// A character takes at most six bytes (\u0000), so this never cuts too much. If it cuts too
		// little, the next round cuts more.
		*text = limits.Cut(*text, utf8.RuneCountInString(*text)-over/6-1)
	}
}

func encodeProgress(given Progress) []byte {
	line := bytes.NewBufferString(progressPrefix)
	encoder := json.NewEncoder(line) // adds a line break
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(given); err != nil {
		panic(err) // texts and a number can always be encoded
	}
	return line.Bytes()
}

// LastProgress returns the progress in the last complete progress line of a log, or nil. It ignores
// all other lines and those that were cut. An error means that the log can't be read.
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

// decodeProgress returns the progress in a line, or nil if it is not a progress line.
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
