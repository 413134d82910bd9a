package layout

import (
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestContributingNamesEachPackage compares the table of CONTRIBUTING.md with the packages.
func TestContributingNamesEachPackage(t *testing.T) {
	g := NewWithT(t)
	page := text(g, "CONTRIBUTING.md")
	for _, layer := range layers {
		for _, r := range layer {
			name := strings.TrimSuffix(r.name, "/...")
			named := inCode(page, name) || inCode(page, name+"/")
			if folder, _, _ := strings.Cut(name, "/"); folder == "cmd" {
				named = inCode(page, "cmd/")
			}
			if !named {
				t.Errorf("CONTRIBUTING.md does not say what %s is for", name)
			}
		}
	}
}

// TestHelperIsSmall checks what CONTRIBUTING.md says about the helper, of which each pod gets a
// copy: it uses only the standard library, and a JSON parser that reports duplicates and positions.
func TestHelperIsSmall(t *testing.T) {
	g := NewWithT(t)
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{.Module.Path}}{{end}}", "./cmd/step")
	list.Dir = "../.."
	output, err := list.Output()
	g.Expect(err).NotTo(HaveOccurred())
	for name := range strings.FieldsSeq(string(output)) {
		g.Expect(name).To(BeElementOf(strings.TrimSuffix(module, "/"), "github.com/go-json-experiment/json"), "each pod would get a copy of it")
	}
}
