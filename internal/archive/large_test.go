//go:build !race

package archive

// These tests run many programs or create many folders, which takes minutes with the race detector.
// "make test-unit" runs them without it.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// update replaces the archives in testdata with those of this machine's tools.
var update = os.Getenv("UPDATE_TESTDATA") != ""

// programs returns the programs that make the archive.
func (c tool) programs() []string {
	first := strings.Fields(c.command)[0]
	if first == "export" {
		first = "git"
	}
	if c.runs == "" {
		return []string{first}
	}
	return []string{first, c.runs}
}

// make runs the tool. If the tool is not installed, it returns the archive in testdata.
func (c tool) make(t *testing.T, folder string) []byte {
	t.Helper()
	g := NewWithT(t)
	stored := filepath.Join("testdata", c.archive)
	for _, name := range c.programs() {
		if _, err := exec.LookPath(name); err != nil {
			t.Logf("%s is not installed: reading the archive in testdata instead", name)
			content, err := os.ReadFile(stored)
			g.Expect(err).NotTo(HaveOccurred())
			return content
		}
	}
	out := filepath.Join(t.TempDir(), c.archive)
	cmd := exec.Command("sh", "-ec", c.command)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "OUT="+out, "TZ=UTC", "LC_ALL=C.UTF-8")
	said, err := cmd.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(said))
	content, err := os.ReadFile(out)
	g.Expect(err).NotTo(HaveOccurred())
	if update {
		g.Expect(os.WriteFile(stored, content, 0o644)).To(Succeed())
	}
	return content
}

func TestUnpackUnpacksArchivesOfThisMachinesTools(t *testing.T) {
	for _, c := range tools {
		t.Run(c.archive, func(t *testing.T) {
			folder := corpusTree(t, !c.noLinks)
			expected := c.expected(NewWithT(t), folder) // before git adds its files
			into := c.expectUnpacked(t, c.make(t, folder), expected)
			expectOtherToolsUnpack(t, packedAgain(t, into), into)
		})
	}
}

// expectOtherToolsUnpack unpacks an archive of a folder with unzip and Python.
func expectOtherToolsUnpack(t *testing.T, content []byte, folder string) {
	t.Helper()
	g := NewWithT(t)
	archive := filepath.Join(t.TempDir(), "a.zip")
	g.Expect(os.WriteFile(archive, content, 0o600)).To(Succeed())
	t.Run("unzip", func(t *testing.T) {
		needs.Program(t, "unzip")
		g, into := NewWithT(t), filepath.Join(t.TempDir(), "unzipped")
		g.Expect(runTool(t, "unzip", "-q", archive, "-d", into)).To(Succeed())
		expectSame(g, withoutLinkTimes(keptOf(g, into, asIs)), withoutLinkTimes(keptOf(g, folder, asIs)))
	})
	t.Run("Python", func(t *testing.T) {
		needs.Program(t, "python3")
		NewWithT(t).Expect(runTool(t, "python3", "-c", "import zipfile,sys; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)", archive)).To(Succeed())
	})
}

// withoutLinkTimes removes the times of links, which unzip does not set.
func withoutLinkTimes(all map[string]kept) map[string]kept {
	for name, one := range all {
		if one.mode&fs.ModeSymlink != 0 {
			one.modified = time.Time{}
			all[name] = one
		}
	}
	return all
}

func runTool(t *testing.T, name string, args ...string) error {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%s: %s", name, said)
	}
	return err
}

func TestUnpackRefusesEveryCut(t *testing.T) {
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			content := archive(t, fileItem("a", "12345"), fileItem(strings.Repeat("n", 150), "1"), folderItem("d/"), linkItem("l", "a"))
			whole := len(content)
			if format == "tar" {
				whole -= tarBlock // one of the two blocks of zeros is enough
			}
			g, p := NewWithT(t), newPlace(t)
			for at := 1; at < whole; at++ {
				err := p.unpack(content[:at], "k", small)
				p.expectUntouched(g)
				if format == "tar" && at < tarMagicOffset+len(tarMagic) || isZipFormat(format) && at < len(zipMagic) || format == "tar.gz" && at < 2 || format == "tar.zst" && at < 4 {
					g.Expect(err).NotTo(HaveOccurred(), "so few bytes are a file of their own")
					continue
				}
				if strings.HasPrefix(format, "tar.") && err == nil { // content that can't be decompressed is stored unchanged
					g.Expect(tree(g, p.into)).To(Equal(map[string]string{"k": string(content[:at])}), "%d", at)
					continue
				}
				g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%d: %v", at, err)
				g.Expect(p.into).NotTo(BeAnExistingFile())
			}
		})
	}
}

func TestUnpackTakesLongNames(t *testing.T) {
	element := strings.Repeat("x", 255)
	long := strings.Repeat(strings.Repeat("y", 199)+"/", 18) + "file" // a longer name does not fit below the test's folder
	deep := strings.Repeat("d/", 1500) + "f"
	raw := "latin\xfc\xff"
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(archive(t, fileItem(element, "1"), fileItem(long, "2"), fileItem(deep, "3"), fileItem(raw, "4")), "k", Limits{Bytes: 100, Entries: 2000})).To(Succeed())
			for name, content := range map[string]string{element: "1", long: "2", deep: "3", raw: "4"} {
				g.Expect(os.ReadFile(filepath.Join(p.into, name))).To(Equal([]byte(content)))
			}
		})
	}
}
