package podcontract

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

func openRoot(t *testing.T) (*os.Root, string) {
	t.Helper()
	name := t.TempDir()
	root, err := os.OpenRoot(name)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(root.Close()).To(Succeed()) })
	return root, name
}

func TestAFolderOpensRegularFilesAlone(t *testing.T) {
	g := NewWithT(t)
	root, name := openRoot(t)
	g.Expect(os.WriteFile(filepath.Join(name, "output-variables"), []byte("A=1"), 0o600)).To(Succeed())
	g.Expect(syscall.Mkfifo(filepath.Join(name, "summary"), 0o600)).To(Succeed())
	g.Expect(os.Symlink("output-variables", filepath.Join(name, "percent-complete"))).To(Succeed())
	folder := NewResultFolder(root)
	for _, name := range []string{"summary", "percent-complete", "."} {
		_, err := folder.Open(name)
		g.Expect(err).To(MatchError(errIrregular), name)
	}
	_, err := folder.Open("../" + filepath.Base(name) + "/output-variables")
	g.Expect(err).To(HaveOccurred(), "it leads out")
	_, err = folder.Open("result.json")
	g.Expect(err).To(MatchError(fs.ErrNotExist))

	opened, err := folder.Open("output-variables")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(io.ReadAll(opened)).To(Equal([]byte("A=1")))
	g.Expect(opened.Close()).To(Succeed())
}

func TestAFileThatIsNoRegularOneIsNamed(t *testing.T) {
	g := NewWithT(t)
	root, name := openRoot(t)
	g.Expect(syscall.Mkfifo(filepath.Join(name, "summary"), 0o666)).To(Succeed())
	_, err := ParseResultFiles(NewResultFolder(root))
	g.Expect(err).To(MatchError("summary: must be a regular file"))
}
