package podcontract

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

func TestParseProgress(t *testing.T) {
	all := Progress{PercentComplete: ptr.To[int32](40), Summary: "s", ExternalExecutionID: "e"}
	cases := map[string]struct {
		files map[string]string
		want  Progress
	}{
		"nothing":                     {nil, Progress{}},
		"all":                         {map[string]string{FilePercentComplete: " 40\r\n", FileSummary: "s\n", FileExternalExecutionID: "\te "}, all},
		"all as JSON":                 {map[string]string{FileResult: `{"percentComplete":40,"summary":"s","externalExecutionId":"e","outputVariables":{"A":"1"}}`}, all},
		"0 percent":                   {map[string]string{FilePercentComplete: "0"}, Progress{PercentComplete: ptr.To[int32](0)}},
		"100 percent":                 {map[string]string{FilePercentComplete: "100"}, Progress{PercentComplete: ptr.To[int32](100)}},
		"empty files":                 {map[string]string{FilePercentComplete: "", FileSummary: "", FileExternalExecutionID: "", FileResult: ""}, Progress{}},
		"blank files":                 {map[string]string{FilePercentComplete: "\n", FileSummary: "\n", FileExternalExecutionID: " ", FileResult: "\n"}, Progress{}},
		"half a number":               {map[string]string{FilePercentComplete: "-", FileSummary: "s"}, Progress{Summary: "s"}},
		"no number":                   {map[string]string{FilePercentComplete: "40%", FileSummary: "s"}, Progress{Summary: "s"}},
		"over 100 percent":            {map[string]string{FilePercentComplete: "101", FileSummary: "s"}, Progress{Summary: "s"}},
		"a number far too long":       {map[string]string{FilePercentComplete: strings.Repeat("4", maxProgressText+1)}, Progress{}},
		"half a character":            {map[string]string{FileSummary: "\xc3", FileExternalExecutionID: "e"}, Progress{ExternalExecutionID: "e"}},
		"half of the JSON":            {map[string]string{FileResult: `{"percentComplete":40,"summary":"s`}, Progress{}},
		"JSON that is no object":      {map[string]string{FileResult: `40`}, Progress{}},
		"JSON that is not UTF-8":      {map[string]string{FileResult: "{\"summary\":\"\xff\"}"}, Progress{}},
		"JSON over the maximum":       {map[string]string{FileResult: `{"percentComplete":40}` + strings.Repeat(" ", MaxResultFile) + "x"}, Progress{PercentComplete: ptr.To[int32](40)}},
		"JSON with a bad percentage":  {map[string]string{FileResult: `{"percentComplete":40.5,"summary":"s"}`}, Progress{Summary: "s"}},
		"JSON with 101 percent":       {map[string]string{FileResult: `{"percentComplete":101,"summary":"s"}`}, Progress{Summary: "s"}},
		"JSON with a text for it":     {map[string]string{FileResult: `{"percentComplete":"40","summary":"s"}`}, Progress{Summary: "s"}},
		"JSON with a bad summary":     {map[string]string{FileResult: `{"percentComplete":40,"summary":1,"externalExecutionId":"e"}`}, Progress{PercentComplete: ptr.To[int32](40), ExternalExecutionID: "e"}},
		"JSON with nulls":             {map[string]string{FileResult: `{"percentComplete":null,"summary":null,"externalExecutionId":null}`}, Progress{}},
		"JSON with unknown members":   {map[string]string{FileResult: `{"percentComplete":40,"note":"s"}`}, Progress{PercentComplete: ptr.To[int32](40)}},
		"files of their own win":      {map[string]string{FileResult: `{"percentComplete":40,"summary":"s","externalExecutionId":"j"}`, FileExternalExecutionID: "e"}, all},
		"rules of other files":        {map[string]string{FileSummary: "s", FileContinuationToken: "", FileRevision: "{", "note": "x"}, Progress{Summary: "s"}},
		"a folder of a known name":    {map[string]string{FileSummary + "/x": "s", FileExternalExecutionID: "e"}, Progress{ExternalExecutionID: "e"}},
		"a summary of 2048":           {map[string]string{FileSummary: strings.Repeat("ü", 2048)}, Progress{Summary: strings.Repeat("ü", 2048)}},
		"a summary of 2049":           {map[string]string{FileSummary: strings.Repeat("ü", 2049)}, Progress{Summary: strings.Repeat("ü", 2047) + "…"}},
		"a summary without end":       {map[string]string{FileSummary: "x" + strings.Repeat("ü", maxProgressText)}, Progress{Summary: "x" + strings.Repeat("ü", 2046) + "…"}},
		"an ID of 1500":               {map[string]string{FileExternalExecutionID: strings.Repeat("😀", 1500)}, Progress{ExternalExecutionID: strings.Repeat("😀", 1500)}},
		"an ID of 1501":               {map[string]string{FileExternalExecutionID: strings.Repeat("😀", 1501)}, Progress{ExternalExecutionID: strings.Repeat("😀", 1499) + "…"}},
		"a summary of 2049 from JSON": {map[string]string{FileResult: `{"summary":"` + strings.Repeat("ü", 2049) + `"}`}, Progress{Summary: strings.Repeat("ü", 2047) + "…"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			progress, err := ParseProgress(filesOf(c.files))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(progress).To(Equal(c.want))
		})
	}
}

