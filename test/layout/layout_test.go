// Package layout checks the import graph and the Dockerfile against their rules.
package layout

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const module = "github.com/pipelinejob/pipelinejob-operator/"

// room is a package, or all packages below a folder ("hack/..."), with the packages of this module
// that it may import. Its tests may also import testMayImport.
type room struct {
	name          string
	mayImport     []string
	testMayImport []string
}

// operatorSide are the packages of the operator, including those that it shares with the pods: all
// except the programs that run in a pod.
var operatorSide = []string{
	"controllers/account", "controllers/customaction", "controllers/pipelinejob", "internal/poller", "internal/bounds", "internal/identity", "internal/grants",
	"internal/eventqueue", "internal/jobspec", "internal/diagnosis", "internal/lanes", "internal/codepipeline", "internal/naming", "internal/logs",
	"internal/metrics", "internal/staleness", "internal/compact", "internal/fairqueue", "internal/scope", "internal/podcontract", "internal/plaintext", "internal/limits", "api/v1alpha1",
}

// forTests is what tests of the operator and of the pods' programs may import, and emulatorTests is
// the same for the emulator, which does not depend on the operator.
var (
	forTests      = []string{"test/harness", "test/needs", "emulator", "emulator/pipeline"}
	emulatorTests = []string{"emulator", "emulator/pipeline", "test/needs", "emulator/internal/..."}
)

// layers are the packages from top to bottom. A package may import what it lists, which must be in
// a lower layer. A new package gets a row in the highest layer below all its importers.
var layers = [][]room{
	{ // Programs: flags and wiring.
		{"cmd/manager", []string{"internal/operator", "internal/scope", "controllers/pipelinejob", "internal/jobspec", "internal/lanes", "api/v1alpha1"}, forTests},
		{"cmd/runner", []string{"internal/runner", "internal/archive", "internal/s3store", "internal/podcontract", "internal/limits"}, forTests},
		{"cmd/step", []string{"internal/helper", "internal/podcontract"}, forTests},
		{"cmd/codepipeline-emulator", []string{"emulator"}, emulatorTests},
		// Tools of this repository, and tests of the whole repository.
		{"hack/...", []string{"emulator/pipeline"}, emulatorTests[:2]},
		{"test/integration", append([]string{"test/harness", "test/needs", "internal/operator", "emulator", "emulator/pipeline"}, operatorSide...), nil},
		{"test/scale", append([]string{"test/harness", "internal/operator", "emulator", "emulator/pipeline"}, operatorSide...), nil},
		{"test/bench", []string{"test/harness", "internal/operator", "emulator", "emulator/pipeline", "internal/podcontract", "api/v1alpha1"}, nil},
		{"test/chaos", []string{"test/harness", "emulator", "emulator/pipeline", "internal/podcontract", "api/v1alpha1"}, nil},
		{"test/e2e", []string{"test/rights", "emulator", "emulator/pipeline", "internal/podcontract", "api/v1alpha1"}, nil},
		{"test/layout", nil, nil},
	},
	{
		{"test/rights", nil, []string{"test/needs"}},
		{"test/harness", []string{"emulator", "emulator/pipeline", "internal/podcontract", "api/v1alpha1"}, nil},
		{"internal/operator", operatorSide, forTests},
	},
	{ // The reconcilers.
		{"controllers/account", []string{
			"internal/identity", "internal/grants", "internal/lanes", "internal/codepipeline", "internal/plaintext", "internal/limits", "api/v1alpha1",
		}, forTests},
		{"controllers/customaction", []string{
			"internal/poller", "internal/bounds", "internal/identity", "internal/grants", "internal/jobspec", "internal/diagnosis", "internal/lanes", "internal/codepipeline", "internal/naming",
			"internal/metrics", "internal/staleness", "internal/plaintext", "internal/limits", "api/v1alpha1",
		}, forTests},
		{"controllers/pipelinejob", []string{
			"internal/bounds", "internal/identity", "internal/grants", "internal/jobspec", "internal/diagnosis", "internal/lanes", "internal/codepipeline", "internal/naming",
			"internal/metrics", "internal/staleness", "internal/compact", "internal/podcontract", "internal/plaintext", "internal/limits", "api/v1alpha1",
		}, forTests},
		// The programs that run in pods.
		{"internal/runner", []string{"internal/archive", "internal/s3store", "internal/podcontract", "internal/limits"}, forTests},
		{"internal/helper", []string{"internal/podcontract", "internal/limits"}, forTests},
	},
	{
		{"internal/scope", []string{"internal/metrics", "api/v1alpha1"}, forTests},
		{"internal/poller", []string{
			"internal/jobspec", "internal/diagnosis", "internal/lanes", "internal/codepipeline", "internal/naming", "internal/metrics", "internal/limits", "api/v1alpha1",
		}, forTests},
	},
	{
		{"internal/identity", []string{"internal/codepipeline", "api/v1alpha1"}, forTests},
		{"internal/lanes", []string{"internal/codepipeline"}, forTests},
		{"internal/eventqueue", []string{"internal/codepipeline"}, forTests},
		{"internal/jobspec", []string{"internal/naming", "internal/podcontract", "internal/limits", "api/v1alpha1"}, forTests},
		{"internal/diagnosis", []string{"internal/bounds", "internal/naming", "internal/podcontract", "internal/plaintext", "internal/limits", "api/v1alpha1"}, forTests},
	},
	{
		{"internal/codepipeline", []string{"internal/awstext", "internal/limits"}, forTests},
		{"internal/naming", []string{"internal/limits", "api/v1alpha1"}, forTests},
		{"internal/grants", []string{"api/v1alpha1"}, forTests},
		{"internal/bounds", []string{"internal/limits", "api/v1alpha1"}, forTests},
		{"internal/logs", nil, forTests},
		{"internal/metrics", nil, forTests},
		{"internal/staleness", nil, forTests},
		{"internal/compact", nil, forTests},
		{"internal/fairqueue", nil, forTests},
		{"internal/archive", nil, forTests},
		{"internal/plaintext", nil, forTests},
		{"internal/s3store", []string{"internal/awstext"}, forTests},
		// The contract between operator and pod.
		{"internal/podcontract", []string{"internal/limits"}, forTests},
	},
	{
		{"internal/limits", nil, forTests},
		// The texts of AWS's errors.
		{"internal/awstext", nil, forTests},
		{"api/v1alpha1", nil, forTests},
		// The emulator, for tests and for other projects.
		{"emulator", []string{"emulator/internal/..."}, emulatorTests},
		{"emulator/pipeline", nil, emulatorTests},
	},
	{
		{"emulator/internal/...", nil, emulatorTests},
		// Requirements of tests: programs, root.
		{"test/needs", nil, nil},
	},
}

