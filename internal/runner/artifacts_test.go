package runner

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// writeVenv creates a virtual environment in an output artifact, like "python3 -m venv".
func (p *pod) writeVenv(output string) {
	p.t.Helper()
	p.write("output/"+output+"/app.py", "app")
	p.write("output/"+output+"/venv/lib/site.py", "1")
	folder := filepath.Join(p.options.Root, "output", output, "venv")
	p.g.Expect(os.Mkdir(filepath.Join(folder, "bin"), 0o777)).To(Succeed())
	p.g.Expect(os.Symlink("/usr/bin/python3", filepath.Join(folder, "bin/python3"))).To(Succeed())
	p.g.Expect(os.Symlink("lib", filepath.Join(folder, "lib64"))).To(Succeed())
}

// links returns the symbolic links of an artifact with their targets.
func (p *pod) links(key string) map[string]string {
	p.t.Helper()
	object, err := p.backend.GetObject("bucket", key, nil)
	p.g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(object.Contents)
	p.g.Expect(err).NotTo(HaveOccurred())
	packed, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	p.g.Expect(err).NotTo(HaveOccurred())
	found := map[string]string{}
	for _, file := range packed.File {
		if file.Mode()&os.ModeSymlink == 0 {
			continue
		}
		opened, err := file.Open()
		p.g.Expect(err).NotTo(HaveOccurred())
		target, err := io.ReadAll(opened)
		p.g.Expect(err).NotTo(HaveOccurred())
		found[file.Name] = string(target)
	}
	return found
}

func TestAVirtualEnvironmentAsOutput(t *testing.T) {
	const line = `msg="Skipped an entry" artifact=app entry=venv/bin/python3`
	t.Run("Refuse", func(t *testing.T) {
		p := newPod(t)
		p.hand("KEY", nil, inputs("app"))
		p.writeVenv("app")
		p.expectFailure(Report(context.Background(), p.options), configurationError,
			`output artifact "app"`, `entry "venv/bin/python3": the link leads out of the folder, to "/usr/bin/python3"`, "spec.artifacts.links")
		p.g.Expect(p.backend.HeadObject("bucket", "pipe/app/k.zip")).Error().To(HaveOccurred(), "nothing is uploaded")
	})
	for policy, want := range map[archive.LinkPolicy]map[string]string{
		archive.SkipLinks: {"venv/lib64": "lib"},
		archive.KeepLinks: {"venv/lib64": "lib", "venv/bin/python3": "/usr/bin/python3"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			p := newPod(t)
			p.options.Links = policy
			p.hand("KEY", nil, inputs("app"))
			p.writeVenv("app")
			p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
			p.g.Expect(p.links("pipe/app/k.zip")).To(Equal(want))
			p.g.Expect(strings.Contains(p.log.String(), line)).To(Equal(policy == archive.SkipLinks), p.log.String())
			// The next action accepts it with the same policy.
			p.hand("KEY", inputs("app"), nil)
			p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
			p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input/app/app.py"))).To(Equal([]byte("app")))
			for name, target := range want {
				p.g.Expect(os.Readlink(filepath.Join(p.options.Root, "input/app", name))).To(Equal(target))
			}
		})
	}
}

func TestAnInputWithALinkThatLeadsOut(t *testing.T) {
	content, err := os.ReadFile("../archive/testdata/field/venv.zip")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for policy, kept := range map[archive.LinkPolicy]bool{"": false, archive.SkipLinks: false, archive.KeepLinks: true} {
		t.Run(string(policy), func(t *testing.T) {
			p := newPod(t)
			p.put("pipe/src/k.zip", content)
			p.hand("KEY", inputs("src"), nil)
			p.options.Links = policy
			err := Fetch(context.Background(), p.options)
			if policy == "" {
				p.expectFailure(err, revisionUnavailable, `input artifact "src"`, `entry "venv/bin/python3"`, "spec.artifacts.links")
				return
			}
			p.g.Expect(err).NotTo(HaveOccurred())
			_, err = os.Lstat(filepath.Join(p.options.Root, "input/src/venv/bin/python3"))
			p.g.Expect(err == nil).To(Equal(kept))
			p.g.Expect(strings.Contains(p.log.String(), "artifact=src entry=venv/bin/python3")).To(Equal(!kept))
		})
	}
}

