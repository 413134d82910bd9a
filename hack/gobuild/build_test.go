package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// module creates a module with a program and a package that are in no build cache, and returns its
// build.
func module(t *testing.T, body string) build {
	t.Helper()
	g := NewWithT(t)
	folder := t.TempDir()
	g.Expect(os.Mkdir(filepath.Join(folder, "part"), 0o750)).To(Succeed())
	for name, content := range map[string]string{
		"go.mod":       "module example.test/" + filepath.Base(filepath.Dir(folder)) + "\n\ngo 1.26.0\n",
		"main.go":      "package main\n\nimport \"example.test/" + filepath.Base(filepath.Dir(folder)) + "/part\"\n\nfunc main() { part.Do() }\n",
		"part/part.go": "package part\n\n// " + folder + time.Now().String() + "\n\nfunc Do() { " + body + " }\n",
	} {
		g.Expect(os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600)).To(Succeed())
	}
	return build{folder: folder, output: filepath.Join(folder, "program"), pkg: "."}
}

func TestBuild(t *testing.T) {
	g := NewWithT(t)
	var shown bytes.Buffer
	to := newReporter(&shown, false, time.Now)
	b := module(t, "")
	g.Expect(b.run(t.Context(), to)).To(Succeed())
	g.Expect(b.output).To(BeAnExistingFile())
	g.Expect(shown.String()).To(MatchRegexp(`^built .*/program in \d+s\n$`), "no names of packages")
	g.Expect(to.progress.total).To(Equal(2))
	g.Expect(to.progress.stale).NotTo(HaveKey(HaveSuffix("/part")))
}

func TestBuildThatFails(t *testing.T) {
	g := NewWithT(t)
	var shown bytes.Buffer
	b := module(t, "undefinedName()")
	g.Expect(b.run(t.Context(), newReporter(&shown, false, time.Now))).To(MatchError("build .: exit status 1"))
	g.Expect(shown.String()).To(ContainSubstring("undefined: undefinedName"))

	b.pkg = "./missing"
	g.Expect(b.run(t.Context(), newReporter(&shown, false, time.Now))).To(MatchError(ContainSubstring("list the packages of ./missing: exit status 1")))
	g.Expect(shown.String()).To(ContainSubstring("missing: directory not found"))
}

func TestReporter(t *testing.T) {
	const download, warning = "go: downloading k8s.io/api v0.37.2", "ld: a warning"
	for name, c := range map[string]struct {
		terminal bool
		shown    string
	}{
		"on a terminal": {true, "\rdownloading modules, 1 so far\x1b[K" + "\rcompiled 0/2 packages\x1b[K" + "\r\x1b[K" + warning + "\n" + "\rcompiled 1/2 packages\x1b[K" + "\r\x1b[K" + download + "\n"},
		"in a log":      {false, "downloading modules, 1 so far\ncompiled 0/2 packages\n" + warning + "\ncompiled 1/2 packages\n" + download + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var shown bytes.Buffer
			r := newReporter(&shown, c.terminal, time.Now)
			r.line(download)
			r.tick()
			r.compile(map[string]bool{"fmt": true, "os": true})
			r.tick()
			r.tick() // nothing new to print
			r.line("fmt")
			r.line(warning)
			r.tick()
			failed := errors.New("failed")
			g.Expect(r.failed(failed)).To(Equal(failed))
			g.Expect(shown.String()).To(Equal(c.shown))
		})
	}
}

func TestParse(t *testing.T) {
	g := NewWithT(t)
	b, err := parse([]string{"-C", "hack/kube", "-ldflags", "-s -w", "-o", "/bin/kube", "."})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(b).To(Equal(build{folder: "hack/kube", ldflags: "-s -w", output: "/bin/kube", pkg: "."}))
	for _, args := range [][]string{nil, {"-o", "x"}, {"."}, {"-o", "x", ".", "./more"}} {
		_, err := parse(args)
		g.Expect(err).To(MatchError(ContainSubstring("-o and one package are required")))
	}
}
