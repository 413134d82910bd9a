package helper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// step is a step with its result folder.
type step struct {
	*WithT
	folder string
}

func newStep(t *testing.T, files map[string]string) step {
	t.Helper()
	s := step{NewWithT(t), t.TempDir()}
	for name, content := range files {
		s.Expect(os.WriteFile(filepath.Join(s.folder, name), []byte(content), 0o666)).To(Succeed())
	}
	return s
}

// run returns the exit code and the output.
func (s step) run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Program{Folder: s.folder, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}.Run(args)
	return code, out.String(), errs.String()
}

// files returns all files in the result folder, including hidden ones.
func (s step) files() map[string]string {
	found := map[string]string{}
	entries, err := os.ReadDir(s.folder)
	s.Expect(err).NotTo(HaveOccurred())
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(s.folder, entry.Name()))
		s.Expect(err).NotTo(HaveOccurred())
		found[entry.Name()] = string(content)
	}
	return found
}

func TestWhatCommandsWrite(t *testing.T) {
	type files = map[string]string
	cases := map[string]struct {
		before files
		stdin  string
		args   []string
		want   files
	}{
		"progress":                {nil, "", []string{"progress", "40"}, files{"percent-complete": "40\n"}},
		"progress with a summary": {nil, "", []string{"progress", "0", "integration tests"}, files{"percent-complete": "0\n", "summary": "integration tests\n"}},
		"progress, summary read":  {nil, "on\nand on", []string{"progress", "100", "-"}, files{"percent-complete": "100\n", "summary": "on\nand on"}},
		"progress anew":           {files{"percent-complete": "9", "summary": "s"}, "", []string{"progress", "10"}, files{"percent-complete": "10\n", "summary": "s"}},
		"a summary":               {nil, "", []string{"summary", "--- all done"}, files{"summary": "--- all done\n"}},
		"a summary that is read":  {nil, "ü", []string{"summary", "-"}, files{"summary": "ü"}},
		"an empty summary":        {files{"summary": "s"}, "", []string{"summary", ""}, files{"summary": "\n"}},
		"an external ID":          {nil, "", []string{"external-id", "build/7"}, files{"external-execution-id": "build/7\n"}},
		"a token":                 {nil, "", []string{"continue", "page 2"}, files{"continuation-token": "page 2\n"}},
		"a token that is read":    {nil, "page 2\n", []string{"continue", "-"}, files{"continuation-token": "page 2\n"}},
		"an external ID, read":    {nil, "build/7", []string{"external-id", "-"}, files{"external-execution-id": "build/7"}},
		"a revision's summary, read": {nil, "the first\n", []string{"revision", "--summary", "-", "r1", "c1"},
			files{"revision.json": `{"revision":"r1","changeIdentifier":"c1","revisionSummary":"the first"}`}},
		"a token beside no outputs": {files{"output-variables": "\n"}, "", []string{"continue", "t"}, files{"output-variables": "\n", "continuation-token": "t\n"}},
		"an output":                 {nil, "", []string{"output", "A=1"}, files{"output-variables": "A=1\n"}},
		"outputs":                   {nil, "", []string{"output", "B= x =", "A="}, files{"output-variables": "A=\nB= x =\n"}},
		"outputs beside others":     {files{"output-variables": "A=1\r\nB=2"}, "", []string{"output", "B=3", "C=4"}, files{"output-variables": "A=1\nB=3\nC=4\n"}},
		"outputs that are read":     {nil, "B=2\n\nA=1", []string{"output", "-"}, files{"output-variables": "A=1\nB=2\n"}},
		"a revision": {nil, "", []string{"revision", "r1", "c1"},
			files{"revision.json": `{"revision":"r1","changeIdentifier":"c1"}`}},
		"all of a revision": {nil, "", []string{"revision", "--created=2024-05-06T07:08:09Z", "--summary", "the \"first\"", "r1", "c1"},
			files{"revision.json": `{"revision":"r1","changeIdentifier":"c1","created":"2024-05-06T07:08:09Z","revisionSummary":"the \"first\""}`}},
		"beside what is wrong elsewhere": {files{"note": "no result file", "percent-complete": "x"}, "", []string{"summary", "s"},
			files{"note": "no result file", "percent-complete": "x", "summary": "s\n"}},
		"what a killed helper left": {files{".summary.next": "half"}, "", []string{"summary", "s"}, files{"summary": "s\n"}},
		"as many bytes as there may be": {nil, "", []string{"output", "K=" + strings.Repeat("v", 122879)},
			files{"output-variables": "K=" + strings.Repeat("v", 122879) + "\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStep(t, c.before)
			code, stdout, stderr := s.run(c.stdin, c.args...)
			s.Expect(code).To(Equal(exitOK), stderr)
			s.Expect(stdout + stderr).To(BeEmpty())
			s.Expect(s.files()).To(Equal(c.want))
		})
	}
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	type files = map[string]string
	cases := map[string]struct {
		before files
		stdin  string
		args   []string
		code   int
		says   string
	}{
		"no command":             {nil, "", nil, exitUsage, "codepipeline progress PERCENT"},
		"an unknown command":     {nil, "", []string{"done"}, exitUsage, "codepipeline done: unknown command: see codepipeline help"},
		"too few arguments":      {nil, "", []string{"progress"}, exitUsage, "usage: codepipeline progress PERCENT [SUMMARY]"},
		"too many arguments":     {nil, "", []string{"summary", "a", "b"}, exitUsage, "usage: codepipeline summary TEXT"},
		"no KEY=VALUE":           {nil, "", []string{"output", "A"}, exitUsage, `codepipeline output: "A" must be KEY=VALUE`},
		"a bad option":           {nil, "", []string{"revision", "--when", "now", "r", "c"}, exitUsage, "flag provided but not defined: -when"},
		"a bad time":             {nil, "", []string{"revision", "--created=now", "r", "c"}, exitUsage, `"now" for flag -created: must be a time as in`},
		"options at the end":     {nil, "", []string{"revision", "r", "c", "--summary=s"}, exitUsage, "usage: codepipeline revision [--created TIME]"},
		"half a revision":        {nil, "", []string{"revision", "--summary=s", "r"}, exitUsage, "usage: codepipeline revision"},
		"percent over 100":       {nil, "", []string{"progress", "101"}, exitRefused, `codepipeline progress: percent-complete: "101": must be a whole number from 0 to 100`},
		"percent with a sign":    {nil, "", []string{"progress", "40%", "s"}, exitRefused, `percent-complete: "40%": must be`},
		"summary not UTF-8":      {nil, "", []string{"summary", "\xff"}, exitRefused, "summary: not UTF-8"},
		"an empty token":         {nil, "", []string{"continue", " "}, exitRefused, "continuation-token: is empty"},
		"a long token":           {nil, "", []string{"continue", strings.Repeat("x", 2049)}, exitRefused, "continuationToken has 2049 characters"},
		"a token with outputs":   {files{"output-variables": "A=1"}, "", []string{"continue", "t"}, exitRefused, "outputVariables can't be given with a continuationToken"},
		"outputs with a token":   {files{"continuation-token": "t"}, "", []string{"output", "A=1"}, exitRefused, "outputVariables can't be given with a continuationToken"},
		"a bad key":              {nil, "", []string{"output", "A=1", "B.C=2"}, exitRefused, `output-variables: line 2: the key "B.C" may have only`},
		"a key twice":            {nil, "", []string{"output", "A=1", "A=2"}, exitRefused, `line 2: the key "A" is given twice`},
		"a line break":           {nil, "", []string{"output", "A=1\nB=2"}, exitRefused, `the value of "A" has a line break, which output-variables can't hold`},
		"a carriage return":      {nil, "", []string{"output", "A=1\r"}, exitRefused, `the value of "A" has a line break`},
		"carriage returns, read": {nil, "A=x\r\r\n", []string{"output", "-"}, exitRefused, `the value of "A" has a line break`},
		"half a character":       {nil, "", []string{"revision", "r\xff", "c"}, exitRefused, "revision.json: not UTF-8"},
		"too many bytes in all":  {files{"output-variables": "A=1"}, "", []string{"output", "K=" + strings.Repeat("v", 122878)}, exitRefused, "outputVariables have 122881 bytes in all: at most 122880"},
		"too much to read":       {nil, strings.Repeat("\n", 1<<20+1), []string{"output", "-"}, exitRefused, "output-variables: larger than 1048576 bytes"},
		"what is there is bad":   {files{"output-variables": "A=1\nB"}, "", []string{"output", "C=1"}, exitRefused, "output-variables: line 2: must be KEY=VALUE"},
		"beside result.json":     {files{"result.json": "{}"}, "", []string{"progress", "1"}, exitRefused, "result.json exists, and must then be the only file"},
		"a revision too long":    {nil, "", []string{"revision", strings.Repeat("r", 1501), "c"}, exitRefused, "currentRevision.revision has 1501 characters"},
		"an empty change":        {nil, "", []string{"revision", "r", ""}, exitRefused, "currentRevision.changeIdentifier has 0 characters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStep(t, c.before)
			before := s.files()
			code, stdout, stderr := s.run(c.stdin, c.args...)
			s.Expect(code).To(Equal(c.code))
			s.Expect(stderr).To(ContainSubstring(c.says))
			s.Expect(stdout).To(BeEmpty())
			s.Expect(s.files()).To(Equal(before))
		})
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	for _, help := range []string{"help", "--help", "-h"} {
		s := newStep(t, nil)
		code, stdout, stderr := s.run("", help)
		s.Expect(code).To(Equal(exitOK))
		s.Expect(stderr).To(BeEmpty())
		for name, command := range commands {
			s.Expect(stdout).To(MatchRegexp("(?m)^  codepipeline " + regexp.QuoteMeta(name+" "+command.takes) + "(  |$)"))
		}
	}
}