func TestParseProgressFollowsNoSymbolicLink(t *testing.T) {
	g := NewWithT(t)
	progress, err := ParseProgress(fstest.MapFS{
		"elsewhere":             {Data: []byte("s")},
		FileSummary:             {Data: []byte("elsewhere"), Mode: fs.ModeSymlink | 0o777},
		FileExternalExecutionID: {Data: []byte("e")},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(progress).To(Equal(Progress{ExternalExecutionID: "e"}))
}

// denied is a folder with a file that can't be opened.
type denied struct {
	fs.FS
	name string
}

func (d denied) Open(name string) (fs.File, error) {
	if name == d.name {
		return nil, fs.ErrPermission
	}
	return d.FS.Open(name)
}

func TestParseProgressNamesAFileThatCantBeRead(t *testing.T) {
	g := NewWithT(t)
	folder := filesOf(map[string]string{FileSummary: "s", FilePercentComplete: "40"})
	progress, err := ParseProgress(denied{folder, FileSummary})
	g.Expect(err).To(MatchError("summary: permission denied"))
	g.Expect(err).To(MatchError(fs.ErrPermission))
	g.Expect(progress).To(Equal(Progress{PercentComplete: ptr.To[int32](40)}))
}

func TestParseProgressReadsWhatParseFilesReads(t *testing.T) {
	g := NewWithT(t)
	folder := t.TempDir()
	for name, content := range map[string]string{FileSummary: " a\nb ", FilePercentComplete: "+7", FileExternalExecutionID: "x/y"} {
		g.Expect(os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600)).To(Succeed())
	}
	given, err := ParseResultFiles(os.DirFS(folder))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ParseProgress(os.DirFS(folder))).To(Equal(Progress{given.PercentComplete, given.Summary, given.ExternalExecutionID}))
}

func TestProgressEqual(t *testing.T) {
	full := func() Progress {
		return Progress{PercentComplete: ptr.To[int32](1), Summary: "s", ExternalExecutionID: "e"}
	}
	others := map[string]func(*Progress){
		"percentage":    func(p *Progress) { *p.PercentComplete = 2 },
		"no percentage": func(p *Progress) { p.PercentComplete = nil },
		"summary":       func(p *Progress) { p.Summary = "" },
		"ID":            func(p *Progress) { p.ExternalExecutionID = "f" },
	}
	g := NewWithT(t)
	g.Expect(full().Equal(full())).To(BeTrue())
	none := Progress{}
	g.Expect(none.Equal(Progress{})).To(BeTrue())
	for name, change := range others {
		other := full()
		change(&other)
		g.Expect(full().Equal(other)).To(BeFalse(), name)
		g.Expect(other.Equal(full())).To(BeFalse(), name)
	}
}

