package main

import (
	"go/parser"
	"go/token"
	"testing"

	. "github.com/onsi/gomega"
)

const program = "package p\n\nimport \"a path/with blanks\"\n\n" + `
type object struct {
	Name string ` + "`json:\"name\" doc:\"a tag of two\"`" + `
}

const lead = "it starts"

var usage = "usage:\n\tp FILE"

func message(n int) error {
	word := "alone"
	err := fmt.Errorf("read %d of %s: %w", n, word, errors.New("no such thing"))
	return refused("the name "+quote("of the "+word)+" is taken", lead+word, 'x', ` + "`in backticks`" + `, err)
}
`

func TestTexts(t *testing.T) {
	g := NewWithT(t)
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", program, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(texts(file)).To(ConsistOf(
		"it starts", "usage: p FILE", "read %d of %s: %w", "no such thing", "the name … is taken", "of the …", "in backticks"),
		"neither paths, tags, single words nor what is put together of them")
}

// TestMessagesThatUsersSeeAreCollected uses a message of each kind, as other tests expect it of the
// operator or as --help prints it.
func TestMessagesThatUsersSeeAreCollected(t *testing.T) {
	g := NewWithT(t)
	all, err := collect("../..")
	g.Expect(err).NotTo(HaveOccurred())
	for kind, line := range map[string]string{
		"error":                  "internal/jobspec/validate.go\tmust have at least one: the containers are the action's steps",
		"wrapped error":          "internal/runner/report.go\tthe artifact bucket does not exist: %w",
		"condition":              "controllers/customaction/conditions.go\tspec.suspend is true: no new jobs are taken",
		"added to a condition":   "controllers/account/decide.go\tinvalid selectors, whose grants give no namespace access until they are corrected: …. The other grants count",
		"help of a flag":         "cmd/manager/options.go\tMaximum number of concurrent calls to one AWS account in one region.",
		"refused flag":           "cmd/manager/options.go\t--cluster-id is %q: it may have up to 1000 letters, digits and characters of +=,.@:/_-, as the external IDs of STS have",
		"help of a metric":       "internal/metrics/metrics.go\tCustomActions that were deleted with deletionPolicy Delete although their action type could not be deleted.",
		"usage of a program":     "internal/helper/commands.go\tusage: codepipeline revision …",
		"progress of the demo":   "hack/demo/kubectl.go\tInstalling the operator (config/local)",
		"log of a wrapper":       "internal/runner/emptyoutputs.go\tAn output artifact is empty: no step left a file in its folder",
		"answer of the emulator": "emulator/internal/engine/jobs.go\tThe output variables have %d bytes: at most %d are allowed",
	} {
		g.Expect(all).To(ContainElement(line), kind)
	}
	g.Expect(all).NotTo(ContainElement(ContainSubstring("_test.go\t")))
}