func TestASummaryMayBeOfAnyLength(t *testing.T) {
	s := newStep(t, nil)
	code, _, stderr := s.run(strings.Repeat("ü", 1<<20), "summary", "-")
	s.Expect(code).To(Equal(exitOK), stderr)
	s.Expect(s.files()["summary"]).To(HaveLen(1 << 20))
}

func TestWithoutAResultFolder(t *testing.T) {
	s := newStep(t, nil)
	s.folder = filepath.Join(s.folder, "none")
	code, _, stderr := s.run("", "progress", "1")
	s.Expect(code).To(Equal(exitRefused))
	s.Expect(stderr).To(ContainSubstring("open the result folder, which $CODEPIPELINE_RESULT names"))
	s.Expect(stderr).To(ContainSubstring(s.folder))
}

// helping is standard input from a program that itself uses the helper.
type helping struct {
	s    step
	text *strings.Reader
}

func (h helping) Read(p []byte) (int, error) {
	if code, _, stderr := h.s.run("", "progress", "50"); code != exitOK {
		return 0, errors.New(stderr)
	}
	return h.text.Read(p)
}

func TestStandardInputMayComeFromAHelper(t *testing.T) {
	s := newStep(t, nil)
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Program{Folder: s.folder, Stdin: helping{s, strings.NewReader("A=1\n")}, Stderr: &errs}.Run([]string{"output", "-"})
	}()
	s.Eventually(ended, 5*time.Minute).Should(Receive(Equal(exitOK)), errs.String)
	s.Expect(s.files()).To(Equal(map[string]string{"percent-complete": "50\n", "output-variables": "A=1\n"}))
}

