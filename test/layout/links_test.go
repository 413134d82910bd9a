package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

var (
	codeBlock  = regexp.MustCompile("(?ms)^```.*?^```$")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.+)$`)
	inAnchors  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksOfTheDocsLead checks that the target file and heading of each link between the pages
// exist.
func TestLinksOfTheDocsLead(t *testing.T) {
	g := NewWithT(t)
	pages, err := filepath.Glob("../../docs/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	top, err := filepath.Glob("../../*.md")
	g.Expect(err).NotTo(HaveOccurred())
	var links int
	for _, page := range append(pages, top...) {
		for _, target := range link.FindAllStringSubmatch(withoutCode(g, page), -1) {
			if strings.Contains(target[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(target[1], "#")
			leadsTo := page
			if file != "" {
				leadsTo = filepath.Join(filepath.Dir(page), file)
			}
			g.Expect(leadsTo).To(BeAnExistingFile(), "%s links to %s", page, target[1])
			if anchor != "" {
				g.Expect(anchors(g, leadsTo)).To(HaveKey(anchor), "%s links to %s", page, target[1])
			}
		}
	}
	g.Expect(links).To(BeNumerically(">", 100), "the pages were not read as they should be")
}

// anchors returns GitHub's anchors of the headings of a page.
func anchors(g *WithT, page string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(withoutBlocks(g, page), -1) {
		name := inAnchors.ReplaceAllString(strings.ToLower(match[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

func withoutCode(g *WithT, page string) string {
	return inlineCode.ReplaceAllString(withoutBlocks(g, page), "")
}

func withoutBlocks(g *WithT, page string) string {
	content, err := os.ReadFile(page)
	g.Expect(err).NotTo(HaveOccurred())
	return codeBlock.ReplaceAllString(string(content), "")
}
