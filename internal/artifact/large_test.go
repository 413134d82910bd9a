package artifact

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// over4G needs zip64. All of it but its begin and its end is a hole.
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

func TestFetchTakesFilesOver4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	limits := Limits{Bytes: 8 << 30, Entries: 10}
	base := t.TempDir()
	sparseFile(NewWithT(t), filepath.Join(base, "f"))
	t.Run("stored in a zip, with an offset over 4 GiB behind it", func(t *testing.T) {
		g := NewWithT(t)
		archive := storedZip(t)
		p := newPlace(t)
		g.Expect(Fetch(t.Context(), archive, "k", p.into, p.base, limits)).To(Succeed())
		expectSparse(g, filepath.Join(p.into, "f"))
		g.Expect(os.ReadFile(filepath.Join(p.into, "g"))).To(Equal([]byte("behind")))
	})
	t.Run("in a sparse tar", func(t *testing.T) {
		g := NewWithT(t)
		for _, format := range []string{"--format=pax", "--format=gnu"} {
			archive := filepath.Join(t.TempDir(), "a.tar")
			if err := runTool(t, "tar", format, "--sparse", "-cf", archive, "-C", base, "f"); err != nil {
				t.Skip("there is no GNU tar")
			}
			content, err := os.ReadFile(archive)
			g.Expect(err).NotTo(HaveOccurred())
			p := newPlace(t)
			g.Expect(Fetch(t.Context(), bytes.NewReader(content), "k", p.into, p.base, limits)).To(Succeed())
			expectSparse(g, filepath.Join(p.into, "f"))
		}
	})
	t.Run("packed", func(t *testing.T) {
		g := NewWithT(t)
		var packed bytes.Buffer
		g.Expect(Pack(t.Context(), openRoot(t, base), &packed)).To(Succeed())
		p := newPlace(t)
		g.Expect(Fetch(t.Context(), bytes.NewReader(packed.Bytes()), "k", p.into, p.base, limits)).To(Succeed())
		expectSparse(g, filepath.Join(p.into, "f"))
		archive := filepath.Join(t.TempDir(), "a.zip")
		g.Expect(os.WriteFile(archive, packed.Bytes(), 0o600)).To(Succeed())
		g.Expect(runTool(t, "python3", "-c", "import zipfile,sys; assert zipfile.ZipFile(sys.argv[1]).infolist()[0].file_size == int(sys.argv[2])", archive, "4294971392")).To(Succeed())
	})
}

// sparseArchive is zeros, but for some places.
type sparseArchive struct {
	*io.SectionReader
	at map[int64]string
}

func (s *sparseArchive) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	for place, content := range s.at {
		for i := max(place, at); i < min(place+int64(len(content)), at+int64(len(p))); i++ {
			p[i-at] = content[i-place]
		}
	}
	return len(p), nil
}

// storedZip makes an archive with a file that is not compressed, and another.
func storedZip(t *testing.T) *sparseArchive {
	t.Helper()
	g := NewWithT(t)
	sum := crc32.NewIEEE()
	_, _ = io.WriteString(sum, "begin")
	for left := over4G - len("beginend"); left > 0; left -= len(zeros) {
		_, _ = sum.Write(zeros[:min(left, len(zeros))])
	}
	_, _ = io.WriteString(sum, "end")
	var first, rest bytes.Buffer
	header := &zip.FileHeader{Name: "f", CRC32: sum.Sum32(), Flags: sizesBehind, CompressedSize64: over4G, UncompressedSize64: over4G}
	w := zipWriter{to: &first, large: true}
	g.Expect(w.local(header)).To(Succeed())
	w.to, w.at = &rest, w.at+over4G
	w.record()
	g.Expect(w.stored(&zip.FileHeader{Name: "g"}, []byte("behind"))).To(Succeed())
	g.Expect(w.close()).To(Succeed())
	at := int64(first.Len())
	archive := &sparseArchive{at: map[int64]string{0: first.String(), at: "begin", at + over4G - 3: "end", at + over4G: rest.String()}}
	archive.SectionReader = io.NewSectionReader(archive, 0, at+over4G+int64(rest.Len()))
	return archive
}

func TestFetchHoldsLittleOfManyEntries(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	w := &zipWriter{to: &out}
	const many = 70_000 // more than an archive without zip64 can number
	for i := range many {
		g.Expect(w.stored(&zip.FileHeader{Name: fmt.Sprintf("d/%d", i)}, nil)).To(Succeed())
	}
	g.Expect(w.close()).To(Succeed())
	list, err := readDirectory(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), DefaultLimits)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list.entries).To(HaveLen(many))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	held, err := readDirectory(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), DefaultLimits)
	g.Expect(err).NotTo(HaveOccurred())
	runtime.GC()
	runtime.ReadMemStats(&after)
	g.Expect(int64(after.HeapAlloc) - int64(before.HeapAlloc)).To(BeNumerically("<", 20*many+len(held.raw)))
	runtime.KeepAlive([]*directory{list, held})
}