func TestStandardInputThatBreaksOffChangesNothing(t *testing.T) {
	s := newStep(t, map[string]string{"summary": "before"})
	var errs bytes.Buffer
	program := Program{Folder: s.folder, Stdin: iotest.ErrReader(fs.ErrClosed), Stderr: &errs}
	s.Expect(program.Run([]string{"summary", "-"})).To(Equal(exitRefused))
	s.Expect(errs.String()).To(ContainSubstring("file already closed"))
	s.Expect(s.files()).To(Equal(map[string]string{"summary": "before"}))
}

func TestNoLinkIsFollowed(t *testing.T) {
	s := newStep(t, nil)
	elsewhere := filepath.Join(t.TempDir(), "file")
	s.Expect(os.WriteFile(elsewhere, []byte("A=1"), 0o600)).To(Succeed())
	for _, name := range []string{"summary", "output-variables", ".summary.next"} {
		s.Expect(os.Symlink(elsewhere, filepath.Join(s.folder, name))).To(Succeed())
	}
	code, _, stderr := s.run("", "summary", "s")
	s.Expect(code).To(Equal(exitOK), stderr)
	code, _, stderr = s.run("", "output", "B=1")
	s.Expect(code).To(Equal(exitRefused))
	s.Expect(stderr).To(ContainSubstring("output-variables: open output-variables: not a regular file"))
	s.Expect(os.ReadFile(elsewhere)).To(Equal([]byte("A=1")))
	info, err := os.Lstat(filepath.Join(s.folder, "summary"))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(info.Mode()).To(Equal(fs.FileMode(0o666)), "a file, in place of the link, for every user")
}

func TestManyAtATimeLoseNothing(t *testing.T) {
	const many = 50
	s := newStep(t, nil)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			code, _, stderr := s.run("", "output", fmt.Sprintf("K%d=%d", i, i))
			s.Expect(code).To(Equal(exitOK), stderr)
		})
	}
	group.Wait()
	given, err := podcontract.ParseResultFiles(os.DirFS(s.folder))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(given.OutputVariables).To(HaveLen(many))
}