func TestProgressLinePassesThroughALog(t *testing.T) {
	for _, character := range []string{"x", "\"", "\\", "<", "\n", "\x00", "ä", "\U0001F600", "\u2028", "\x7f", "\xff"} {
		for _, length := range []int{0, 1, 1500, 2048, 10_000} {
			t.Run(fmt.Sprintf("%q, %d times", character, length), func(t *testing.T) {
				g := NewWithT(t)
				text := strings.Repeat(character, length)
				line := ProgressLine(Progress{PercentComplete: ptr.To[int32](100), Summary: text, ExternalExecutionID: text})
				g.Expect(len(line)).To(BeNumerically("<", 16<<10), "container runtimes split longer lines")
				g.Expect(strings.Count(string(line), "\n")).To(Equal(1))
				g.Expect(string(line)).To(And(HavePrefix("codepipeline-progress {"), HaveSuffix("}\n")))
				last, err := LastProgress(strings.NewReader("other\n" + string(line) + "other\n"))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(last).NotTo(BeNil())
				g.Expect(last.PercentComplete).To(HaveValue(Equal(int32(100))))
				readable := strings.ToValidUTF8(strings.Repeat(character, min(length, 1000)), "\uFFFD")
				if character == "\xff" {
					readable = strings.Repeat("\uFFFD", min(length, 1000))
				}
				g.Expect(last.Summary).To(HavePrefix(readable))
				g.Expect(last.ExternalExecutionID).To(HavePrefix(readable))
				g.Expect(utf8.RuneCountInString(last.Summary)).To(BeNumerically("<=", min(length, 2048)))
				g.Expect(utf8.RuneCountInString(last.ExternalExecutionID)).To(BeNumerically("<=", min(length, 1500)))
			})
		}
	}
}

func TestProgressLineCutsNoTextThatFits(t *testing.T) {
	g := NewWithT(t)
	given := Progress{Summary: strings.Repeat("\U0001F600", 2048), ExternalExecutionID: strings.Repeat("<", 1500)}
	g.Expect(LastProgress(strings.NewReader(string(ProgressLine(given))))).To(HaveValue(Equal(given)))
	g.Expect(string(ProgressLine(Progress{}))).To(Equal("codepipeline-progress {}\n"))
	g.Expect(string(ProgressLine(Progress{PercentComplete: ptr.To[int32](0), Summary: "a & b"}))).
		To(Equal(`codepipeline-progress {"percentComplete":0,"summary":"a & b"}` + "\n"))
}

func TestLastProgress(t *testing.T) {
	one, two := string(ProgressLine(Progress{Summary: "one"})), string(ProgressLine(Progress{Summary: "two"}))
	cases := map[string]struct {
		log  string
		want string // the summary; empty means no progress
	}{
		"an empty log":               {"", ""},
		"other lines":                {"a\n{\"summary\":\"x\"}\n\ncodepipeline-progress\n", ""},
		"one line":                   {one, "one"},
		"the last of several":        {one + two, "two"},
		"between others":             {"a\n" + one + "b\n" + two + "\nc", "two"},
		"without a newline":          {one + strings.TrimSuffix(two, "\n"), "two"},
		"the last is cut":            {one + two[:len(two)-2], "one"},
		"only a cut line":            {two[:len(two)-2], ""},
		"begins in a line":           {one[5:] + two, "two"},
		"two writers in a line":      {one + "codepipeline-progress {\"sum" + two, "one"},
		"not at the line's start":    {one + " " + two, "one"},
		"something behind it":        {one + strings.TrimSuffix(two, "\n") + " x\n", "one"},
		"carriage returns":           {strings.ReplaceAll(one+two, "\n", "\r\n"), "two"},
		"no object":                  {one + "codepipeline-progress null\ncodepipeline-progress \"x\"\ncodepipeline-progress [1]\n", "one"},
		"a member of another type":   {one + "codepipeline-progress {\"summary\":1}\n", "one"},
		"over 100 percent":           {one + "codepipeline-progress {\"summary\":\"two\",\"percentComplete\":101}\n", "one"},
		"below 0 percent":            {one + "codepipeline-progress {\"summary\":\"two\",\"percentComplete\":-1}\n", "one"},
		"members of a later version": {one + "codepipeline-progress {\"summary\":\"two\",\"phase\":\"x\"}\n", "two"},
		"a long line before":         {strings.Repeat("y", 300_000) + "\n" + one, "one"},
		"a long line that ends so":   {one + strings.Repeat("y", 300_000) + two, "one"},
		"a long line behind":         {one + progressPrefix + strings.Repeat("y", 300_000), "one"},
		"a line that is too long":    {one + progressPrefix + `{"summary":"two"` + strings.Repeat(" ", maxProgressLine) + "}\n", "one"},
		"zero bytes":                 {one + "\x00" + two, "one"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			last, err := LastProgress(strings.NewReader(c.log))
			g.Expect(err).NotTo(HaveOccurred())
			if c.want == "" {
				g.Expect(last).To(BeNil())
				return
			}
			g.Expect(last).To(HaveValue(Equal(Progress{Summary: c.want})))
		})
	}
}

