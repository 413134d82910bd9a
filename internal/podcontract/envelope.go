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

// ErrLogLost reports that a container's log does not have the result that the termination message
// announced: it was cut, rotated or changed.
var ErrLogLost = errors.New("the container's log does not hold the whole result")

// logPrefix marks the log lines that carry a result. It is unlikely in other lines, and the digest
// detects them.
const logPrefix = "codepipeline-result "

// logChunk keeps a line, including its quotes, below the 16 KiB at which container runtimes split
// lines.
const logChunk = 8 << 10

// ParseEnvelope parses the termination message of a wrapper container.
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

// WrapResult encodes a result as an envelope of at most limit bytes. It writes a result that does
// not fit to log, and the envelope points to it.
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

// WrapFailure encodes a failure as an envelope of at most limit bytes. It cuts the message to fit.
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
		// A character takes at most six bytes (\u0000), so this never cuts too much. If it cuts too
		// little, the next round cuts more.
		failure.Message = limits.Cut(failure.Message, characters-max(over/6, 1))
	}
}

// WrapProgress encodes the last progress of the steps as an envelope of at most limit bytes. It
// cuts the texts to fit.
func WrapProgress(given Progress, limit int) []byte {
	return given.encodeWithin(limit, func(given Progress) []byte {
		envelope, err := json.Marshal(Envelope{Progress: &given})
		if err != nil {
			panic(err) // texts and a number can always be encoded
		}
		return envelope
	})
}

// toLog writes content as JSON strings, one chunk per line.
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

// maxLogged is above the size of any valid result's JSON, in bytes: all output variables take 720
// KiB if every byte is escaped, and the texts and the token 100 KiB. It bounds what the operator
// keeps of a log in memory.
const maxLogged = 1 << 20

// ResultFromLog reads the result that pointer describes from a container's log, and ignores all
// other lines. The error is ErrLogLost if the log does not have the result, and another one if the
// log can't be read.
func ResultFromLog(log io.Reader, pointer LogPointer) (*RunResult, error) {
	if pointer.Size > maxLogged {
		return nil, fmt.Errorf("%w: its size of %d bytes exceeds the maximum of %d", ErrLogLost, pointer.Size, maxLogged)
	}
	content, err := collect(log, pointer.Size)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	if len(content) != pointer.Size || hex.EncodeToString(sum[:]) != pointer.SHA256 {
		return nil, fmt.Errorf("%w: it has %d of %d bytes", ErrLogLost, len(content), pointer.Size)
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

// chunkOf returns the part of the result in a line of the log, or an empty string.
func chunkOf(line []byte) string {
	quoted, marked := bytes.CutPrefix(line, []byte(logPrefix))
	if !marked {
		return ""
	}
	var chunk string
	if json.Unmarshal(quoted, &chunk) != nil {
		return "" // changed: the digest will not match
	}
	return chunk
}
