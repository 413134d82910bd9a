package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestUnpackHoldsItsRatio(t *testing.T) {
	zeros := fileItem("zeros", strings.Repeat("\x00", 200_000))
	archives := map[string][]byte{"zip": zipOf(t, fileItem("a", "1"), zeros), "tar.gz": gzipOf(t, tarOf(t, fileItem("a", "1"), zeros))}
	for format, content := range archives {
		t.Run(format, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			ratio := int64(200_001/len(content)) + 1
			limits := Limits{Bytes: 1 << 20, Entries: 10, Ratio: ratio}
			g.Expect(p.unpack(content, "k", limits)).To(Succeed())
			limits.Ratio, limits.RatioFrom = 10, 200_001
			g.Expect(p.unpack(content, "k", limits)).To(Succeed(), "the ratio does not count for so few bytes")
			limits.RatioFrom = 200_000
			err := refusal(t, content, limits, "zeros", "more than 10 times as many bytes as the archive")
			expectLimit(g, err, LimitRatio, 10)
		})
	}
	t.Run("what is not compressed", func(t *testing.T) {
		limits := Limits{Bytes: 1 << 20, Entries: 10, Ratio: 1}
		p := newPlace(t)
		NewWithT(t).Expect(p.unpack(tarOf(t, zeros), "k", limits)).To(Succeed())
		NewWithT(t).Expect(p.unpack([]byte(zeros.content), "k", limits)).To(Succeed())
	})
}

func TestUnpackCountsWhatLeavesNothingBehind(t *testing.T) {
	limits := Limits{Bytes: 1 << 20, Entries: 10}
	many := slices.Repeat([]item{folderItem("a/")}, 11)
	for format, archive := range formats {
		t.Run("a folder again and again/"+format, func(t *testing.T) {
			NewWithT(t).Expect(newPlace(t).unpack(archive(t, many[:10]...), "k", limits)).To(Succeed())
			expectRefused(t, archive(t, many...), limits, "a/", "the archive has more than 10 entries")
		})
	}
	t.Run("global headers", func(t *testing.T) {
		many := slices.Repeat([]item{{name: "global", kind: tar.TypeXGlobalHeader}}, 11)
		expectRefused(t, tarOf(t, many...), limits, "global", "the archive has more than 10 entries")
	})
	t.Run("headers of headers", func(t *testing.T) {
		// Each entry only has headers, and no file follows.
		var out bytes.Buffer
		records := []byte("30 path=aaaaaaaaaaaaaaaaaaaaa\n" + strings.Repeat("\x00", tarBlock-30))
		for range 200 {
			out.Write(tarHeader("x", tar.TypeXHeader, 30))
			out.Write(records)
		}
		out.Write(tarOf(t, fileItem("f", "1")))
		expectRefused(t, out.Bytes(), limits, "", "the tar archive has more than 45056 bytes in addition to its files")
		compressed := gzipOf(t, out.Bytes())
		NewWithT(t).Expect(newPlace(t).unpack(compressed, "k", Limits{Bytes: 1, Entries: 1000, Ratio: 1000})).To(Succeed())
		expectRefused(t, compressed, Limits{Bytes: 1, Entries: 1000, Ratio: 10}, "", "more than 10 times as many bytes in addition to its files")
	})
}

func TestLimitsOfEveryKindAdd(t *testing.T) {
	for limits, most := range map[Limits]int64{
		{Bytes: 10, Entries: 2}:                         10 + 3*1024,
		{Bytes: math.MaxInt64, Entries: 1}:              math.MaxInt64 - 1,
		{Bytes: 1, Entries: math.MaxInt}:                math.MaxInt64 - 1,
		{Bytes: math.MaxInt64 - 4096, Entries: 1}:       math.MaxInt64 - 2048,
		{Bytes: math.MaxInt64 - 1 - 3*1024, Entries: 1}: math.MaxInt64 - 1 - 1024,
	} {
		NewWithT(t).Expect(limits.maxTotal(1024)).To(Equal(most), "%+v", limits)
	}
}

// sameEntries returns a zip archive with one file and a central directory of n entries that all
// point to it.
func sameEntries(n int) []byte {
	var archive bytes.Buffer
	local := make([]byte, 30)
	copy(local, "PK\x03\x04")
	archive.Write(local)
	entry := make([]byte, 46)
	copy(entry, "PK\x01\x02")
	for range n {
		archive.Write(entry)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], uint16(n))
	binary.LittleEndian.PutUint16(end[10:], uint16(n))
	binary.LittleEndian.PutUint32(end[12:], uint32(n*len(entry)))
	binary.LittleEndian.PutUint32(end[16:], uint32(len(local)))
	archive.Write(end)
	return archive.Bytes()
}