// sdkRooms are the packages that may use the AWS SDK and must not expose its types. emulator, hack
// and test are not part of the operator.
var sdkRooms = []string{"internal/awstext", "internal/codepipeline", "internal/s3store", "internal/eventqueue", "emulator", "emulator/...", "hack/...", "test/..."}

// withoutKubernetes are the packages that must not use Kubernetes' types.
var withoutKubernetes = []string{
	"internal/codepipeline", "internal/s3store", "internal/eventqueue", "internal/archive", "internal/podcontract",
	"internal/limits", "internal/runner", "internal/helper", "cmd/runner", "cmd/step", "emulator", "emulator/...",
}

// source is a Go file of this module.
type source struct {
	file    string // from the root of the module
	imports []string
}

func (s source) pkg() string  { return path.Dir(s.file) }
func (s source) isTest() bool { return strings.HasSuffix(s.file, "_test.go") }

// sources reads every Go file below a root, whatever its build constraints: go list would leave out
// files and packages that the current build ignores.
func sources(t *testing.T, root string) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipped(root, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(relative)}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		found = append(found, s)
		return nil
	})
	if err != nil {
		t.Fatalf("read the sources: %v", err)
	}
	return found
}

// skipped returns fs.SkipDir for a folder that has no packages of this module.
func skipped(root, folder string) error {
	if folder == root {
		return nil
	}
	base := filepath.Base(folder)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// covers reports whether a name in a table matches a package.
func covers(name, pkg string) bool {
	folder, below := strings.CutSuffix(name, "/...")
	return pkg == name || below && strings.HasPrefix(pkg, folder+"/")
}

func anyCovers(names []string, pkg string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return covers(name, pkg) })
}

func roomOf(pkg string) (room, bool) {
	for _, layer := range layers {
		if at := slices.IndexFunc(layer, func(r room) bool { return covers(r.name, pkg) }); at >= 0 {
			return layer[at], true
		}
	}
	return room{}, false
}

