package emulator

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

var update = flag.Bool("update", false, "write the generated tables of docs/emulator.md")

const page = "../docs/emulator.md"

func readPage(g *WithT) string {
	text, err := os.ReadFile(page)
	g.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// between returns the part between two comments of the page.
func between(g *WithT, text, name string) (begin int, part string) {
	first, last := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	begin, end := strings.Index(text, first)+len(first), strings.Index(text, last)
	g.Expect(end).To(BeNumerically(">=", begin), "%s is not there", first)
	return begin, text[begin:end]
}

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|(.*)\\|$")

func TestPageSaysOfEachOperationHowFaithfulItIs(t *testing.T) {
	g := NewWithT(t)
	_, table := between(g, readPage(g), "operations")
	var told []string
	for _, match := range row.FindAllStringSubmatch(table, -1) {
		told = append(told, match[1])
		g.Expect(strings.Count(match[2], "|")).To(Equal(2), match[1])
		g.Expect(strings.TrimSpace(strings.Split(match[2], "|")[0])).NotTo(BeEmpty(), match[1])
	}
	done := slices.Collect(maps.Keys(newWorld(t).emulator.region(regionID{"111122223333", "us-east-1"}).operations))
	g.Expect(told).To(ConsistOf(done))
}

// TestPageHasTheErrors compares the page's table with the ways in which
// TestEveryModelledErrorCanBeMet causes errors.
func TestPageHasTheErrors(t *testing.T) {
	g := NewWithT(t)
	var table strings.Builder
	table.WriteString("| operation | error | when |\n| --- | --- | --- |\n")
	ways := waysToMeet()
	for _, operation := range slices.Sorted(maps.Keys(ways)) {
		for _, code := range slices.Sorted(maps.Keys(ways[operation])) {
			fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", operation, code, ways[operation][code].when)
		}
	}
	text := readPage(g)
	begin, old := between(g, text, "errors")
	if *update {
		g.Expect(os.WriteFile(page, []byte(text[:begin]+table.String()+text[begin+len(old):]), 0o644)).To(Succeed()) //nolint:gosec // documentation
		return
	}
	g.Expect(old).To(Equal(table.String()), "run: go test ./emulator -run TestPage -update")
}

// blocks returns the page's examples in a language.
func blocks(g *WithT, language string) []string {
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(readPage(g), -1) {
		found = append(found, match[1])
	}
	g.Expect(found).NotTo(BeEmpty())
	return found
}

// TestPagesExamplesRun runs the examples for which there is a program, in order.
func TestPagesExamplesRun(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.CreateOnly, o.Clock, o.Buckets = false, nil, nil })
	dir := t.TempDir()
	run := func(g *WithT, text, program string, arguments ...string) string {
		command := exec.CommandContext(t.Context(), program, arguments...)
		command.Env, command.Dir = w.environment(dir), dir
		command.Stdin = strings.NewReader(strings.ReplaceAll(text, "http://127.0.0.1:4566", w.emulator.URL()))
		output, err := command.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(output))
		return string(output)
	}
	shell := blocks(w.WithT, "sh")
	w.Expect(shell).To(HaveLen(2))
	t.Run("AWS CLI, and boto3 after it", func(t *testing.T) {
		needs.Program(t, "aws")
		cli{w, dir}.needsAll(t)
		g := NewWithT(t)
		g.Expect(run(g, shell[0], "sh", "-e")).To(ContainSubstring("12 checks passed"))
		needsBoto(t)
		w.emulator.ClearJournal()
		run(g, blocks(g, "python")[0], "python3")
		calls := w.emulator.Journal()
		g.Expect(calls[len(calls)-1].Operation + calls[len(calls)-1].Error).To(Equal("PutJobSuccessResult"))
	})
	t.Run("curl", func(t *testing.T) {
		needs.Program(t, "curl")
		g, before := NewWithT(t), w.emulator.Now()
		run(g, shell[1], "sh", "-e")
		g.Expect(w.emulator.Faults()).To(BeEmpty())
		g.Expect(w.emulator.Now()).To(BeTemporally(">", before.Add(15*60e9-1)))
	})
}

// TestPageHasTheExamples finds the page's Go code in a file that is tested.
func TestPageHasTheExamples(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("example_test.go")
	g.Expect(err).NotTo(HaveOccurred())
	for _, block := range blocks(g, "go") {
		g.Expect(string(text)).To(ContainSubstring(block))
	}
}

var apiName = regexp.MustCompile("`(?:emulator|Emulator|Server|Options)\\.([A-Z][A-Za-z]*)`")

// TestPageNamesTheAPI finds each name of the page in the package.
func TestPageNamesTheAPI(t *testing.T) {
	g := NewWithT(t)
	files, err := filepath.Glob("*.go")
	g.Expect(err).NotTo(HaveOccurred())
	var code strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		code.Write(text)
	}
	names := apiName.FindAllStringSubmatch(readPage(g), -1)
	g.Expect(names).NotTo(BeEmpty())
	for _, name := range names {
		g.Expect(code.String()).To(MatchRegexp(`(?m)^(func (\([es] \*\w+\) )?|\t)%s\b`, name[1]), name[0])
	}
}

var flagRow = regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\|")

func TestPagesFlagsAreThere(t *testing.T) {
	g := NewWithT(t)
	options, err := os.ReadFile("../cmd/codepipeline-emulator/options.go")
	g.Expect(err).NotTo(HaveOccurred())
	rows := flagRow.FindAllStringSubmatch(readPage(g), -1)
	g.Expect(rows).NotTo(BeEmpty())
	for _, match := range rows {
		g.Expect(string(options)).To(ContainSubstring(fmt.Sprintf("%q", match[1])))
	}
	for _, kind := range faultKinds {
		g.Expect(readPage(g)).To(ContainSubstring("| `%s` |", kind))
	}
}