func TestUnpackHoldsLittleOfAZipArchive(t *testing.T) {
	// The number of entries overflows its field to zero.
	content := sameEntries(1 << 16)
	limits := Limits{Bytes: 8 << 20, Entries: 1 << 17, IndexBytes: 1 << 20}
	err := refusal(t, content, limits, "", "list of entries has more than 1048576 bytes")
	expectLimit(NewWithT(t), err, LimitIndexBytes, 1<<20)
	limits.IndexBytes = int64(len(content))
	limits.Entries = 1<<16 - 1
	expectRefused(t, content, limits, "", "the archive has more than 65535 entries")
}

func TestUnpackHoldsFewLinks(t *testing.T) {
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			content := archive(t, linkItem("a", "target"), linkItem("b", "target"))
			exactly := int64(2 * (len("a") + len("target") + linkOverhead))
			limits := Limits{Bytes: 1 << 20, Entries: 10, IndexBytes: exactly}
			if !isZipFormat(format) { // the central directory counts first
				p := newPlace(t)
				NewWithT(t).Expect(p.unpack(content, "k", limits)).To(Succeed())
			}
			limits.IndexBytes--
			expectRefused(t, content, limits, "b", fmt.Sprintf("symbolic links have more than %d bytes", exactly-1))
		})
	}
}

// TestUnpackRefusesToOpenDeepFoldersForFewEntries lowers the limit, so that few folders suffice.
func TestUnpackRefusesToOpenDeepFoldersForFewEntries(t *testing.T) {
	const depth, steps, entries = 100, 1 << 10, 200
	deep := strings.Repeat("d/", depth)
	var alternating, inOrder []item
	hard := []item{fileItem(deep+"f", "")}
	for i := range entries {
		alternating = append(alternating, fileItem(fmt.Sprintf("%d/%s%d", i%2, deep, i), ""))
		inOrder = append(inOrder, fileItem(fmt.Sprintf("%s%d", deep, i), ""))
		hard = append(hard, hardItem(fmt.Sprintf("%s%d", deep, i), deep+"f"))
	}
	unpack := func(items []item) error {
		w := newTreeWriter(t.Context(), openRoot(t, t.TempDir()), Rules{Limits: Limits{Bytes: 1, Entries: 10_000}})
		NewWithT(t).Expect(w.freeSteps).To(Equal(1 << 18))
		w.freeSteps = steps
		return errors.Join(w.unpack(Source{Ranges: inMemory(tarOf(t, items...))}, ""), w.close())
	}
	NewWithT(t).Expect(unpack(inOrder)).To(Succeed(), "one after another in one folder")
	for name, items := range map[string][]item{"files": alternating, "hard links": hard} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := unpack(items)
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring("the folders of the archive are so deep that it takes more than")))
		})
	}
}

func TestFinishEndsWithItsContext(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	root := openRoot(t, p.base)
	w := newTreeWriter(ctx, root, Rules{Limits: small})
	g.Expect(w.symlink("l", "x", treeTime)).To(Succeed())
	g.Expect(w.folder("d", treeTime)).To(Succeed())
	cancel()
	g.Expect(w.finish()).To(MatchError(context.Canceled))
	g.Expect(w.setFolderTimes()).To(MatchError(context.Canceled))
	g.Expect(w.close()).To(Succeed())
}

// fatZip returns a zip archive with links, and with entries whose records are as long as possible.
func fatZip(t *testing.T, links, fat, name int) []byte {
	g := NewWithT(t)
	var out bytes.Buffer
	w := &zipWriter{to: &out}
	for i := range links {
		header := &zip.FileHeader{Name: fmt.Sprintf("l%05d", i)}
		header.SetMode(os.ModeSymlink | 0o777)
		g.Expect(w.writeStored(header, []byte(strings.Repeat("t/", 2000)+"x"))).To(Succeed())
	}
	for i := range fat {
		header := &zip.FileHeader{Name: fmt.Sprintf("%0*d", name, i)}
		w.prepare(header)
		w.open, w.offset = header, w.written
		g.Expect(w.writeLocalHeader(header)).To(Succeed())
		header.Extra = slices.Repeat([]byte{0x99, 0x99, 0xfb, 0xff}, 1)
		header.Extra = append(header.Extra, make([]byte, 0xfffb)...)
		g.Expect(w.addToDirectory()).To(Succeed())
	}
	g.Expect(w.close()).To(Succeed())
	return out.Bytes()
}

