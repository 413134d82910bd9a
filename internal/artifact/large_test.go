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
	"strconv"
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

// TestFilesOver4GiB has the runner's own program move them: the race detector
// would take minutes.
func TestFilesOver4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	w := newWorkshop(t, buildRunner(NewWithT(t), t.TempDir()))
	object := func(key string) string { return filepath.Join(w.base, "bucket", key) }
	sparseFile(w, filepath.Join(w.tree, "f"))
	w.hand(nil, "packed")
	run(w, w.base, w.command("report")...)
	run(w, w.base, "python3", "-c", "import zipfile,sys; assert zipfile.ZipFile(sys.argv[1]).infolist()[0].file_size == int(sys.argv[2])",
		object("packed"), strconv.Itoa(over4G))
	run(w, w.tree, "tar", "--format=pax", "--sparse", "-cf", object("pax"), "f")
	run(w, w.tree, "tar", "--format=gnu", "--sparse", "-cf", object("gnu"), "f")
	storedZip(w, object("stored"))

	inputs := []string{"packed", "pax", "gnu", "stored"}
	w.hand(inputs, "none")
	used := run(w, w.base, append(w.command("fetch"), "--max-ratio=0")...)
	w.Expect(used.rss).To(BeNumerically("<", mostMemory))
	for _, name := range inputs {
		expectSparse(w, filepath.Join(w.input(name), "f"))
	}
	w.Expect(os.ReadFile(filepath.Join(w.input("stored"), "g"))).To(Equal([]byte("behind")), "with an offset over 4 GiB")
}

// storedZip makes an archive with a file that is not compressed, and another.
func storedZip(g Gomega, name string) {
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
	g.Expect(w.record()).To(Succeed())
	g.Expect(w.stored(&zip.FileHeader{Name: "g"}, []byte("behind"))).To(Succeed())
	g.Expect(w.close()).To(Succeed())
	file, err := os.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	at := int64(first.Len())
	for place, content := range map[int64]string{0: first.String(), at: "begin", at + over4G - 3: "end", at + over4G: rest.String()} {
		_, err := file.WriteAt([]byte(content), place)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(file.Close()).To(Succeed())
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
