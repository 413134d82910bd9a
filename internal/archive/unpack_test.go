package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	. "github.com/onsi/gomega"
)

// item is an entry of a test archive.
type item struct {
	name    string
	content string
	link    string
	kind    byte // tar's type; zero for a file
	mode    int64
}

func folderItem(name string) item     { return item{name: name, kind: tar.TypeDir, mode: 0o700} }
func fileItem(name, text string) item { return item{name: name, content: text, mode: 0o600} }
func linkItem(name, to string) item   { return item{name: name, link: to, kind: tar.TypeSymlink} }
func hardItem(name, to string) item   { return item{name: name, link: to, kind: tar.TypeLink} }

func tarOf(t testing.TB, items ...item) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, i := range items {
		header := &tar.Header{Name: i.name, Typeflag: i.kind, Linkname: i.link, Mode: i.mode, Size: int64(len(i.content))}
		if i.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if i.kind == tar.TypeXGlobalHeader {
			header = &tar.Header{Typeflag: i.kind, Name: i.name, PAXRecords: map[string]string{"comment": "0123abcd"}}
		}
		g.Expect(archive.WriteHeader(header)).To(Succeed())
		_, err := io.WriteString(archive, i.content)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(archive.Close()).To(Succeed())
	return out.Bytes()
}

func gzipOf(t testing.TB, content []byte) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, err := writer.Write(content)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(writer.Close()).To(Succeed())
	return out.Bytes()
}

func zstdOf(t testing.TB, content []byte) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	writer, err := zstd.NewWriter(&out)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = writer.Write(content)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(writer.Close()).To(Succeed())
	return out.Bytes()
}

func zipOf(t testing.TB, items ...item) []byte {
	t.Helper()
	return zipBy(t, zip.Deflate, items...)
}

func zipBy(t testing.TB, method uint16, items ...item) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	archive.RegisterCompressor(methodZstd, zstd.ZipCompressor())
	for _, i := range items {
		header := &zip.FileHeader{Name: i.name, Method: method}
		content := i.content
		switch i.kind {
		case tar.TypeDir:
			header.SetMode(fs.ModeDir | 0o700)
		case tar.TypeSymlink:
			header.SetMode(fs.ModeSymlink | 0o777)
			content = i.link
		case tar.TypeFifo:
			header.SetMode(fs.ModeNamedPipe | 0o600)
		case tar.TypeChar:
			header.SetMode(fs.ModeDevice | fs.ModeCharDevice | 0o600)
		default:
			header.SetMode(fs.FileMode(i.mode))
		}
		to, err := archive.CreateHeader(header)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = io.WriteString(to, content)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(archive.Close()).To(Succeed())
	return out.Bytes()
}

// formats create an archive in each format.
var formats = map[string]func(testing.TB, ...item) []byte{
	"zip": zipOf,
	"tar": tarOf,
	"tar.gz": func(t testing.TB, items ...item) []byte {
		t.Helper()
		return gzipOf(t, tarOf(t, items...))
	},
	"tar.zst": func(t testing.TB, items ...item) []byte {
		t.Helper()
		return zstdOf(t, tarOf(t, items...))
	},
	"zip by zstd": func(t testing.TB, items ...item) []byte {
		t.Helper()
		return zipBy(t, methodZstd, items...)
	},
}

// isZipFormat reports whether a format is a variant of zip.
func isZipFormat(format string) bool { return strings.HasPrefix(format, "zip") }

// place is a new folder beside another one that must not be touched.
type place struct{ base, into string }

func newPlace(t *testing.T) place {
	t.Helper()
	base := t.TempDir()
	NewWithT(t).Expect(os.WriteFile(filepath.Join(base, "neighbour"), []byte("mine"), 0o600)).To(Succeed())
	return place{base: base, into: filepath.Join(base, "into")}
}

// inMemory is a RangeReader in memory.
type inMemory []byte

func (m inMemory) Size() int64 { return int64(len(m)) }

