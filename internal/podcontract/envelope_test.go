package podcontract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

func TestWrapCarriesASmallResultInline(t *testing.T) {
	g := NewWithT(t)
	percent := int32(7)
	given := RunResult{Result: Result{Summary: "a <b> & \"c\"\n", PercentComplete: &percent, OutputVariables: map[string]string{"K": "v"}}}
	var log bytes.Buffer
	message, err := WrapResult(given, limits.TerminationMessage, &log)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log.Len()).To(BeZero())
	envelope, err := ParseEnvelope(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Result).To(HaveValue(Equal(given)))
}

func TestWrapCarriesAnEmptyResultInline(t *testing.T) {
	g := NewWithT(t)
	message, err := WrapResult(RunResult{}, limits.TerminationMessage, io.Discard)
	g.Expect(err).NotTo(HaveOccurred())
	envelope, err := ParseEnvelope(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Result).To(HaveValue(Equal(RunResult{})))
}

func TestWrapGoesThroughTheLogOnlyOverTheLimit(t *testing.T) {
	g := NewWithT(t)
	given := RunResult{Result: Result{Summary: strings.Repeat("x", 1000)}}
	whole, err := WrapResult(given, limits.TerminationMessage, io.Discard)
	g.Expect(err).NotTo(HaveOccurred())

	var log bytes.Buffer
	at, err := WrapResult(given, len(whole), &log)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(at).To(Equal(whole))
	g.Expect(log.Len()).To(BeZero())

	over, err := WrapResult(given, len(whole)-1, &log)
	g.Expect(err).NotTo(HaveOccurred())
	envelope, err := ParseEnvelope(string(over))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Log).NotTo(BeNil())
	g.Expect(ResultFromLog(&log, *envelope.Log)).To(HaveValue(Equal(given)))
}

func TestWrapGivesTheErrorOfTheLog(t *testing.T) {
	_, err := WrapResult(RunResult{Result: Result{Summary: strings.Repeat("x", 100)}}, 50, failingWriter{})
	NewWithT(t).Expect(err).To(MatchError("write the result to the log: pipe is closed"))
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("pipe is closed") }

// throughLog wraps a result that is too large, and returns its log and pointer.
func throughLog(t *testing.T, given RunResult) (string, LogPointer) {
	t.Helper()
	g := NewWithT(t)
	var log bytes.Buffer
	message, err := WrapResult(given, limits.TerminationMessage, &log)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(message)).To(BeNumerically("<=", 200))
	envelope, err := ParseEnvelope(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Log).NotTo(BeNil())
	return log.String(), *envelope.Log
}

// largest returns a result with as many bytes of output variables as allowed.
func largest(value string) RunResult {
	given := RunResult{Result: Result{OutputVariables: map[string]string{}}}
	for i := range 8 {
		key := fmt.Sprintf("K%d", i)
		size := limits.OutputVariables/8 - len(key)
		text := strings.Repeat(value, size/len(value))
		given.OutputVariables[key] = text + strings.Repeat("x", size-len(text))
	}
	return given
}

func TestTheLargestResultPassesThroughTheLog(t *testing.T) {
	for _, value := range []string{"v", "\"", "\\", "<", "\n", "\x00", "ä", "\U0001F600", "\u2028", "\x7f"} {
		t.Run(fmt.Sprintf("%q", value), func(t *testing.T) {
			g := NewWithT(t)
			given := largest(value)
			g.Expect(given.Validate()).To(Succeed())
			log, pointer := throughLog(t, given)
			var mixed strings.Builder
			for line := range strings.Lines(log) {
				g.Expect(len(line)).To(BeNumerically("<", 16<<10), "container runtimes split longer lines")
				g.Expect(utf8.ValidString(line)).To(BeTrue())
				mixed.WriteString("a line of another kind\n" + line + "\n codepipeline-result \"no\"\n")
			}
			g.Expect(ResultFromLog(strings.NewReader(mixed.String()), pointer)).To(HaveValue(Equal(given)))
		})
	}
}

func TestFromLogPassesOverLinesOfAnyLength(t *testing.T) {
	g := NewWithT(t)
	given := largest("v")
	log, pointer := throughLog(t, given)
	long := strings.Repeat("y", 300_000) + logPrefix + `"no"` + "\n"
	g.Expect(ResultFromLog(strings.NewReader(long+log+long), pointer)).To(HaveValue(Equal(given)))
}

func TestFromLogTakesALogThatEndsWithoutANewline(t *testing.T) {
	g := NewWithT(t)
	given := largest("v")
	log, pointer := throughLog(t, given)
	g.Expect(ResultFromLog(strings.NewReader(strings.TrimSuffix(log, "\n")), pointer)).To(HaveValue(Equal(given)))
}

func TestFromLogTellsALogThatLostTheResult(t *testing.T) {
	log, pointer := throughLog(t, largest("v"))
	lines := strings.SplitAfter(log, "\n")
	cases := map[string]string{
		"empty":                     "",
		"cut in the middle":         log[:len(log)/2],
		"cut at the last byte":      strings.TrimSuffix(log, "\"\n"),
		"begins late":               strings.Join(lines[1:], ""),
		"lost a line in the middle": strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""),
		"altered":                   strings.Replace(log, "vvv", "vwv", 1),
		"a line that is no string":  logPrefix + "{\n" + strings.Join(lines[1:], ""),
		"a forged line":             logPrefix + "\"{}\"\n" + log,
		"lines in another order":    lines[1] + lines[0] + strings.Join(lines[2:], ""),
	}
	for name, altered := range cases {
		t.Run(name, func(t *testing.T) {
			given, err := ResultFromLog(strings.NewReader(altered), pointer)
			g := NewWithT(t)
			g.Expect(err).To(MatchError(ErrLogLost))
			g.Expect(given).To(BeNil())
		})
	}
}

