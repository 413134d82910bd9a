package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A repository with a single program, so that the test does not depend on this repository.
func testBuilder(t *testing.T) builder {
	t.Helper()
	repo := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":        "module example.com/x\n\ngo 1.26\n",
		"cmd/a/main.go": "package main\n\nfunc main() { println(\"a\") }\n",
		"cmd/b/main.go": "package main\n\nfunc main() { println(\"b\") }\n",
	} {
		file := filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return builder{repo: repo, work: t.TempDir(), arch: runtime.GOARCH}
}

var testSpec = spec{name: "x", programs: []string{"./cmd/a", "./cmd/b"}, entrypoint: []string{"/a"}}

func TestSameInputSameDigest(t *testing.T) {
	var digests []string
	// In two folders, because the path must not affect the result.
	for range 2 {
		b := testBuilder(t)
		if err := b.compile([]spec{testSpec}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "x.tar")
		if err := b.write(testSpec, file); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, string(data))
	}
	if digests[0] != digests[1] {
		t.Error("two builds of the same input differ")
	}
}

func TestContentsOfAnImage(t *testing.T) {
	b := testBuilder(t)
	if err := b.compile([]spec{testSpec}); err != nil {
		t.Fatal(err)
	}
	img, err := b.image(testSpec)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/a"}) || config.OS != "linux" {
		t.Errorf("%+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 2 || len(config.RootFS.DiffIDs) != 2 || len(config.History) != 2 {
		t.Fatalf("%d layers, %+v, %v", len(layers), config, err)
	}
}

func TestUnchangedArchiveIsLeftAlone(t *testing.T) {
	b := testBuilder(t)
	if err := b.compile([]spec{testSpec}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "out", "x.tar")
	for range 2 {
		if err := b.write(testSpec, file); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := os.Stat(file)
	if err := b.write(testSpec, file); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.Stat(file); !os.SameFile(first, second) {
		t.Error("wrote the same archive again")
	}
	if err := os.WriteFile(filepath.Join(b.work, "a"), []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.write(testSpec, file); err != nil {
		t.Fatal(err)
	}
	if third, _ := os.Stat(file); os.SameFile(first, third) {
		t.Error("did not write a changed archive")
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	err := testBuilder(t).compile([]spec{{name: "y", programs: []string{"./cmd/nothing"}}})
	if err == nil || !strings.Contains(err.Error(), "./cmd/nothing") {
		t.Error(err)
	}
}

func TestLayerIsSortedAndHasParents(t *testing.T) {
	data, err := layerTar([]entry{
		{path: "usr/bin/b", mode: 0o777, link: "/bin/a"},
		{path: "bin/a", mode: 0o755, data: []byte("x")},
		{path: "tmp", mode: 0o1777, dir: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) {
			t.Errorf("%s is of %v", h.Name, h.ModTime)
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "bin/ bin/a tmp/ usr/ usr/bin/ usr/bin/b" {
		t.Error(got)
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(nil); err != nil || len(all) != len(specs) {
		t.Errorf("%v %v", all, err)
	}
	if some, err := choose([]string{"pause", "operator", "pause"}); err != nil || len(some) != 2 {
		t.Errorf("%v %v", some, err)
	}
	if _, err := choose([]string{"nginx"}); err == nil || !strings.Contains(err.Error(), "sample-work") {
		t.Error(err)
	}
}

func TestShellNeedsAStaticProgram(t *testing.T) {
	_, err := shellEntries([]string{filepath.Join(t.TempDir(), "busybox")})
	if err == nil || !strings.Contains(err.Error(), "busybox-static") {
		t.Error(err)
	}
}
