package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// noLimit is more than the size of any test archive.
const noLimit = 1 << 40

// usual are the rules for most tests.
var usual = Rules{Limits: DefaultLimits}

// expectLimit checks that an archive is refused because it exceeds a limit.
func expectLimit(g Gomega, err error, limit Limit, most int64) {
	g.ExpectWithOffset(1, errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
	var exceeded *LimitError
	g.ExpectWithOffset(1, errors.As(err, &exceeded)).To(BeTrue(), "%v", err)
	g.ExpectWithOffset(1, exceeded.Limit).To(Equal(limit))
	g.ExpectWithOffset(1, exceeded.Max).To(Equal(most))
}

// outputFolder creates a folder with every kind of entry.
func outputFolder(t *testing.T) *os.Root {
	t.Helper()
	g := NewWithT(t)
	folder := openRoot(t, t.TempDir())
	g.Expect(folder.MkdirAll("b/empty", 0o755)).To(Succeed())
	g.Expect(folder.WriteFile("a", []byte("1"), 0o600)).To(Succeed())
	g.Expect(folder.WriteFile("b/run ü", []byte("#!"), 0o700)).To(Succeed())
	g.Expect(folder.WriteFile("b/large", []byte(strings.Repeat("0123456789", 100_000)), 0o644)).To(Succeed())
	g.Expect(folder.Symlink("../a", "b/link")).To(Succeed())
	g.Expect(folder.Symlink("b", "to-folder")).To(Succeed())
	g.Expect(folder.Symlink("missing", "dangling")).To(Succeed())
	g.Expect(folder.WriteFile(".hidden", nil, 0o644)).To(Succeed())
	return folder
}

func openRoot(t *testing.T, name string) *os.Root {
	t.Helper()
	g := NewWithT(t)
	root, err := os.OpenRoot(name)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(root.Close()).To(Succeed()) })
	return root
}

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	g := NewWithT(t)
	folder := outputFolder(t)
	var packed bytes.Buffer
	g.Expect(Pack(context.Background(), folder, &packed, noLimit, usual)).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(packed.Bytes(), "k", Limits{Bytes: 2 << 20, Entries: 100})).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(tree(g, folder.Name())))
	info, err := os.Stat(filepath.Join(p.into, "b/run ü"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o777)))
}

func TestPackHoldsItsLimit(t *testing.T) {
	g := NewWithT(t)
	folder := outputFolder(t)
	var packed bytes.Buffer
	g.Expect(Pack(context.Background(), folder, &packed, noLimit, usual)).To(Succeed())
	size := int64(packed.Len())
	g.Expect(Pack(context.Background(), folder, io.Discard, size, usual)).To(Succeed())
	err := Pack(context.Background(), folder, io.Discard, size-1, usual)
	expectLimit(g, err, LimitPackedBytes, size-1)
	g.Expect(err).To(MatchError(ContainSubstring(fmt.Sprintf("its zip archive has more than %d bytes", size-1))))
}

func TestPackDropsTheGroupThatFoldersInherited(t *testing.T) {
	g := NewWithT(t)
	plain, shared := outputFolder(t), outputFolder(t)
	g.Expect(os.Chmod(filepath.Join(shared.Name(), "b"), 0o755|os.ModeSetgid)).To(Succeed())
	g.Expect(os.Chmod(filepath.Join(plain.Name(), "b"), 0o755)).To(Succeed())
	for _, folder := range []*os.Root{plain, shared} {
		g.Expect(filepath.WalkDir(folder.Name(), func(name string, _ os.DirEntry, err error) error {
			return errors.Join(err, unix.Lutimes(name, []unix.Timeval{{Sec: 1e9}, {Sec: 1e9}}))
		})).To(Succeed())
	}
	var first, second bytes.Buffer
	g.Expect(Pack(context.Background(), plain, &first, noLimit, usual)).To(Succeed())
	g.Expect(Pack(context.Background(), shared, &second, noLimit, usual)).To(Succeed())
	g.Expect(second.Bytes()).To(Equal(first.Bytes()))
}

func TestPackIsReproducible(t *testing.T) {
	g := NewWithT(t)
	folder := outputFolder(t)
	var first, second bytes.Buffer
	g.Expect(Pack(context.Background(), folder, &first, noLimit, usual)).To(Succeed())
	g.Expect(Pack(context.Background(), folder, &second, noLimit, usual)).To(Succeed())
	g.Expect(first.Bytes()).To(Equal(second.Bytes()))
}

func TestPackOfAnEmptyFolderIsAnEmptyArchive(t *testing.T) {
	g := NewWithT(t)
	var packed bytes.Buffer
	g.Expect(Pack(context.Background(), openRoot(t, t.TempDir()), &packed, noLimit, usual)).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(packed.Bytes(), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(BeEmpty())
}

func TestPackRefusesWhatIsNoFile(t *testing.T) {
	for name, mk := range map[string]func(path string) error{
		"FIFO":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"socket": listenAt(t),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			folder := outputFolder(t)
			special := filepath.Join(folder.Name(), "c")
			g.Expect(mk(special)).To(Succeed())
			err := Pack(context.Background(), folder, io.Discard, noLimit, usual)
			var refused *RefusedError
			g.Expect(errors.As(err, &refused)).To(BeTrue(), "%v", err)
			g.Expect(refused.Entry).To(Equal("c"))
			g.Expect(err).To(MatchError(ContainSubstring(special + " is not a file, a folder or a symbolic link: remove it")))
		})
	}
}

func listenAt(t *testing.T) func(string) error {
	t.Helper()
	return func(path string) error {
		listener, err := net.Listen("unix", path)
		if err == nil {
			t.Cleanup(func() { _ = listener.Close() })
		}
		return err
	}
}