// violations returns the distinct violations in the imports of files.
func violations(files []source) []string {
	found := map[string]bool{}
	for _, s := range files {
		r, known := roomOf(s.pkg())
		if !known {
			found[fmt.Sprintf("package %s has no row in the table: add it to the layers", s.pkg())] = true
			continue
		}
		for _, imported := range s.imports {
			if problem := violation(s, r, imported); problem != "" {
				found[s.file+" must not import "+problem] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func violation(s source, r room, imported string) string {
	if ours, ok := strings.CutPrefix(imported, module); ok {
		allowed := anyCovers(r.mayImport, ours) || s.isTest() && (ours == s.pkg() || anyCovers(r.testMayImport, ours))
		if !allowed {
			return ours
		}
	}
	if strings.HasPrefix(imported, "github.com/aws/") && !s.isTest() && !anyCovers(sdkRooms, s.pkg()) {
		return imported + ": the SDK's types stay inside " + strings.Join(sdkRooms, ", ")
	}
	kubernetes := strings.HasPrefix(imported, "k8s.io/") && !strings.HasPrefix(imported, "k8s.io/utils/") || strings.HasPrefix(imported, "sigs.k8s.io/")
	if kubernetes && anyCovers(withoutKubernetes, s.pkg()) {
		return imported + ": Kubernetes' types stay out of the package"
	}
	return ""
}

func TestImportsKeepToTheTable(t *testing.T) {
	NewWithT(t).Expect(violations(sources(t, "../.."))).To(BeEmpty())
}

// TestEveryRowHasAPackage finds rows of removed packages.
func TestEveryRowHasAPackage(t *testing.T) {
	files := sources(t, "../..")
	for _, layer := range layers {
		for _, r := range layer {
			if !slices.ContainsFunc(files, func(s source) bool { return covers(r.name, s.pkg()) }) {
				t.Errorf("the table has a row for %s, where there is no package: remove it", r.name)
			}
		}
	}
}

// TestForbiddenImportsAreFound writes a file per case and reads it as a module.
func TestForbiddenImportsAreFound(t *testing.T) {
	cases := map[string]struct{ file, content, message string }{
		"a sibling": {
			"controllers/customaction/a.go", `import _ "` + module + `controllers/pipelinejob"`, "must not import controllers/pipelinejob",
		},
		"a sibling of a lower layer": {
			"internal/jobspec/a.go", `import _ "` + module + `internal/diagnosis"`, "must not import internal/diagnosis",
		},
		"a package above": {
			"internal/naming/a.go", `import _ "` + module + `internal/jobspec"`, "must not import internal/jobspec",
		},
		"a pod's program from the operator": {
			"internal/poller/a.go", `import _ "` + module + `internal/runner"`, "must not import internal/runner",
		},
		"a pod's package from the operator": {
			"internal/operator/a.go", `import _ "` + module + `internal/s3store"`, "must not import internal/s3store",
		},
		"a test helper outside tests": {
			"internal/poller/a.go", `import _ "` + module + `emulator"`, "must not import emulator",
		},
		"a test of the emulator": {
			"emulator/a_test.go", `import _ "` + module + `api/v1alpha1"`, "must not import api/v1alpha1",
		},
		"the operator's harness in a test of the emulator": {
			"emulator/pipeline/a_test.go", `import _ "` + module + `test/harness"`, "must not import test/harness",
		},
		"a test of a package below": {
			"internal/limits/a_test.go", `import _ "` + module + `internal/operator"`, "must not import internal/operator",
		},
		"the operator in a test on the cluster": {
			"test/e2e/a_test.go", `import _ "` + module + `internal/operator"`, "must not import internal/operator",
		},
		"a file for another system": {
			"internal/archive/a_plan9.go", `import _ "` + module + `internal/runner"`, "must not import internal/runner",
		},
		"the harness may not use the operator": {
			"test/harness/a.go", `import _ "` + module + `internal/operator"`, "must not import internal/operator",
		},
		"the SDK": {
			"internal/poller/a.go", `import _ "github.com/aws/aws-sdk-go-v2/aws"`, "the SDK's types stay inside",
		},
		"Kubernetes in a pod's test": {
			"internal/runner/a_test.go", `import _ "k8s.io/api/core/v1"`, "Kubernetes' types stay out",
		},
		"a package without a row": {
			"internal/unheard/a.go", "", "package internal/unheard has no row",
		},
	}
	for name, c := range cases {
		for constraint, line := range map[string]string{"": "", " with a tag": "//go:build e2e\n\n", " that is ignored": "//go:build ignore\n\n"} {
			t.Run(name+constraint, func(t *testing.T) {
				g := NewWithT(t)
				file := filepath.Join(t.TempDir(), "module", c.file)
				g.Expect(os.MkdirAll(filepath.Dir(file), 0o750)).To(Succeed())
				g.Expect(os.WriteFile(file, []byte(line+"package a\n\n"+c.content+"\n"), 0o600)).To(Succeed())
				root := strings.TrimSuffix(filepath.ToSlash(file), "/"+c.file)
				g.Expect(violations(sources(t, root))).To(ConsistOf(ContainSubstring(c.message)))
			})
		}
	}
}

// TestTheTableIsInOrder: each import of a room must be a row of a lower layer.
func TestTheTableIsInOrder(t *testing.T) {
	for at, layer := range layers {
		for _, r := range layer {
			for _, allowed := range r.mayImport {
				below := slices.IndexFunc(layers, func(other []room) bool {
					return slices.ContainsFunc(other, func(row room) bool { return row.name == allowed })
				})
				if below <= at {
					t.Errorf("%s may import %s, which is not in a lower layer", r.name, allowed)
				}
			}
		}
	}
}

// TestDockerfileCopiesWhatItBuilds checks that the COPY lines of the Dockerfile cover all packages
// of the programs that it builds.
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

// dockerfile returns the sources that are copied from the build context, and the programs that go
// build builds.
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
