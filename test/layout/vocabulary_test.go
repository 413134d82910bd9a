package layout

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The docs must explain the words that users read: reasons of conditions, types of failures, and
// what a step may write as its result.

var (
	declaredReason  = regexp.MustCompile(`(?m)^\t(Reason\w+) += "(\w+)"`)
	declaredFailure = regexp.MustCompile(`(?m)^\t(Failure\w+) FailureType = "(\w+)"`)
	resultFile      = regexp.MustCompile(`(?m)^\tFile\w+ += "([\w.-]+)"`)
	resultMember    = regexp.MustCompile("`json:\"(\\w+)")
)

// notMade are failure types of CodePipeline that the operator does not report.
var notMade = map[string]bool{"FailureRevisionOutOfSync": true}

func TestReasonsAreExplainedAndUsed(t *testing.T) {
	g := NewWithT(t)
	pages := docs(g)
	program := goText(g, "cmd", "controllers", "internal")
	reasons := declaredReason.FindAllStringSubmatch(text(g, "api/v1alpha1/conditions.go"), -1)
	g.Expect(len(reasons)).To(BeNumerically(">", 50), "the file was not read as it should be")
	failures := declaredFailure.FindAllStringSubmatch(text(g, "api/v1alpha1/pipelinejob_status_types.go"), -1)
	g.Expect(failures).NotTo(BeEmpty())
	for _, found := range append(reasons, failures...) {
		constant, value := found[1], found[2]
		if notMade[constant] {
			continue
		}
		if !inCode(pages, value) {
			t.Errorf("%s: no page in docs/ explains `%s`; most are in troubleshooting.md", constant, value)
		}
		if !strings.Contains(program, "v1alpha1."+constant) && !strings.Contains(program, `"`+value+`"`) {
			t.Errorf("%s: the operator never uses it", constant)
		}
	}
}

// TestReasonsOfWaitingAreDiagnosed checks that a test of package diagnosis expects each reason for
// which a run may wait and then fail.
func TestReasonsOfWaitingAreDiagnosed(t *testing.T) {
	g := NewWithT(t)
	_, waiting, found := strings.Cut(text(g, "api/v1alpha1/conditions.go"), "\n// Reasons of a PipelineJob's condition Running while ")
	g.Expect(found).To(BeTrue())
	tests, err := filepath.Glob("../../internal/diagnosis/*_test.go")
	g.Expect(err).NotTo(HaveOccurred())
	var expected strings.Builder
	for _, file := range tests {
		expected.WriteString(text(g, filepath.Join("internal/diagnosis", filepath.Base(file))))
	}
	for _, reason := range declaredReason.FindAllStringSubmatch(waiting, -1) {
		if !strings.Contains(expected.String(), "v1alpha1."+reason[1]) {
			t.Errorf("%s: no test in internal/diagnosis expects it: add a case to TestWaiting", reason[1])
		}
	}
}

func TestResultsAreExplained(t *testing.T) {
	g := NewWithT(t)
	_, page, found := strings.Cut(text(g, "docs/steps.md"), "\n## Results\n")
	g.Expect(found).To(BeTrue())
	files := resultFile.FindAllStringSubmatch(text(g, "internal/podcontract/files.go"), -1)
	g.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		if !inCode(page, file[1]) {
			t.Errorf("docs/steps.md, Results, does not say what the file %s becomes", file[1])
		}
	}
	result, _, found := strings.Cut(text(g, "internal/podcontract/result.go"), "\n// Failure ")
	g.Expect(found).To(BeTrue())
	told := text(g, "docs/protocol.md")
	for _, member := range resultMember.FindAllStringSubmatch(result, -1) {
		if !strings.Contains(page, `"`+member[1]+`"`) && !inCode(page, member[1]) {
			t.Errorf("docs/steps.md, Results, does not show the member %s of result.json", member[1])
		}
		if !inCode(told, member[1]) {
			t.Errorf("docs/protocol.md, What is reported to CodePipeline, does not have %s", member[1])
		}
	}
}

// inCode reports whether a page has a word as code.
func inCode(page, word string) bool {
	return regexp.MustCompile("`(?:[^`\n]*[^\\w`\n])?" + regexp.QuoteMeta(word) + "(?:[^\\w`\n][^`\n]*)?`").MatchString(page)
}

func text(g *WithT, file string) string {
	content, err := os.ReadFile(filepath.Join("../..", file))
	g.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

func docs(g *WithT) string {
	pages, err := filepath.Glob("../../docs/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	var all strings.Builder
	for _, page := range pages {
		all.WriteString(text(g, filepath.Join("docs", filepath.Base(page))))
	}
	return all.String()
}

// goText returns the text of the Go files below some folders, without tests.
func goText(g *WithT, folders ...string) string {
	var all strings.Builder
	for _, folder := range folders {
		g.Expect(filepath.WalkDir(filepath.Join("../..", folder), func(file string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
				return err
			}
			content, err := os.ReadFile(file)
			all.Write(content)
			return err
		})).To(Succeed())
	}
	return all.String()
}
