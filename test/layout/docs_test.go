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

var nameOfATest = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

// TestTestsThatTheDocsNameExist compares the names of tests in the docs with the existing tests.
func TestTestsThatTheDocsNameExist(t *testing.T) {
	g := NewWithT(t)
	existing := tests(g)
	for _, page := range []string{"testing.md", "threat-model.md"} {
		g.Expect(doc(g, page)).To(MatchRegexp(nameOfATest.String()), page)
	}
	pages, err := filepath.Glob("../../docs/adr/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	for _, page := range append(pages, "../../docs/testing.md", "../../docs/threat-model.md", "../../CONTRIBUTING.md") {
		content, err := os.ReadFile(page)
		g.Expect(err).NotTo(HaveOccurred())
		for _, name := range nameOfATest.FindAllSubmatch(content, -1) {
			g.Expect(existing).To(HaveKey(string(name[1])), "%s names it", page)
		}
	}
}

// TestExceptionsNameTestsThatExist does the same for the commands in the docs that a test other
// than TestCommandsOfTheDocs runs.
func TestExceptionsNameTestsThatExist(t *testing.T) {
	g := NewWithT(t)
	existing := tests(g)
	_, exceptions, _ := strings.Cut(text(g, "test/integration/doccommands_test.go"), "var notRunHere = ")
	exceptions, _, found := strings.Cut(exceptions, "\n}\n")
	g.Expect(found).To(BeTrue())
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(exceptions, -1)
	g.Expect(named).NotTo(BeEmpty())
	for _, name := range named {
		g.Expect(existing).To(HaveKey(name), "the exception names it")
	}
}

// TestEachDefenceNamesItsTests checks that each line of the threat model's defences names a test.
func TestEachDefenceNamesItsTests(t *testing.T) {
	g := NewWithT(t)
	_, text, found := strings.Cut(doc(g, "threat-model.md"), "\n## What is defended\n")
	g.Expect(found).To(BeTrue())
	text, _, found = strings.Cut(text, "\n## What is not defended\n")
	g.Expect(found).To(BeTrue())
	var lines int
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack ") || strings.HasPrefix(line, "| --- ") {
			continue
		}
		lines++
		g.Expect(line).To(MatchRegexp(nameOfATest.String()))
	}
	g.Expect(lines).To(BeNumerically(">", 20), "the page was not read as it should be")
}

func doc(g *WithT, page string) string {
	content, err := os.ReadFile(filepath.Join("../../docs", page))
	g.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// tests returns the names of all tests of this module.
func tests(g *WithT) map[string]bool {
	found := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	g.Expect(filepath.WalkDir("../..", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		content, err := os.ReadFile(file)
		for _, match := range declared.FindAllSubmatch(content, -1) {
			found[string(match[1])] = true
		}
		return err
	})).To(Succeed())
	return found
}
