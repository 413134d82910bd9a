package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// sharedFolderMode is the mode of every unpacked folder.
const sharedFolderMode = fs.ModeDir | fs.ModeSetgid | 0o777

// kept is what an archive preserves of a file.
type kept struct {
	content  string
	mode     fs.FileMode
	modified time.Time
}

// treeTime is an even number of seconds, which every format can store.
var treeTime = time.Date(2021, 3, 4, 5, 6, 8, 0, time.UTC)

// corpusTree creates the tree that the archives of the corpus were made from.
func corpusTree(t *testing.T, links bool) string {
	t.Helper()
	g := NewWithT(t)
	folder := filepath.Join(t.TempDir(), "tree")
	for _, name := range []string{"empty", "nested/empty/deep", "dir/sub"} {
		g.Expect(os.MkdirAll(filepath.Join(folder, name), 0o755)).To(Succeed())
	}
	for name, mode := range map[string]fs.FileMode{"plain.txt": 0o644, "dir/run.sh": 0o755, "dir/read-only": 0o444, "dir/sub/mine": 0o600, "grüße 日本.txt": 0o640} {
		file := filepath.Join(folder, name)
		g.Expect(os.WriteFile(file, []byte(strings.Repeat(name+"\n", 50)), 0o600)).To(Succeed())
		g.Expect(os.Chmod(file, mode)).To(Succeed())
	}
	g.Expect(os.WriteFile(filepath.Join(folder, "nothing"), nil, 0o644)).To(Succeed())
	if links {
		g.Expect(os.Symlink("dir/run.sh", filepath.Join(folder, "link"))).To(Succeed())
		g.Expect(os.Symlink("../plain.txt", filepath.Join(folder, "dir/up"))).To(Succeed())
	}
	var names []string
	g.Expect(filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})).To(Succeed())
	slices.Reverse(names) // the content of a folder before the folder
	for _, name := range names {
		g.Expect(setTime(unix.AT_FDCWD, name, treeTime, unix.AT_SYMLINK_NOFOLLOW)).To(Succeed())
	}
	return folder
}

func keptOf(g Gomega, folder string, mode func(fs.FileMode) fs.FileMode) map[string]kept {
	found := map[string]kept{}
	g.Expect(filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == folder {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		one := kept{modified: info.ModTime().UTC()}
		switch {
		case info.IsDir():
			one.mode = sharedFolderMode
		case info.Mode()&fs.ModeSymlink != 0:
			one.mode = fs.ModeSymlink
			one.content, err = os.Readlink(name)
		case info.Mode()&0o400 == 0: // only root can read it
			one.mode = mode(info.Mode())
		default:
			one.mode = mode(info.Mode())
			content, readErr := os.ReadFile(name)
			one.content, err = string(content), readErr
		}
		found[strings.TrimPrefix(name, folder+"/")] = one
		return err
	})).To(Succeed())
	return found
}

func asIs(mode fs.FileMode) fs.FileMode { return mode }

// tool creates an archive of its working directory.
type tool struct {
	// archive is the file in testdata.
	archive string
	command string
	// runs is another program that the command needs.
	runs string
	// noLinks, noEmpty, noTimes and noModes are set for what the format or the tool does not
	// preserve.
	noLinks, noEmpty, noTimes, noModes bool
}

const (
	pythonZip = `python3 -c "import shutil; shutil.make_archive('$OUT', 'zip', '.')" && mv "$OUT.zip" "$OUT"`
	pythonTar = `python3 -c "import tarfile,sys; t=tarfile.open('$OUT','w:gz'); t.add('.'); t.close()"`
	gitBegin  = `export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=2021-03-04T05:06:08Z GIT_COMMITTER_DATE=2021-03-04T05:06:08Z; git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm a && git archive -o "$OUT" --format=`
)

