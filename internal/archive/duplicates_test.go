package archive

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestUnpackTakesTheSameEntryTwice unpacks what build tools write if they are given the same file
// under two names.
func TestUnpackTakesTheSameEntryTwice(t *testing.T) {
	large := string(bytes.Repeat([]byte("0123456789"), 50_000))
	for name, c := range map[string]struct {
		items []item
		want  map[string]string
	}{
		"a file":                   {[]item{fileItem("f", "1"), fileItem("f", "1")}, map[string]string{"f": "1"}},
		"a file by a dot":          {[]item{fileItem("f", "1"), fileItem("./f", "1")}, map[string]string{"f": "1"}},
		"a file by other names":    {[]item{fileItem("f", "1"), fileItem("./d/../f", "1")}, map[string]string{"f": "1"}},
		"a file three times":       {slices.Repeat([]item{fileItem("f", "1")}, 3), map[string]string{"f": "1"}},
		"an empty file":            {[]item{fileItem("f", ""), fileItem("f", "")}, map[string]string{"f": ""}},
		"a large file":             {[]item{fileItem("f", large), fileItem("g", "1"), fileItem("f", large)}, map[string]string{"f": large, "g": "1"}},
		"a file that may not read": {[]item{{name: "f", content: "1", mode: 0o200}, fileItem("f", "1")}, map[string]string{"f": "1"}},
		"a link":                   {[]item{linkItem("l", "d"), linkItem("./l", "d")}, map[string]string{"l": "-> d"}},
	} {
		for format, archive := range formats {
			t.Run(name+"/"+format, func(t *testing.T) {
				g := NewWithT(t)
				p := newPlace(t)
				g.Expect(p.unpack(archive(t, c.items...), "k", small)).To(Succeed())
				g.Expect(tree(g, p.into)).To(Equal(c.want))
			})
		}
	}
}

func TestUnpackGivesAFileTheModeOfItsLastEntry(t *testing.T) {
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(archive(t, fileItem("f", "1"), item{name: "f", content: "1", mode: 0o700}), "k", small)).To(Succeed())
			info, err := os.Stat(filepath.Join(p.into, "f"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(info.Mode()).To(Equal(fs.FileMode(0o777)))
		})
	}
}

// replacements are different entries with the same name, as "tar --append" adds them, and the
// expected result.
var replacements = map[string]struct {
	items []item
	want  map[string]string
	entry string
}{
	"a file":                     {[]item{fileItem("f", "old"), fileItem("f", "new!")}, map[string]string{"f": "new!"}, "f"},
	"a file of the same size":    {[]item{fileItem("f", "old"), fileItem("f", "new")}, map[string]string{"f": "new"}, "f"},
	"a file, by a dot":           {[]item{fileItem("./f", "old"), fileItem("f", "new")}, map[string]string{"f": "new"}, "f"},
	"a file, shortened":          {[]item{fileItem("f", "older"), fileItem("f", "old")}, map[string]string{"f": "old"}, "f"},
	"a file, emptied":            {[]item{fileItem("f", "old"), fileItem("f", "")}, map[string]string{"f": ""}, "f"},
	"a file, lengthened":         {[]item{fileItem("f", ""), fileItem("f", "new")}, map[string]string{"f": "new"}, "f"},
	"a link":                     {[]item{linkItem("l", "d"), linkItem("l", "e")}, map[string]string{"l": "-> e"}, "l"},
	"a link by a file":           {[]item{linkItem("l", "d"), fileItem("l", "1")}, map[string]string{"l": "1"}, "l"},
	"a file by a link":           {[]item{fileItem("l", "1"), linkItem("l", "d")}, map[string]string{"l": "-> d"}, "l"},
	"a link by a file by a link": {[]item{linkItem("l", "d"), fileItem("l", "1"), linkItem("l", "e")}, map[string]string{"l": "-> e"}, "l"},
	"a link, twice":              {[]item{linkItem("l", "d"), linkItem("l", "e"), linkItem("l", "f")}, map[string]string{"l": "-> f"}, "l"},
}

func TestTheLastEntryOfATarArchiveCounts(t *testing.T) {
	for name, c := range replacements {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(tarOf(t, c.items...), "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(c.want))
		})
	}
}

func TestEntriesOfOneNameInAZipArchiveMustNotDiffer(t *testing.T) {
	for name, c := range replacements {
		t.Run(name, func(t *testing.T) { expectRefused(t, zipOf(t, c.items...), small, c.entry, "twice") })
	}
	t.Run("of the same checksum", func(t *testing.T) {
		one, other := []byte("plumless"), []byte("buckeroo") // with the same CRC-32
		expectRefused(t, zipOf(t, fileItem("f", string(one)), fileItem("f", string(other))), small, "f", "with different content")
	})
}