func (m inMemory) ReadRange(_ context.Context, p []byte, offset int64) error {
	if copy(p, m[offset:]) < len(p) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// unpack unpacks twice: from ranges and from a stream. The results must be the same, except for a
// stream that is too long to store.
func (p place) unpack(content []byte, name string, limits Limits) error {
	ranges := Unpack(context.Background(), Source{Name: name, Ranges: inMemory(content)}, p.into, p.base, Rules{Limits: limits})
	streamed := p.unpackStream(bytes.NewReader(content), name, limits)
	if fmt.Sprint(streamed) != fmt.Sprint(ranges) && !strings.Contains(fmt.Sprint(streamed), "archive itself") {
		return fmt.Errorf("from a stream: %w; by ranges: %w", streamed, ranges)
	}
	if ranges == nil {
		return streamed
	}
	return ranges
}

func (p place) unpackStream(content io.Reader, name string, limits Limits) error {
	return Unpack(context.Background(), Source{Name: name, Stream: content}, p.into, p.base, Rules{Limits: limits})
}

// expectUntouched checks that nothing was created or changed outside of the folder.
func (p place) expectUntouched(g Gomega) {
	entries, err := os.ReadDir(p.base)
	g.Expect(err).NotTo(HaveOccurred())
	for _, entry := range entries {
		g.Expect(entry.Name()).To(BeElementOf("neighbour", "into"))
	}
	g.Expect(os.ReadFile(filepath.Join(p.base, "neighbour"))).To(Equal([]byte("mine")))
}

// tree lists the files below a folder with their content, and the links with their targets.
func tree(g Gomega, folder string) map[string]string {
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == folder {
			return err
		}
		relative := strings.TrimPrefix(name, folder+"/")
		switch {
		case entry.IsDir():
			found[relative+"/"] = ""
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			found[relative] = "-> " + target
			return err
		default:
			content, err := os.ReadFile(name)
			found[relative] = string(content)
			return err
		}
		return nil
	})
	g.Expect(err).NotTo(HaveOccurred())
	return found
}

var small = Limits{Bytes: 1 << 20, Entries: 100}

func TestUnpackUnpacksEveryFormat(t *testing.T) {
	old := syscall.Umask(0o077) // steps of other users must have access anyway
	defer syscall.Umask(old)
	for name, archive := range formats {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			content := archive(t,
				fileItem("plain", "text"),
				item{name: "run.sh", content: "#!", mode: 0o700},
				item{name: "set-id", content: "x", mode: 0o4755},
				item{name: "read-only", content: "x", mode: 0o400},
				folderItem("empty/"),
				fileItem("deep/er/file", "1"),
				folderItem("deep/"),
				fileItem("grüße/日本 \U0001F600\n.txt", "unicode"),
				fileItem("./dotted", "d"),
				fileItem("nothing", ""),
				linkItem("deep/up", "../plain"),
				linkItem("dangling", "not/there"),
				linkItem("through-a-file", "plain/x"),
				linkItem("folder", "deep/er"),
				linkItem("itself", "."),
			)
			g.Expect(p.unpack(content, "some/key", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{
				"plain": "text", "run.sh": "#!", "set-id": "x", "read-only": "x", "empty/": "", "deep/": "", "deep/er/": "",
				"deep/er/file": "1", "grüße/": "", "grüße/日本 \U0001F600\n.txt": "unicode", "dotted": "d", "nothing": "",
				"deep/up": "-> ../plain", "dangling": "-> not/there", "through-a-file": "-> plain/x", "folder": "-> deep/er", "itself": "-> .",
			}))
			for name, mode := range map[string]fs.FileMode{
				"plain": 0o666, "run.sh": 0o777, "set-id": 0o777, "read-only": 0o444,
				"empty": sharedFolderMode, "deep/er": sharedFolderMode, "grüße": sharedFolderMode, ".": sharedFolderMode,
			} {
				info, err := os.Lstat(filepath.Join(p.into, name))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(info.Mode()).To(Equal(mode), name)
			}
			p.expectUntouched(g)
		})
	}
}