var tools = []tool{
	{archive: "infozip.zip", command: `zip -qry "$OUT" .`},
	{archive: "python.zip", command: pythonZip, noLinks: true, noTimes: true},
	{archive: "python.tar.gz", command: pythonTar},
	{archive: "jar.zip", command: `jar --create --no-manifest --file "$OUT" .`, noLinks: true, noModes: true, noTimes: true},
	{archive: "gnu.tar", command: `tar --format=gnu -cf "$OUT" .`},
	{archive: "pax.tar", command: `tar --format=pax -cf "$OUT" .`},
	{archive: "ustar.tar", command: `tar --format=ustar -cf "$OUT" .`},
	{archive: "oldgnu.tar", command: `tar --format=oldgnu -cf "$OUT" .`},
	{archive: "sparse.tar", command: `tar --format=pax --sparse -cf "$OUT" .`},
	{archive: "sparse-gnu.tar", command: `tar --format=gnu --sparse -cf "$OUT" .`},
	{archive: "label.tar", command: `tar --format=gnu --label=of-the-day -cf "$OUT" .`},
	{archive: "incremental.tar", command: `tar --format=gnu --listed-incremental="$OUT.snar" -cf "$OUT" .`},
	{archive: "spanning.zip", command: `zip -qry -s 100m "$OUT" .`},
	{archive: "gnu.tar.gz", command: `tar -czf "$OUT" .`, runs: "gzip"},
	{archive: "gnu.tar.bz2", command: `tar -cjf "$OUT" .`, runs: "bzip2"},
	{archive: "gnu.tar.xz", command: `tar -cJf "$OUT" .`, runs: "xz"},
	{archive: "gnu.tar.zst", command: `tar --zstd -cf "$OUT" .`, runs: "zstd"},
	{archive: "infozip-bzip2.zip", command: `zip -qry -Z bzip2 "$OUT" .`},
	{archive: "bsdtar.zip", command: `bsdtar --format=zip -cf "$OUT" .`},
	{archive: "bsdtar.tar", command: `bsdtar --format=pax -cf "$OUT" .`},
	{archive: "git.zip", command: gitBegin + "zip HEAD", noEmpty: true, noModes: true},
	{archive: "git.tar", command: gitBegin + "tar HEAD", noEmpty: true, noModes: true},
	{archive: "git.tar.gz", command: gitBegin + "tar.gz HEAD", noEmpty: true, noModes: true},
}

// expected returns the tree after unpacking, without what the tool does not preserve.
func (c tool) expected(g Gomega, folder string) map[string]kept {
	expected := keptOf(g, folder, widen)
	for name := range expected {
		if c.noEmpty && (strings.HasPrefix(name, "empty") || strings.HasPrefix(name, "nested")) {
			delete(expected, name)
		}
	}
	return c.forget(expected)
}

func (c tool) forget(all map[string]kept) map[string]kept {
	for name, one := range all {
		if c.noTimes || c.noEmpty && one.mode.IsDir() {
			one.modified = time.Time{}
		}
		if c.noModes && one.mode.IsRegular() {
			one.mode = 0
		}
		all[name] = one
	}
	return all
}

func TestUnpackUnpacksArchivesOfOtherTools(t *testing.T) {
	for _, c := range tools {
		t.Run(c.archive, func(t *testing.T) {
			g := NewWithT(t)
			into := c.expectUnpacked(t, stored(g, c.archive), c.expected(g, corpusTree(t, !c.noLinks)))
			packedAgain(t, into)
		})
	}
}

// expectUnpacked unpacks an archive, compares it with the expected tree and returns its folder.
func (c tool) expectUnpacked(t *testing.T, archive []byte, expected map[string]kept) string {
	t.Helper()
	g := NewWithT(t)
	p := newPlace(t)
	g.Expect(p.unpack(archive, "k", Limits{Bytes: 1 << 20, Entries: 1000})).To(Succeed())
	_ = os.RemoveAll(filepath.Join(p.into, "META-INF"))
	expectSame(g, c.forget(keptOf(g, p.into, asIs)), expected)
	return p.into
}