func TestTheLastHardLinkOfATarArchiveCounts(t *testing.T) {
	for name, c := range map[string]struct {
		items []item
		want  map[string]string
	}{
		"on a file":           {[]item{fileItem("a", "1"), fileItem("b", "2"), hardItem("b", "a")}, map[string]string{"a": "1", "b": "1"}},
		"on a link":           {[]item{fileItem("a", "1"), linkItem("b", "x"), hardItem("b", "a")}, map[string]string{"a": "1", "b": "1"}},
		"on itself":           {[]item{fileItem("a", "1"), hardItem("a", "a")}, map[string]string{"a": "1"}},
		"twice":               {[]item{fileItem("a", "1"), hardItem("b", "a"), hardItem("b", "a")}, map[string]string{"a": "1", "b": "1"}},
		"of an absolute name": {[]item{fileItem("/d/a", "1"), hardItem("/d/b", "/d/a")}, map[string]string{"d/": "", "d/a": "1", "d/b": "1"}},
		"whose file is replaced": {[]item{fileItem("a", "1"), hardItem("b", "a"), fileItem("a", "2")},
			map[string]string{"a": "2", "b": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(tarOf(t, c.items...), "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(c.want))
		})
	}
}

// TestUnpackStripsAbsoluteNames expects the behaviour of tar and unzip.
func TestUnpackStripsAbsoluteNames(t *testing.T) {
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			absolute := filepath.Join(t.TempDir(), "made")
			content := archive(t, folderItem("/"), folderItem("/d/"), fileItem("//d/a", "1"), linkItem("/d/l", "a"), fileItem(absolute, "2"))
			g.Expect(p.unpack(content, "k", small)).To(Succeed())
			g.Expect(absolute).NotTo(BeAnExistingFile())
			g.Expect(tree(g, p.into)).To(And(
				HaveKeyWithValue("d/a", "1"), HaveKeyWithValue("d/l", "-> a"), HaveKeyWithValue(absolute[1:], "2")))
		})
	}
}

func TestUnpackNeverWritesThroughALink(t *testing.T) {
	hostile := map[string]struct {
		items []item
		entry string
	}{
		"a file":                {[]item{linkItem("l", ".."), fileItem("l/neighbour", "1")}, "l"},
		"a file, before":        {[]item{fileItem("l/neighbour", "1"), linkItem("l", "..")}, "l"},
		"a file by another":     {[]item{linkItem("l", ".."), linkItem("m", "l"), fileItem("m/neighbour", "1")}, "m"},
		"a folder":              {[]item{linkItem("l", ".."), folderItem("l/")}, "l"},
		"a link":                {[]item{linkItem("l", ".."), linkItem("l/m", "x")}, "l"},
		"a hard link":           {[]item{linkItem("l", ".."), hardItem("h", "l/neighbour")}, "h"},
		"a hard link beyond it": {[]item{fileItem("f", "1"), linkItem("l", ".."), hardItem("l/h", "f")}, "l"},
	}
	for name, c := range hostile {
		for format, archive := range formats {
			if isZipFormat(format) && slices.ContainsFunc(c.items, func(i item) bool { return i.kind == tar.TypeLink }) {
				continue
			}
			for _, policy := range []LinkPolicy{SkipLinks, KeepLinks} {
				t.Run(name+"/"+format+"/"+string(policy), func(t *testing.T) {
					g := NewWithT(t)
					p := newPlace(t)
					err := p.unpackBy(archive(t, c.items...), Rules{Limits: small, Links: policy})
					g.Expect(refusedEntry(g, err)).To(Equal(c.entry))
					p.expectUntouched(g)
					g.Expect(p.into).NotTo(BeAnExistingFile())
				})
			}
		}
	}
}

func TestManyReplacedLinksAreHeldOnce(t *testing.T) {
	g := NewWithT(t)
	w := newTreeWriter(t.Context(), openRoot(t, t.TempDir()), Rules{Limits: small})
	w.lastWins = true
	for range 10 {
		g.Expect(w.symlink("l", "x", time.Time{})).To(Succeed())
	}
	g.Expect(w.linkIndex).To(HaveLen(1))
	g.Expect(w.indexBytes).To(BeEquivalentTo(10*(len("lx")+linkOverhead)), "each counts")
}