func TestUnpackTakesHardLinksAndTheHeaderOfGitArchive(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	content := tarOf(t, item{name: "pax_global_header", kind: tar.TypeXGlobalHeader}, fileItem("a", "1"), hardItem("d/b", "./a"))
	g.Expect(p.unpack(content, "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"a": "1", "d/": "", "d/b": "1"}))
}

func TestUnpackTakesOtherContentAsOneFile(t *testing.T) {
	compressed := string(gzipOf(t, []byte(strings.Repeat("log line\n", 100))))
	for name, c := range map[string]struct{ content, file string }{
		"a plain file":       {"hello", "app.bin"},
		"an empty file":      {"", "empty"},
		"a gzip of one file": {compressed, "app.log.gz"},
		"an unusual name":    {"x", "..b"},
		"a large file":       {strings.Repeat("0123456789", 50_000), "large"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack([]byte(c.content), c.file, small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{c.file: c.content}))
		})
	}
}

func TestUnpackTakesEmptyArchives(t *testing.T) {
	for name, content := range map[string][]byte{"zip": zipOf(t), "tar with a folder": tarOf(t, folderItem("./"))} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(content, "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(BeEmpty())
		})
	}
}

func TestUnpackStartsAnewInAFolderThatIsHalfWritten(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	g.Expect(os.MkdirAll(filepath.Join(p.into, "a/stale"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(p.into, "b"), []byte("hal"), 0o600)).To(Succeed())
	g.Expect(p.unpack(tarOf(t, fileItem("a", "1"), fileItem("b", "half")), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"a": "1", "b": "half"}))
}

func TestUnpackDoesNotFollowALinkInPlaceOfItsFolder(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	elsewhere := t.TempDir()
	g.Expect(os.Symlink(elsewhere, p.into)).To(Succeed())
	g.Expect(p.unpack(tarOf(t, fileItem("a", "1")), "k", small)).To(Succeed())
	g.Expect(tree(g, elsewhere)).To(BeEmpty())
	g.Expect(tree(g, p.into)).To(HaveKey("a"))
}

// brokenRanges fails for ranges that end after the offset.
type brokenRanges struct {
	inMemory
	from int64
	err  error
}

func (b brokenRanges) ReadRange(ctx context.Context, p []byte, offset int64) error {
	if offset+int64(len(p)) > b.from {
		return b.err
	}
	return b.inMemory.ReadRange(ctx, p, offset)
}

// TestUnpackTellsABrokenSourceFromABadArchive includes the error of a closed connection, which
// wraps io.EOF.
func TestUnpackTellsABrokenSourceFromABadArchive(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	for name, archive := range formats {
		content := archive(t, fileItem("a", large), fileItem("b", large))
		for _, broken := range []error{errors.New("connection reset by peer"), fmt.Errorf("send the request: %w", io.EOF)} {
			for _, at := range []int{0, 100, len(content) / 2, len(content) - 1, len(content)} {
				g := NewWithT(t)
				p := newPlace(t)
				expectBroken := func(err error) {
					g.Expect(err).To(MatchError(errSource), "%s, broken at %d", name, at)
					g.Expect(err).To(MatchError(ContainSubstring(broken.Error())))
					g.Expect(errors.Is(err, io.EOF)).To(BeFalse())
					g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse(), err.Error())
					p.expectUntouched(g)
				}
				expectBroken(p.unpackStream(io.MultiReader(bytes.NewReader(content[:at]), iotest.ErrReader(broken)), "k", small))
				if at < len(content) {
					ranges := brokenRanges{content, int64(at), broken}
					expectBroken(Unpack(t.Context(), Source{Name: "k", Ranges: ranges}, p.into, p.base, Rules{Limits: small}))
				}
			}
		}
	}
}

func TestUnpackEndsWithItsContext(t *testing.T) {
	for name, archive := range formats {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			err := Unpack(ctx, Source{Name: "k", Ranges: inMemory(archive(t, fileItem("a", "1")))}, p.into, p.base, Rules{Limits: small})
			g.Expect(err).To(MatchError(context.Canceled))
			g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse(), err.Error())
		})
	}
}

func TestUnpackNamesAFolderThatItCantMake(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	into := filepath.Join(p.base, "neighbour/into")
	err := Unpack(context.Background(), Source{Name: "k", Stream: strings.NewReader("x")}, into, p.base, Rules{Limits: small})
	g.Expect(err).To(MatchError(ContainSubstring(into)))
	g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse())
}