func TestFewOfManySkippedEntriesAreLogged(t *testing.T) {
	p := newPod(t)
	p.options.Links = archive.SkipLinks
	p.hand("KEY", nil, inputs("app"))
	p.g.Expect(os.MkdirAll(filepath.Join(p.options.Root, "output/app"), 0o777)).To(Succeed())
	for i := range 50 {
		p.g.Expect(os.Symlink("/etc", filepath.Join(p.options.Root, "output/app", fmt.Sprint(i)))).To(Succeed())
	}
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(strings.Count(p.log.String(), "Skipped an entry")).To(Equal(maxSkippedLogged))
	p.g.Expect(p.log.String()).To(ContainSubstring("all=50"))
}

func TestAnArtifactThatIsNotUnpacked(t *testing.T) {
	content, err := os.ReadFile("../archive/testdata/field/app.jar")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	p := newPod(t)
	p.put("pipe/jar/Ab3dE5g", content)
	p.put("pipe/src/k.zip", zipped(p.g, "a", "1"))
	jar := podcontract.Artifact{Name: "jar", Bucket: "bucket", ObjectKey: "pipe/jar/Ab3dE5g"}
	p.hand("KEY", append(inputs("src"), jar), nil)
	p.options.Files = []string{"jar", "absent"}
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input/src/a"))).To(Equal([]byte("1")))
	inPod := podcontract.InputFile("jar", jar.ObjectKey)
	p.g.Expect(inPod).To(Equal("/codepipeline/input/jar/Ab3dE5g"))
	p.g.Expect(os.ReadFile(p.options.path(inPod))).To(Equal(content))
	entries, err := os.ReadDir(filepath.Join(p.options.Root, "input/jar"))
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(entries).To(HaveLen(1))
}

// TestAnOutputThatTheNextActionWouldRefuse applies the limits of inputs to outputs.
func TestAnOutputThatTheNextActionWouldRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		limits archive.Limits
		says   []string
	}{
		"too many entries":        {archive.Limits{Bytes: 1 << 30, Entries: 1}, []string{`entry "b"`, "more than 1 entries", "--artifact-max-entries"}},
		"too many bytes":          {archive.Limits{Bytes: 1 << 20, Entries: 5}, []string{`entry "b"`, "more than 1048576 bytes", "--artifact-max-size"}},
		"too good a compression":  {archive.Limits{Bytes: 1 << 30, Entries: 5, Ratio: 200}, []string{`entry "b"`, "more than 200 times as many bytes", "--artifact-max-ratio"}},
		"too long a list of them": {archive.Limits{Bytes: 1 << 30, Entries: 5, IndexBytes: 100}, []string{`entry "b"`, "with it, the list of entries", "with tar"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.options.Limits = c.limits
			p.hand("KEY", nil, inputs("app"))
			p.write("output/app/a", "1")
			p.write("output/app/b", strings.Repeat("\x00", 1<<20))
			p.expectFailure(Report(context.Background(), p.options), configurationError, append(c.says, `output artifact "app"`)...)
			p.g.Expect(p.backend.HeadObject("bucket", "pipe/app/k.zip")).Error().To(HaveOccurred(), "nothing is uploaded")
		})
	}
}

func TestFetchTellsThatDecompressionTakesTooMuchMemory(t *testing.T) {
	p := newPod(t)
	p.put("pipe/src/k.zip", []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00")) // a window of 1 GiB
	p.hand("KEY", inputs("src"), nil)
	p.expectFailure(Fetch(context.Background(), p.options), revisionUnavailable, "zstd needs more than 128 MiB of memory", "spec.artifacts.unpack")
}