func TestUnpackHoldsLittleOfLongRecords(t *testing.T) {
	g := NewWithT(t)
	content := fatZip(t, 0, 100, 6)
	list, err := readCentralDirectory(t.Context(), inMemory(content), DefaultLimits)
	g.Expect(err).NotTo(HaveOccurred())
	batch, err := list.batch(list.entries)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(batch)).To(And(BeNumerically(">", 10), BeNumerically("<", 20)), "of 64 KiB each")
	all := newPlace(t)
	g.Expect(all.unpack(content, "k", Limits{Bytes: 10 << 20, Entries: 100})).To(Succeed())
	g.Expect(tree(g, all.into)).To(HaveLen(100))
	expectRefused(t, fatZip(t, 0, 1, maxPath+1), small, fmt.Sprintf("%0*d", maxPath+1, 0), "the name is longer than 4096 bytes")
	content = fatZip(t, 100, 10, 6)
	limits := Limits{Bytes: 10 << 20, Entries: 1000, IndexBytes: 900_000} // the list has 662,000, the links 414,000
	expectRefused(t, content, limits, "l00057", "more than 900000 bytes, with a zip's list of entries")
}

// FuzzUnpack unpacks arbitrary content. Unpack must return, write nothing outside of its folder,
// and leave no link that leads out of it.
func FuzzUnpack(f *testing.F) {
	items := []item{fileItem("a", "1"), folderItem("d/"), fileItem("d/b", "2"), linkItem("l", "d/b"), linkItem("d/up", "../a")}
	hostile := []item{linkItem("l", ".."), fileItem("l/x", "1"), fileItem("../x", "1"), linkItem("m", "/etc/passwd")}
	for _, archive := range formats {
		f.Add(archive(f, items...))
		for _, one := range hostile {
			f.Add(archive(f, one))
		}
	}
	f.Add(tarOf(f, fileItem("a", "1"), hardItem("h", "a")))
	f.Add(sameEntries(3))
	others, err := filepath.Glob("testdata/*.*")
	NewWithT(f).Expect(err).NotTo(HaveOccurred())
	field, err := filepath.Glob("testdata/field/*")
	NewWithT(f).Expect(err).NotTo(HaveOccurred())
	for _, name := range slices.Concat(others, field) {
		content, err := os.ReadFile(name)
		NewWithT(f).Expect(err).NotTo(HaveOccurred())
		f.Add(content)
	}
	f.Add([]byte("plain"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		g := NewWithT(t)
		p := newPlace(t)
		err := p.unpack(content, "key", Limits{Bytes: 1 << 16, Entries: 64, IndexBytes: 1 << 16})
		p.expectUntouched(g)
		g.Expect(filepath.Glob(filepath.Join(p.base, ".archive-*"))).To(BeEmpty())
		if err != nil {
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
			g.Expect(p.into).NotTo(BeAnExistingFile())
			return
		}
		expectNoWayOut(g, p.into)
		g.Expect(Pack(context.Background(), openRoot(t, p.into), &bytes.Buffer{}, noLimit, usual)).To(Succeed())
	})
}

// FuzzLinks unpacks arbitrary content and skips or keeps links that lead out. Nothing may be
// written through such a link, and the packed result must be accepted again.
func FuzzLinks(f *testing.F) {
	for _, archive := range formats {
		for _, tree := range linkTrees {
			f.Add(archive(f, tree.items...), true)
			f.Add(archive(f, tree.items...), false)
		}
		f.Add(archive(f, linkItem("l", ".."), fileItem("l/neighbour", "1")), false)
	}
	f.Add(tarOf(f, linkItem("l", ".."), hardItem("h", "l/neighbour"), fileItem("h", "1"), linkItem("h", "l")), false)
	f.Fuzz(func(t *testing.T, content []byte, keep bool) {
		g := NewWithT(t)
		p := newPlace(t)
		rules := Rules{Limits: Limits{Bytes: 1 << 16, Entries: 64, IndexBytes: 1 << 16}, Links: SkipLinks}
		if keep {
			rules.Links = KeepLinks
		}
		err := p.unpackBy(content, rules)
		p.expectUntouched(g)
		if err != nil {
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
			g.Expect(p.into).NotTo(BeAnExistingFile())
			return
		}
		if !keep {
			expectNoWayOut(g, p.into)
		}
		var packed bytes.Buffer
		g.Expect(Pack(context.Background(), openRoot(t, p.into), &packed, noLimit, rules)).To(Succeed())
		again := newPlace(t)
		g.Expect(again.unpackBy(packed.Bytes(), rules)).To(Succeed())
		g.Expect(tree(g, again.into)).To(Equal(tree(g, p.into)))
		again.expectUntouched(g)
	})
}

// expectNoWayOut follows every link of a folder as the kernel does.
func expectNoWayOut(g Gomega, folder string) {
	for name, what := range tree(g, folder) {
		if !strings.HasPrefix(what, "-> ") {
			continue
		}
		target, err := filepath.EvalSymlinks(filepath.Join(folder, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			within, err := filepath.Rel(folder, target)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(filepath.IsLocal(within)).To(BeTrue(), "%s leads to %s", name, target)
		}
	}
}
