package podcontract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// ErrLogLost says that a container's log does not hold the result that its
// termination message announced: it was cut, rotated away, or altered.
var ErrLogLost = errors.New("the container's log does not hold the whole result")

// logPrefix marks the lines of a log that carry a result. It is unlikely in
// any other line, and a digest tells if it was there all the same.
const logPrefix = "codepipeline-result "

// logChunk keeps a line, with its quotes, below the 16 KiB at which container
// runtimes split lines.
const logChunk = 8 << 10

// ParseEnvelope reads a termination message of one of the wrapper containers.
func ParseEnvelope(message string) (Envelope, error) {
	var envelope Envelope
	if strings.TrimSpace(message) == "" {
		return envelope, errors.New("the termination message is empty")
	}
	decoder := json.NewDecoder(strings.NewReader(message))
	if err := decoder.Decode(&envelope); err != nil {
		return Envelope{}, fmt.Errorf("the termination message is not an envelope: %w", err)
	}
	if given := envelope.Progress; given != nil && given.PercentComplete != nil && (*given.PercentComplete < 0 || *given.PercentComplete > 100) {
		return Envelope{}, errors.New("the termination message has a percentComplete that is not 0 to 100")
	}
	members := 0
	for _, set := range []bool{envelope.Result != nil, envelope.Log != nil, envelope.Failure != nil, envelope.Progress != nil} {
		if set {
			members++
		}
	}
	if members != 1 {
		return Envelope{}, fmt.Errorf("the termination message must have one of result, log, failure and progress, not %d", members)
	}
	return envelope, nil
}

// WrapResult puts a result into an envelope of at most limit bytes. A result that
// does not fit is written to log, and the envelope points at it.
func WrapResult(given RunResult, limit int, log io.Writer) ([]byte, error) {
	envelope, err := json.Marshal(Envelope{Result: &given})
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(envelope) <= limit {
		return envelope, nil
	}
	content, err := json.Marshal(given)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if err := toLog(content, log); err != nil {
		return nil, fmt.Errorf("write the result to the log: %w", err)
	}
	sum := sha256.Sum256(content)
	return json.Marshal(Envelope{Log: &LogPointer{Size: len(content), SHA256: hex.EncodeToString(sum[:])}})
}

// WrapFailure puts a failure into an envelope of at most limit bytes; a longer
// message is cut.
func WrapFailure(failure Failure, limit int) ([]byte, error) {
	for {
		envelope, err := json.Marshal(Envelope{Failure: &failure})
		if err != nil {
			return nil, fmt.Errorf("encode the failure: %w", err)
		}
		over := len(envelope) - limit
		characters := utf8.RuneCountInString(failure.Message)
		if over <= 0 || characters == 0 {
			return envelope, nil
		}
		// A character takes at most six bytes (\u0000): this never cuts too much,
		// and the next round cuts more if it was too little.
		failure.Message = limits.Cut(failure.Message, characters-max(over/6, 1))
	}
}

// WrapProgress puts what the steps said last into an envelope of at most limit bytes; longer
// texts are cut.
func WrapProgress(given Progress, limit int) []byte {
	return given.encodeWithin(limit, func(given Progress) []byte {
		envelope, err := json.Marshal(Envelope{Progress: &given})
		if err != nil {
			panic(err) // texts and a number can always be encoded
		}
		return envelope
	})
}

// toLog writes content as JSON strings, a chunk a line.
func toLog(content []byte, log io.Writer) error {
	text := []rune(string(content))
	var out bytes.Buffer
	for len(text) > 0 {
		n := min(len(text), logChunk/4)
		line, err := json.Marshal(string(text[:n]))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s%s\n", logPrefix, line)
		text = text[n:]
	}
	_, err := log.Write(out.Bytes())
	return err
}

// maxLogged is more than the JSON of any result that ParseFiles gives, in
// bytes: all output variables take 720 KiB when each byte is escaped, the texts
// and the token 100 KiB. It bounds what the operator holds of a log.
const maxLogged = 1 << 20

// ResultFromLog reads the result that pointer announced from a container's log,
// whatever else is in it. The error is ErrLogLost when the log does not hold
// it, and another when the log can't be read.
func ResultFromLog(log io.Reader, pointer LogPointer) (*RunResult, error) {
	if pointer.Size > maxLogged {
		return nil, fmt.Errorf("%w: its pointer gives a size of %d bytes, and none has more than %d", ErrLogLost, pointer.Size, maxLogged)
	}
	content, err := collect(log, pointer.Size)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	if len(content) != pointer.Size || hex.EncodeToString(sum[:]) != pointer.SHA256 {
		return nil, fmt.Errorf("%w: %d bytes of %d are there", ErrLogLost, len(content), pointer.Size)
	}
	var given RunResult
	if err := json.Unmarshal(content, &given); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogLost, err)
	}
	return &given, nil
}

// collect joins the chunks in a log, up to a little over size bytes.
func collect(log io.Reader, size int) ([]byte, error) {
	var content bytes.Buffer
	if size <= 0 {
		return nil, nil
	}
	err := eachLine(log, 64<<10, func(line []byte) bool {
		content.WriteString(chunkOf(line))
		return content.Len() < size
	})
	return content.Bytes(), err
}

// chunkOf is the part of the result in a line of the log, empty in all others.
func chunkOf(line []byte) string {
	quoted, marked := bytes.CutPrefix(line, []byte(logPrefix))
	if !marked {
		return ""
	}
	var chunk string
	if json.Unmarshal(quoted, &chunk) != nil {
		return "" // altered: the digest will tell
	}
	return chunk
}
