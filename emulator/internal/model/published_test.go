package model

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// published is the service's model in botocore.
type published struct {
	Operations map[string]struct {
		Input, Output struct{ Shape string }
		Errors        []struct{ Shape string }
	}
	Shapes map[string]shape
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape string }
	Member   struct{ Shape string }
	Key      struct{ Shape string }
	Value    struct{ Shape string }
	Min, Max *int64
	Pattern  string
	Enum     []string
}

// oldest is the version of botocore from which codepipeline.model was transcribed. Earlier versions
// lack some members.
var oldest = []int{1, 43}

// TestModelIsThePublishedOne compares codepipeline.model with botocore's, if a recent botocore is
// installed.
func TestModelIsThePublishedOne(t *testing.T) {
	g := NewWithT(t)
	theirs := readPublished(t, g)
	ours, err := Load()
	g.Expect(err).NotTo(HaveOccurred())
	for name, operation := range ours.Operations {
		known, ok := theirs.Operations[name]
		g.Expect(ok).To(BeTrue(), name)
		var errors []string
		for _, e := range known.Errors {
			errors = append(errors, e.Shape)
		}
		g.Expect(operation.Errors).To(ConsistOf(errors), name)
		theirs.compare(g, name+" request", operation.Request, known.Input.Shape)
		theirs.compare(g, name+" response", operation.Response, known.Output.Shape)
	}
	for name, members := range ours.Structs {
		theirs.compare(g, name, members, name)
	}
}

func readPublished(t *testing.T, g *WithT) *published {
	t.Helper()
	needs.Program(t, "python3")
	out, err := exec.CommandContext(t.Context(), "python3", "-c", "import botocore; print(botocore.__version__, botocore.__path__[0])").Output()
	if err != nil {
		t.Skipf("needs botocore, version %d.%d or later, for python3: %v", oldest[0], oldest[1], err)
	}
	version, path, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		number, err := strconv.Atoi(part)
		g.Expect(err).NotTo(HaveOccurred())
		numbers = append(numbers, number)
	}
	if slices.Compare(numbers, oldest) < 0 {
		t.Skipf("needs botocore, version %d.%d or later, for python3: %s is too old", oldest[0], oldest[1], version)
	}
	file, err := os.Open(filepath.Join(path, "data/codepipeline/2015-07-09/service-2.json.gz"))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }() // only opened for reading
	var content io.Reader
	content, err = gzip.NewReader(file)
	g.Expect(err).NotTo(HaveOccurred())
	var theirs published
	g.Expect(json.NewDecoder(content).Decode(&theirs)).To(Succeed())
	return &theirs
}

// compare compares the members of a structure.
func (p *published) compare(g *WithT, where string, members []Member, name string) {
	theirs := p.Shapes[name]
	var names, required []string
	for _, m := range members {
		names = append(names, m.Name)
		if m.Required {
			required = append(required, m.Name)
		}
		p.compareType(g, where+"."+m.Name, m.Type, theirs.Members[m.Name].Shape)
	}
	var known []string
	for name := range theirs.Members {
		known = append(known, name)
	}
	g.Expect(names).To(ConsistOf(known), where)
	g.Expect(required).To(ConsistOf(theirs.Required), where)
}

func (p *published) compareType(g *WithT, where string, t *Type, name string) {
	theirs := p.Shapes[name]
	kinds := map[string]string{"structure": "struct", "long": "integer"}
	kind, renamed := kinds[theirs.Type]
	if !renamed {
		kind = theirs.Type
	}
	g.Expect(t.Kind).To(Equal(kind), where)
	if kind == "struct" {
		g.Expect(t.Struct).To(Equal(name), where)
		return
	}
	g.Expect(t.Enum).To(Equal(theirs.Enum), where)
	if len(t.Enum) == 0 {
		g.Expect(t.Min).To(Equal(theirs.Min), where)
		g.Expect(t.Max).To(Equal(theirs.Max), where)
		g.Expect(t.Source).To(Equal(theirs.Pattern), where)
	}
	switch kind {
	case "list":
		p.compareType(g, where, t.Element, theirs.Member.Shape)
	case "map":
		p.compareType(g, where+" key", t.Key, theirs.Key.Shape)
		p.compareType(g, where+" value", t.Element, theirs.Value.Shape)
	}
}
