//go:build !race

package runner

import (
	"archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// over4G is a size that needs zip64. The files are sparse, with data only at the beginning and the
// end.
const over4G = 4<<30 + 4096

func sparseFile(g Gomega, name string) {
	file, err := os.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = file.WriteString("begin")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = file.WriteAt([]byte("end"), over4G-3)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(file.Close()).To(Succeed())
}

func expectSparse(g Gomega, name string) {
	info, err := os.Stat(name)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Size()).To(Equal(int64(over4G)))
	g.Expect(info.Sys().(*syscall.Stat_t).Blocks*512).To(BeNumerically("<", 1<<20), "a sparse file stays sparse")
	file, err := os.Open(name)
	g.Expect(err).NotTo(HaveOccurred())
	begin, end := make([]byte, 6), make([]byte, 4)
	_, err = file.ReadAt(begin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = file.ReadAt(end, over4G-4)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(file.Close()).To(Succeed())
	g.Expect(string(begin) + string(end)).To(Equal("begin\x00\x00end"))
}

func TestFilesOver4GiB(t *testing.T) {
	w := newWorkshop(t, buildRunner(NewWithT(t), t.TempDir()))
	object := func(key string) string { return filepath.Join(w.base, "bucket", key) }
	sparseFile(w, filepath.Join(w.tree, "f"))
	w.hand(nil, "packed")
	run(w, w.base, append(w.command("report"), "--max-ratio=0")...)
	t.Run("Python reads what the runner packed", func(t *testing.T) {
		needs.Program(t, "python3")
		run(NewWithT(t), w.base, "python3", "-c", "import zipfile,sys; assert zipfile.ZipFile(sys.argv[1]).infolist()[0].file_size == int(sys.argv[2])",
			object("packed"), strconv.Itoa(over4G))
	})
	run(w, w.tree, "tar", "--format=pax", "--sparse", "-cf", object("pax"), "f")
	run(w, w.tree, "tar", "--format=gnu", "--sparse", "-cf", object("gnu"), "f")
	storedZip(w, object("stored"))

	inputs := []string{"packed", "pax", "gnu", "stored"}
	w.hand(inputs, "none")
	used := run(w, w.base, append(w.command("fetch"), "--max-ratio=0")...)
	w.Expect(used.rss).To(BeNumerically("<", maxMemory))
	for _, name := range inputs {
		expectSparse(w, filepath.Join(w.input(name), "f"))
	}
	w.Expect(os.ReadFile(filepath.Join(w.input("stored"), "g"))).To(Equal([]byte("after it")), "with an offset over 4 GiB")
}

// storedZip creates an archive with an uncompressed file and another file.
func storedZip(g Gomega, name string) {
	sum := crc32.NewIEEE()
	writeOver4G(g, sum)
	file, err := os.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	archive := zip.NewWriter(holes{file})
	const dataDescriptor = 1 << 3 // sizes follow the content
	first, err := archive.CreateRaw(&zip.FileHeader{Name: "f", CRC32: sum.Sum32(), Flags: dataDescriptor, CompressedSize64: over4G, UncompressedSize64: over4G})
	g.Expect(err).NotTo(HaveOccurred())
	writeOver4G(g, first)
	second, err := archive.Create("g")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.WriteString(second, "after it")
	g.Expect(errors.Join(err, archive.Close(), file.Close())).To(Succeed())
}

var zeros [1 << 20]byte

// writeOver4G writes the same content as sparseFile.
func writeOver4G(g Gomega, to io.Writer) {
	_, err := io.WriteString(to, "begin")
	g.Expect(err).NotTo(HaveOccurred())
	for rest := over4G - len("beginend"); rest > 0; rest -= len(zeros) {
		_, err = to.Write(zeros[:min(rest, len(zeros))])
		g.Expect(err).NotTo(HaveOccurred())
	}
	_, err = io.WriteString(to, "end")
	g.Expect(err).NotTo(HaveOccurred())
}

// holes writes a sparse file.
type holes struct{ *os.File }

func (h holes) Write(p []byte) (int, error) {
	if len(p) > len(zeros) || !bytes.Equal(p, zeros[:len(p)]) {
		return h.File.Write(p)
	}
	_, err := h.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}