func stored(g Gomega, archive string) []byte {
	content, err := os.ReadFile(filepath.Join("testdata", archive))
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

// packedAgain packs a folder, checks that the archive can be unpacked, and returns the archive.
func packedAgain(t *testing.T, folder string) []byte {
	t.Helper()
	g := NewWithT(t)
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), openRoot(t, folder), &packed, noLimit, usual)).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(packed.Bytes(), "k", Limits{Bytes: 1 << 20, Entries: 1000})).To(Succeed())
	expectSame(g, keptOf(g, p.into, asIs), keptOf(g, folder, asIs))
	return packed.Bytes()
}

func expectSame(g Gomega, found, expected map[string]kept) {
	for name, one := range expected {
		g.ExpectWithOffset(1, found).To(HaveKey(name))
		g.ExpectWithOffset(1, found[name]).To(Equal(one), name)
	}
	g.ExpectWithOffset(1, found).To(HaveLen(len(expected)))
}

func TestUnpackKeepsTimesAndModes(t *testing.T) {
	began := time.Now().Add(-time.Minute) // file times are coarse
	g := NewWithT(t)
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	fine := treeTime.Add(123456789)
	for _, header := range []*tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o500, ModTime: treeTime},
		{Name: "d/e/", Typeflag: tar.TypeDir, Mode: 0, ModTime: treeTime.Add(time.Hour)},
		{Name: "d/e/fine", Typeflag: tar.TypeReg, Mode: 0o4501, ModTime: fine, Format: tar.FormatPAX},
		{Name: "d/link", Typeflag: tar.TypeSymlink, Linkname: "e/fine", ModTime: fine, Format: tar.FormatPAX},
		{Name: "d/old", Typeflag: tar.TypeReg, Mode: 0o040, ModTime: time.Unix(-86400, 0), Format: tar.FormatPAX},
		{Name: "d/never", Typeflag: tar.TypeReg, Mode: 0o600, ModTime: time.Unix(1<<40, 0), Format: tar.FormatPAX},
	} {
		g.Expect(archive.WriteHeader(header)).To(Succeed())
	}
	g.Expect(archive.Close()).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(out.Bytes(), "k", small)).To(Succeed())
	found := keptOf(g, p.into, asIs)
	g.Expect(found["d"]).To(Equal(kept{mode: sharedFolderMode, modified: treeTime}))
	g.Expect(found["d/e"]).To(Equal(kept{mode: sharedFolderMode, modified: treeTime.Add(time.Hour)}))
	g.Expect(found["d/e/fine"]).To(Equal(kept{mode: 0o555, modified: fine}))
	g.Expect(found["d/link"]).To(Equal(kept{content: "e/fine", mode: fs.ModeSymlink, modified: fine}))
	g.Expect(found["d/old"]).To(Equal(kept{mode: 0o040, modified: time.Unix(-86400, 0).UTC()}))
	g.Expect(found["d/never"].modified).To(BeTemporally(">=", began), "a time that no file system holds is not set")
}

// TestUnpackTakesWhatZipReadsFromAPipe unpacks what Info-ZIP stores for a pipe: a FIFO with
// content.
func TestUnpackTakesWhatZipReadsFromAPipe(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	w := &zipWriter{to: &out}
	header := &zip.FileHeader{Name: "-"}
	header.SetMode(fs.ModeNamedPipe | 0o600)
	g.Expect(w.writeStored(header, []byte("piped"))).To(Succeed())
	g.Expect(w.close()).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(out.Bytes(), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"-": "piped"}))
}

// TestUnpackFollowsEightLinks unpacks chains of symbolic links. os.Root follows at most eight.
func TestUnpackFollowsEightLinks(t *testing.T) {
	chain := []item{fileItem("l0", "1")}
	for i := 1; i <= 8; i++ {
		chain = append(chain, linkItem(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i-1)))
	}
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			NewWithT(t).Expect(newPlace(t).unpack(archive(t, chain...), "k", small)).To(Succeed())
			expectRefused(t, archive(t, append(chain, linkItem("l9", "l8"))...), small, "l9", "over too many links")
		})
	}
}