func TestFromLogHoldsNoMoreThanAnyResultHas(t *testing.T) {
	g := NewWithT(t)
	endless := strings.NewReader(strings.Repeat(logPrefix+"\"x\"\n", 10))
	_, err := ResultFromLog(endless, LogPointer{Size: maxLogged + 1})
	g.Expect(err).To(MatchError(ErrLogLost))
	g.Expect(endless.Len()).To(BeNumerically(">", 0), "nothing of it is read")
	given := largest("\x00")
	text := strings.Repeat("\x00", limits.RevisionSummary)
	given.Summary, given.ExternalExecutionID = strings.Repeat("\x00", limits.Summary), strings.Repeat("\x00", limits.ExternalExecutionID)
	given.CurrentRevision = &Revision{
		Revision: strings.Repeat("\x00", limits.Revision), ChangeIdentifier: strings.Repeat("\x00", limits.ChangeIdentifier), RevisionSummary: text,
	}
	log, pointer := throughLog(t, given)
	g.Expect(ResultFromLog(strings.NewReader(log), pointer)).To(HaveValue(Equal(given)))
}

func TestFromLogTellsWhatIsNoResult(t *testing.T) {
	g := NewWithT(t)
	content := `"no object"`
	sum := sha256.Sum256([]byte(content))
	var log bytes.Buffer
	g.Expect(toLog([]byte(content), &log)).To(Succeed())
	_, err := ResultFromLog(&log, LogPointer{Size: len(content), SHA256: hex.EncodeToString(sum[:])})
	g.Expect(err).To(MatchError(ErrLogLost))
}

func TestFromLogKeepsAReadErrorApart(t *testing.T) {
	g := NewWithT(t)
	broken := errors.New("connection reset")
	_, err := ResultFromLog(iotest.ErrReader(broken), LogPointer{Size: 5})
	g.Expect(err).To(MatchError(broken))
	g.Expect(err).NotTo(MatchError(ErrLogLost))
}

func TestParseEnvelopeWantsExactlyOneMember(t *testing.T) {
	cases := map[string]string{
		"":                                    "the termination message is empty",
		" \n":                                 "the termination message is empty",
		"panic: boom":                         "the termination message is not an envelope",
		`{"result":{"summary":"cu`:            "the termination message is not an envelope",
		`{}`:                                  "one of result, log, failure and progress, not 0",
		`{"result":null}`:                     "not 0",
		`{"result":{},"failure":{}}`:          "not 2",
		`{"result":{},"failure":{},"log":{}}`: "not 3",
	}
	for message, want := range cases {
		t.Run(message, func(t *testing.T) {
			_, err := ParseEnvelope(message)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)))
		})
	}
}

func TestWrapFailureKeepsAMessageThatFits(t *testing.T) {
	g := NewWithT(t)
	failure := Failure{Type: "PermissionError", Message: "line 1\nline \"2\""}
	message, err := WrapFailure(failure, limits.TerminationMessage)
	g.Expect(err).NotTo(HaveOccurred())
	envelope, err := ParseEnvelope(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Failure).To(HaveValue(Equal(failure)))
}

func TestWrapFailureIsNeverOverTheLimit(t *testing.T) {
	texts := []string{"x", "ä", "\U0001F600", "\n", "\"", "\\", "\x01", "<", "\u2028", "\xff", "a\U0001F600\n\"<\x02"}
	for _, text := range texts {
		for _, limit := range []int{80, 200, 300, 600, 1024, limits.TerminationMessage} {
			for _, times := range []int{1, limit / 7, limit/6 + 1, limit / 2, limit, 10 * limit} {
				g := NewWithT(t)
				message, err := WrapFailure(Failure{Type: "SystemUnavailable", Message: strings.Repeat(text, times)}, limit)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(len(message)).To(BeNumerically("<=", limit), "%q, %d times", text, times)
				envelope, err := ParseEnvelope(string(message))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(envelope.Failure.Type).To(Equal("SystemUnavailable"))
				g.Expect(utf8.ValidString(envelope.Failure.Message)).To(BeTrue())
			}
		}
	}
}

func TestWrapFailureCutsNoMoreThanItMust(t *testing.T) {
	g := NewWithT(t)
	message, err := WrapFailure(Failure{Type: "JobFailed", Message: strings.Repeat("x", 10_000)}, 1000)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(message)).To(BeNumerically(">=", 990))
	envelope, err := ParseEnvelope(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(envelope.Failure.Message).To(HaveSuffix("x…"))
}

func FuzzFromLog(f *testing.F) {
	var log bytes.Buffer
	_ = toLog([]byte(`{"summary":"s"}`), &log)
	f.Add(log.String(), 15)
	f.Add("codepipeline-result \"", 0)
	f.Add("codepipeline-result \"{}\"\ncodepipeline-result \"{}\"", 2)
	f.Add("other", -1)
	f.Fuzz(func(t *testing.T, log string, size int) {
		sum := sha256.Sum256([]byte(`{"summary":"s"}`))
		given, err := ResultFromLog(strings.NewReader(log), LogPointer{Size: size, SHA256: hex.EncodeToString(sum[:])})
		switch {
		case err == nil && given.Summary != "s":
			t.Fatalf("another result was accepted: %v", given)
		case err != nil && !errors.Is(err, ErrLogLost):
			t.Fatalf("a readable log returned %v", err)
		}
	})
}