func TestLastProgressCutsWhatIsOverTheLimits(t *testing.T) {
	g := NewWithT(t)
	long := strings.Repeat("x", 3000)
	last, err := LastProgress(strings.NewReader(fmt.Sprintf("%s{\"summary\":%q,\"externalExecutionId\":%q}\n", progressPrefix, long, long)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last).To(HaveValue(Equal(Progress{Summary: long[:2047] + "…", ExternalExecutionID: long[:1499] + "…"})))
}

func TestLastProgressTellsALogThatCantBeRead(t *testing.T) {
	g := NewWithT(t)
	broken := errors.New("connection reset")
	log := io.MultiReader(strings.NewReader(string(ProgressLine(Progress{Summary: "s"}))), iotest.ErrReader(broken))
	last, err := LastProgress(log)
	g.Expect(err).To(MatchError(broken))
	g.Expect(last).To(BeNil())
}

// endless is a log of one character that never ends a line.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	e.left -= n
	return n, nil
}

func TestLastProgressHoldsNoMoreThanALine(t *testing.T) {
	g := NewWithT(t)
	log := io.MultiReader(strings.NewReader(progressPrefix), &endless{left: 64 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	last, err := LastProgress(log)
	runtime.ReadMemStats(&after)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last).To(BeNil())
	g.Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 1<<20))
}

func FuzzLastProgress(f *testing.F) {
	line := string(ProgressLine(Progress{PercentComplete: ptr.To[int32](40), Summary: "s <\"\n\x00ü", ExternalExecutionID: "e"}))
	for _, seed := range []string{"", "\n", "other\n", line, line + line[:20], line[3:] + line, progressPrefix + "{}", progressPrefix + "{\"summary\":\"\xff\"}\n",
		progressPrefix + `{"percentComplete":101}`, progressPrefix + `{"percentComplete":1e2}`, progressPrefix + "null\n", line + strings.Repeat("x", 20_000) + line} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, log string) {
		last, err := LastProgress(strings.NewReader(log))
		if err != nil {
			t.Fatalf("a readable log returned %v", err)
		}
		if last != nil {
			checkProgress(t, *last)
		}
		// Whatever a log has, a progress line after it is the last one.
		next := Progress{Summary: "next"}
		got, err := LastProgress(strings.NewReader(log + "\n" + string(ProgressLine(next)) + log[:min(len(log), len(progressPrefix))]))
		if err != nil || got == nil || !got.Equal(next) {
			t.Fatalf("the last line returned %v, %v", got, err)
		}
	})
}

// checkProgress checks that the progress is within the limits, and survives a round trip through a
// log.
func checkProgress(t *testing.T, given Progress) {
	t.Helper()
	if p := given.PercentComplete; p != nil && (*p < 0 || *p > 100) {
		t.Fatalf("%d percent", *p)
	}
	short := func(text string, limit int) bool {
		return utf8.ValidString(text) && utf8.RuneCountInString(text) <= limit
	}
	if !short(given.Summary, limits.Summary) || !short(given.ExternalExecutionID, limits.ExternalExecutionID) {
		t.Fatalf("not texts within the limits: %q, %q", given.Summary, given.ExternalExecutionID)
	}
	if len(encodeProgress(given)) > maxProgressLine {
		return // it is cut
	}
	again, err := LastProgress(strings.NewReader(string(ProgressLine(given))))
	if err != nil || again == nil || !again.Equal(given) {
		t.Fatalf("%v became %v, %v", given, again, err)
	}
}

func FuzzParseProgress(f *testing.F) {
	for _, seed := range []string{"", "40", " 4", "{}", "null", `{"percentComplete":40,"summary":"s"}`, `{"percentComplete":"x"`, "\xff"} {
		for i := range ProgressFiles() {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, which int, content string) {
		names := ProgressFiles()
		folder := filesOf(map[string]string{names[uint(which)%uint(len(names))]: content})
		progress, err := ParseProgress(folder)
		if err != nil {
			t.Fatalf("a readable file returned %v", err)
		}
		// The progress must have everything that the strict check accepts at the end.
		given, err := ParseResultFiles(folder)
		strict := Progress{given.PercentComplete, given.Summary, given.ExternalExecutionID}
		strict.cut()
		if err == nil && !progress.Equal(strict) {
			t.Fatalf("the progress is %v, the result %v", progress, strict)
		}
	})
}