func TestPackTellsAFileThatItMayNotRead(t *testing.T) {
	g := NewWithT(t)
	p := newPacker(t.Context(), outputFolder(t), usual)
	err := p.unreadable("b/run ü", "a+r")
	g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue())
	g.Expect(err).To(MatchError(And(ContainSubstring(p.folder.Name()+"/b/run ü"), ContainSubstring("chmod a+r"))))
}

func TestPackNeverReadsOutOfItsFolder(t *testing.T) {
	g := NewWithT(t)
	secret := filepath.Join(t.TempDir(), "handover.json")
	g.Expect(os.WriteFile(secret, []byte("very-secret"), 0o600)).To(Succeed())
	folder := outputFolder(t)
	g.Expect(folder.Symlink(secret, "c")).To(Succeed())
	g.Expect(folder.Symlink(filepath.Dir(secret), "d")).To(Succeed())
	for _, policy := range []LinkPolicy{SkipLinks, KeepLinks} {
		var packed bytes.Buffer
		g.Expect(Pack(context.Background(), folder, &packed, noLimit, Rules{Limits: DefaultLimits, Links: policy})).To(Succeed())
		archive, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
		g.Expect(err).NotTo(HaveOccurred())
		for _, file := range archive.File {
			content, err := file.Open()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(io.ReadAll(content)).NotTo(ContainSubstring("very-secret"), file.Name)
		}
	}
}

func TestPackIsNotFooledByAFileThatIsSwapped(t *testing.T) {
	g := NewWithT(t)
	folder := outputFolder(t)
	g.Expect(folder.Symlink("/etc/passwd", "c")).To(Succeed())
	g.Expect(syscall.Mkfifo(filepath.Join(folder.Name(), "d"), 0o600)).To(Succeed())
	// Each was a regular file a moment ago, when the folder was listed.
	p := newPacker(t.Context(), folder, usual)
	for name, says := range map[string]string{"c": "escapes", "d": "is not a file", "e": "no such file"} {
		err := p.file(&zip.FileHeader{Name: name})
		g.Expect(err).To(MatchError(ContainSubstring(says)))
		g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "whose fault it is")
	}
	for _, err := range []error{p.entry("e"), p.walk("e")} {
		g.Expect(err).To(MatchError(ContainSubstring(`entry "e": it changed while it was packed: read ` + folder.Name() + "/e")))
	}
}

func TestPackRefusesAFileThatGrewTooLarge(t *testing.T) {
	g := NewWithT(t)
	w := &zipWriter{to: io.Discard}
	g.Expect(w.beginEntry(&zip.FileHeader{Name: "log"}, 10)).To(Succeed())
	w.open.UncompressedSize64 = 1 << 33
	err := w.endEntry()
	g.Expect(err).To(MatchError(ContainSubstring(`entry "log": the file grew`)))
	g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue())
}

// TestPackRefusesWhatCouldNotBeUnpacked packs names that are too long for an archive, and more
// files than Unpack accepts.
func TestPackRefusesWhatCouldNotBeUnpacked(t *testing.T) {
	g := NewWithT(t)
	folder := openRoot(t, t.TempDir())
	at := folder
	for range 17 {
		element := strings.Repeat("d", 250)
		g.Expect(at.Mkdir(element, 0o777)).To(Succeed())
		next, err := at.OpenRoot(element)
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { g.Expect(next.Close()).To(Succeed()) })
		at = next
	}
	err := Pack(t.Context(), folder, io.Discard, noLimit, usual)
	g.Expect(err).To(MatchError(ContainSubstring("its name has 4266 bytes, and 4096 or more can't be used")))
	g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue())

	w := &zipWriter{to: io.Discard, directorySize: maxIndex - 2*uint64(centralHeaderSize+len("a")), entries: 600_000}
	old := time.Unix(-1, 0) // zip has no field for it
	g.Expect(w.writeStored(&zip.FileHeader{Name: "a", Modified: old}, nil)).To(Succeed())
	g.Expect(w.writeStored(&zip.FileHeader{Name: "b", Modified: old}, nil)).To(Succeed())
	err = w.writeStored(&zip.FileHeader{Name: "c", Modified: old}, nil)
	g.Expect(err).To(MatchError(ContainSubstring(`entry "c": with it, the list of entries has more than 67108864 bytes, after 600002 files`)))
	expectLimit(g, err, LimitPackedIndexBytes, maxIndex)
}

func TestPackGivesTheErrorOfItsWriter(t *testing.T) {
	g := NewWithT(t)
	reader, writer := io.Pipe()
	full := errors.New("no more")
	g.Expect(reader.CloseWithError(full)).To(Succeed())
	err := Pack(context.Background(), outputFolder(t), writer, noLimit, usual)
	g.Expect(err).To(MatchError(full))
	g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse())
}

func TestPackEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	NewWithT(t).Expect(Pack(ctx, outputFolder(t), io.Discard, noLimit, usual)).To(MatchError(context.Canceled))
}

func TestPackTakesNamesInNoKnownEncoding(t *testing.T) {
	g := NewWithT(t)
	folder := openRoot(t, t.TempDir())
	g.Expect(folder.MkdirAll("di\x80/\xff", 0o755)).To(Succeed())
	g.Expect(folder.WriteFile("di\x80/\xff/f\xfc", []byte("1"), 0o644)).To(Succeed())
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), folder, &packed, noLimit, usual)).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(packed.Bytes(), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"di\x80/": "", "di\x80/\xff/": "", "di\x80/\xff/f\xfc": "1"}))
}
