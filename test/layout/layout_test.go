// Package layout holds the import graph and the Dockerfile to their rules.
package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const module = "github.com/pipelinejob/pipelinejob-operator/"

// room is a package, or all below a folder ("cmd/..."), and what it may import of
// this module.
type room struct {
	name      string
	mayImport []string
}

// anyBelow lets a room import every room that is below it in the table.
const anyBelow = "any below"

// rooms are the layers, from the top to the bottom: imports point down only. A new
// package gets a line here, in the highest place that does.
var rooms = []room{
	// Programs: flags and wiring.
	{"cmd/manager", []string{anyBelow}},
	{"cmd/runner", []string{"internal/runner", "internal/archive", "internal/s3store", "internal/podcontract", "internal/limits"}},
	{"cmd/step", []string{"internal/helper", "internal/podcontract"}},
	{"cmd/codepipeline-emulator", []string{"emulator"}},

	// The operator.
	{"internal/operator", []string{anyBelow}},
	{"controllers/customaction", []string{anyBelow}},
	{"controllers/pipelinejob", []string{anyBelow}},
	{"internal/poller", []string{anyBelow}},
	{"internal/identity", []string{"internal/codepipeline", "api/v1alpha1"}},
	{"internal/eventqueue", []string{"internal/codepipeline"}},
	{"internal/codepipeline", []string{"internal/limits"}},
	{"internal/jobspec", []string{"internal/naming", "internal/podcontract", "internal/limits", "api/v1alpha1"}},
	{"internal/diagnosis", []string{"internal/naming", "internal/podcontract", "internal/limits", "api/v1alpha1"}},
	{"internal/naming", []string{"internal/limits", "api/v1alpha1"}},
	{"internal/logs", nil},
	{"internal/metrics", nil},
	{"internal/staleness", nil},

	// The programs in a pod.
	{"internal/runner", []string{"internal/archive", "internal/s3store", "internal/podcontract", "internal/limits"}},
	{"internal/helper", []string{"internal/podcontract", "internal/limits"}},
	{"internal/archive", nil},
	{"internal/s3store", nil},

	// What operator and pod agree on.
	{"internal/podcontract", []string{"internal/limits"}},
	{"internal/limits", nil},
	{"api/v1alpha1", nil},

	// The emulator, which is for tests and for others. It knows nothing of the operator.
	{"emulator", []string{"emulator/internal/..."}},
	{"emulator/pipeline", nil},
	{"emulator/internal/...", []string{"emulator/internal/..."}},

	// Tools of this repository.
	{"hack/...", []string{"emulator/pipeline"}},
	{"test/...", []string{anyBelow, "api/v1alpha1", "emulator", "emulator/pipeline", "internal/podcontract"}},
}

// sdkRooms are the packages that may use AWS' SDK: its types stay inside them.
// emulator, hack and test are not part of the operator.
var sdkRooms = []string{"internal/codepipeline", "internal/s3store", "internal/eventqueue", "emulator", "emulator/...", "hack/...", "test/..."}

// withoutKubernetes are the packages that Kubernetes' types stay out of.
var withoutKubernetes = []string{
	"internal/codepipeline", "internal/s3store", "internal/eventqueue", "internal/archive", "internal/podcontract",
	"internal/limits", "internal/runner", "internal/helper", "cmd/runner", "cmd/step", "emulator", "emulator/...",
}

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = "../.."
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var found []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
}

// covers reports whether a name in a table stands for a package.
func covers(name, pkg string) bool {
	folder, below := strings.CutSuffix(name, "/...")
	return pkg == name || below && strings.HasPrefix(pkg, folder+"/")
}

func roomOf(pkg string) int {
	return slices.IndexFunc(rooms, func(r room) bool { return covers(r.name, pkg) })
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		at := roomOf(name)
		if at < 0 {
			t.Errorf("package %s is in no room: add it to the table in %s", name, t.Name())
			continue
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module)
			if ours && !mayImport(at, other) {
				t.Errorf("%s must not import %s", name, other)
			}
		}
	}
}

func mayImport(at int, imported string) bool {
	return slices.ContainsFunc(rooms[at].mayImport, func(allowed string) bool {
		if allowed == anyBelow {
			below := roomOf(imported)
			return below > at && !covers("emulator/...", imported) && imported != "emulator"
		}
		return covers(allowed, imported)
	})
}

// TestTheTableIsInOrder: what a room lists must stand below it.
func TestTheTableIsInOrder(t *testing.T) {
	for at, r := range rooms {
		for _, allowed := range r.mayImport {
			if allowed == anyBelow || strings.HasPrefix(r.name, "test/") || strings.HasPrefix(r.name, "hack/") || allowed == r.name {
				continue
			}
			below := slices.IndexFunc(rooms, func(other room) bool { return other.name == allowed })
			if below <= at {
				t.Errorf("%s may import %s, which is not below it", r.name, allowed)
			}
		}
	}
}

func TestTypesOfOthersStayInTheirRooms(t *testing.T) {
	in := func(names []string, pkg string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return covers(name, pkg) })
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/aws/") && !in(sdkRooms, name) {
				t.Errorf("%s must not import %s: the SDK's types stay inside %s", name, imported, strings.Join(sdkRooms, ", "))
			}
			kubernetes := strings.HasPrefix(imported, "k8s.io/") && !strings.HasPrefix(imported, "k8s.io/utils/") || strings.HasPrefix(imported, "sigs.k8s.io/")
			if kubernetes && in(withoutKubernetes, name) {
				t.Errorf("%s must not import %s: Kubernetes' types stay out of it", name, imported)
			}
		}
	}
}

// TestDockerfileCopiesWhatItBuilds holds the COPY lines of the Dockerfile against
// what the programs that it builds consist of: a package outside them builds here,
// and nowhere else.
func TestDockerfileCopiesWhatItBuilds(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile("../../Dockerfile")
	g.Expect(err).NotTo(HaveOccurred())
	ignored, err := os.ReadFile("../../.dockerignore")
	g.Expect(err).NotTo(HaveOccurred())
	copied, programs := dockerfile(string(content))
	g.Expect(copied).NotTo(BeEmpty())
	g.Expect(programs).NotTo(BeEmpty())
	for _, folder := range copied {
		g.Expect(strings.Split(string(ignored), "\n")).To(ContainElement("!"+folder), ".dockerignore keeps it from the build")
	}

	deps := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}"}, programs...)...)
	deps.Dir = "../.."
	output, err := deps.Output()
	g.Expect(err).NotTo(HaveOccurred())
	for pkg := range strings.FieldsSeq(string(output)) {
		name := strings.TrimPrefix(pkg, module)
		found := slices.ContainsFunc(copied, func(folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") })
		g.Expect(found).To(BeTrue(), "the Dockerfile has no COPY for %s", name)
	}
}

// dockerfile returns the sources that are copied from the build context, and the
// programs that go build names.
func dockerfile(content string) (copied, programs []string) {
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[0] == "COPY" && !strings.HasPrefix(fields[1], "--") {
			copied = append(copied, fields[1:len(fields)-1]...)
		}
		for _, field := range fields {
			if strings.HasPrefix(field, "./cmd/") && path.Clean(field) != "cmd" {
				programs = append(programs, field)
			}
		}
	}
	return copied, programs
}