func TestUnpackTakesContiguousFiles(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	g.Expect(p.unpack(tarOf(t, item{name: "f", content: "1", kind: tar.TypeCont, mode: 0o644}), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"f": "1"}))
}

func TestUnpackKeepsHardLinksToSymbolicLinks(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	content := tarOf(t, fileItem("f", "1"), linkItem("l", "f"), hardItem("d/first", "l"), hardItem("second", "d/first"))
	g.Expect(p.unpack(content, "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(Equal(map[string]string{"f": "1", "l": "-> f", "d/": "", "d/first": "-> f", "second": "-> f"}))
	expectRefused(t, tarOf(t, linkItem("d/l", "../f"), hardItem("h", "d/l")), small, "h", leadsOut)
}

func TestUnpackTakesTarOfTheOldestDialect(t *testing.T) {
	content := tarOf(t, fileItem("f", "1"))
	clear(content[tarMagicOffset:][:8]) // the magic and its version
	copy(content, checksummed(content[:tarBlock]))
	for name, archive := range map[string][]byte{"tar": content, "tar.gz": gzipOf(t, content)} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(archive, "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{"f": "1"}))
		})
	}
	g := NewWithT(t)
	p := newPlace(t)
	content[0]++
	g.Expect(p.unpack(content, "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(HaveKey("k"), "what has no checksum is any file")
}

func TestModesAreGivenToEverybody(t *testing.T) {
	for given, expected := range map[fs.FileMode]fs.FileMode{
		0o644: 0o666, 0o755: 0o777, 0o444: 0o444, 0o600: 0o666, 0o700: 0o777, 0o711: 0o777,
		0o400 | fs.ModeSetuid: 0o444, 0o770 | fs.ModeSticky | fs.ModeSetgid: 0o777, 0o466: 0o466, 0: 0,
	} {
		NewWithT(t).Expect(widen(given)).To(Equal(expected), given.String())
	}
}

func TestUnpackReadsWhatZipEntriesSayOfThemselves(t *testing.T) {
	began := time.Now().Add(-time.Minute) // file times are coarse
	g := NewWithT(t)
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	old := "gr\x81\xe1e" // in DOS encoding
	unicode := func(of, name string) []byte {
		field := little.AppendUint16(nil, unicodePath)
		field = little.AppendUint16(field, uint16(5+len(name)))
		field = append(field, unicodeVersion)
		field = little.AppendUint32(field, crc32.ChecksumIEEE([]byte(of)))
		return append(field, name...)
	}
	for _, header := range []*zip.FileHeader{
		{Name: old, NonUTF8: true, Extra: unicode(old, "grüße")},
		{Name: "renamed", Extra: unicode("before", "../before")},
		{Name: "dos", ExternalAttrs: 1},
		{Name: "unix", CreatorVersion: hostUnix << 8},
		{Name: "dated", Modified: treeTime},
		{Name: "inner.zip"},
	} {
		to, err := archive.CreateHeader(header)
		g.Expect(err).NotTo(HaveOccurred())
		if header.Name == "inner.zip" { // not unpacked
			_, err = to.Write(zipOf(t, fileItem("../x", "1")))
			g.Expect(err).NotTo(HaveOccurred())
		}
	}
	g.Expect(archive.Close()).To(Succeed())
	p := newPlace(t)
	g.Expect(p.unpack(out.Bytes(), "k", small)).To(Succeed())
	found := keptOf(g, p.into, asIs)
	for _, name := range []string{"grüße", "renamed", "dos", "unix", "dated", "inner.zip"} {
		g.Expect(found).To(HaveKey(name))
		g.Expect(found[name].mode).To(Equal(fs.FileMode(0o666)), "%s has no modes", name)
	}
	g.Expect(found["dated"].modified).To(Equal(treeTime))
	g.Expect(found["dos"].modified).To(BeTemporally(">=", began), "a missing date is not set")
}
