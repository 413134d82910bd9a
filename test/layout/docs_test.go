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

// TestTestsThatTheDocsNameExist holds the names of tests in docs/testing.md against the
// tests that there are.
func TestTestsThatTheDocsNameExist(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile("../../docs/testing.md")
	g.Expect(err).NotTo(HaveOccurred())
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(content), -1)
	g.Expect(named).NotTo(BeEmpty())
	existing := tests(g)
	for _, name := range named {
		g.Expect(existing).To(HaveKey(name[1]), "docs/testing.md names it")
	}
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
