package archive

import (
	"archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	. "github.com/onsi/gomega"
)

// compressedWords is "words\n", compressed by each tool.
var compressedWords = map[string]string{
	"words.bz2": "BZh91AY&SY\x23\x03\x87\xc4\x00\x00\x02\xc1\x80\x00\x10\x04\x00\x98\x80\x20\x00\x30\xc0\x08\x61\xa5\xa0\x18\x5d\xc9\x14\xe1\x42\x40\x8c\x0e\x1f\x10",
	"words.xz": "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x05words\n\x00\x00\x00" +
		"\xd7\xb2\x28\xcb\xb8\x05\xe4\xb6\x00\x01\x1e\x06\xc1\x2f\xa4\x1d\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04YZ",
	"words.zst": "\x28\xb5\x2f\xfd\x04\x58\x31\x00\x00words\n\x09\x99\x8a\x3e",
}

func TestUnpackKeepsCompressedFilesThatAreNoTar(t *testing.T) {
	for name, content := range compressedWords {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack([]byte(content), name, small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{name: content}))
			cut := content[:len(content)*2/3]
			err := p.unpack([]byte(cut), name, small)
			g.Expect(refusedEntry(g, err)).To(BeEmpty())
			g.Expect(err).To(MatchError(MatchRegexp("not a readable (bzip2|xz|zstd) file")))
		})
	}
	padded := string(gzipOf(t, []byte("words\n"))) + strings.Repeat("\x00", 100)
	for _, text := range []string{padded, "BZh", "BZhello", "BZh9 is a name", "P*M", "\x28\xb5\x2f"} {
		g := NewWithT(t)
		p := newPlace(t)
		g.Expect(p.unpack([]byte(text), "text", small)).To(Succeed())
		g.Expect(tree(g, p.into)).To(Equal(map[string]string{"text": text}))
	}
}

// TestUnpackTakesCompressedFilesInSeveralPieces unpacks the output of pbzip2, xz -T and pzstd.
func TestUnpackTakesCompressedFilesInSeveralPieces(t *testing.T) {
	g := NewWithT(t)
	content := tarOf(t, fileItem("f", strings.Repeat("0123456789", 50_000)))
	half := len(content) / 2
	skip := "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
	pieces := skip + string(zstdOf(t, content[:half])) + skip + string(zstdOf(t, content[half:]))
	p := newPlace(t)
	g.Expect(p.unpack([]byte(pieces), "k", small)).To(Succeed())
	g.Expect(tree(g, p.into)).To(HaveKey("f"))
}

func TestUnpackRefusesWhatTakesTooMuchMemory(t *testing.T) {
	content := tarOf(t, fileItem("f", "1"))
	// The header of a frame has the window size (RFC 8878, 3.1.1.1).
	wide := append([]byte("\x28\xb5\x2f\xfd\x00"), (27-10)<<3|1) // 128 MiB and an eighth
	wide = append(wide, 1, 0, 0)
	single := append([]byte("\x28\xb5\x2f\xfd\xe0"), 0, 0, 0, 1<<4, 0, 0, 0, 0) // 256 MiB
	single = append(single, 1, 0, 0)
	xz := []byte(compressedWords["words.xz"])
	dictionary := bytes.Clone(xz)
	copy(dictionary[12:], "\x02\x00\x21\x01\x1d\x00\x00\x00") // 96 MiB
	dictionary = append(dictionary[:20], append(little.AppendUint32(nil, crcOf(dictionary[12:20])), dictionary[24:]...)...)
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"a window of zstd":                {wide, "to decompress it, zstd needs more than 128 MiB of memory"},
		"a single segment of zstd":        {single, "to decompress it, zstd needs more than 128 MiB of memory"},
		"a window in a later frame":       {append(zstdOf(t, content[:1000]), wide...), "to decompress it, zstd needs more than 128 MiB of memory"},
		"a dictionary of xz":              {dictionary, "to decompress it, xz needs more than 64 MiB of memory"},
		"a dictionary in a later xz file": {append(bytes.Clone(stored(NewWithT(t), "gnu.tar.xz")), dictionary...), "to decompress it, xz needs more than 64 MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refusal(t, c.content, small, "", c.says)
			var exceeded *MemoryError
			NewWithT(t).Expect(errors.As(err, &exceeded)).To(BeTrue())
		})
	}
	t.Run("a window in a zip", func(t *testing.T) {
		g := NewWithT(t)
		var out bytes.Buffer
		archive := zip.NewWriter(&out)
		archive.RegisterCompressor(methodZstd, zstd.ZipCompressor(zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false)))
		to, err := archive.CreateHeader(&zip.FileHeader{Name: "f", Method: methodZstd})
		g.Expect(err).NotTo(HaveOccurred())
		for range 3 { // more than the first sample has
			_, err = to.Write(make([]byte, 1<<20))
			g.Expect(err).NotTo(HaveOccurred())
		}
		g.Expect(archive.Close()).To(Succeed())
		expectRefused(t, out.Bytes(), Limits{Bytes: 4 << 20, Entries: 1}, "f", "zstd needs more than 64 MiB of memory")
	})
}

func TestUnpackHoldsItsLimitsInEveryCompression(t *testing.T) {
	g := NewWithT(t)
	zeros := bytes.Repeat([]byte{0}, 200_000)
	for name, content := range map[string][]byte{
		"tar.bz2": stored(g, "zeros.tar.bz2"), "tar.xz": stored(g, "zeros.tar.xz"), "tar.zst": zstdOf(t, tarOf(t, fileItem("zeros", string(zeros)))),
		"zip by bzip2": stored(g, "zeros-bzip2.zip"), "zip by zstd": zipBy(t, methodZstd, fileItem("zeros", string(zeros))),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(content, "k", Limits{Bytes: 200_000, Entries: 1})).To(Succeed())
			g.Expect(os.ReadFile(p.into + "/zeros")).To(Equal(zeros))
			err := refusal(t, content, Limits{Bytes: 199_999, Entries: 1}, "zeros", "more than 199999 bytes")
			expectLimit(g, err, LimitBytes, 199_999)
			err = refusal(t, content, Limits{Bytes: 1 << 20, Entries: 1, Ratio: 10, RatioFrom: 1000}, "zeros", "more than 10 times")
			expectLimit(g, err, LimitRatio, 10)
		})
	}
}

func TestUnpackRefusesCompressedArchivesThatAreAltered(t *testing.T) {
	g := NewWithT(t)
	for _, name := range []string{"gnu.tar.bz2", "gnu.tar.xz", "gnu.tar.zst", "infozip-bzip2.zip"} {
		content := stored(g, name)
		for _, at := range []int{len(content) / 4, len(content) / 2, len(content) * 3 / 4} {
			p := newPlace(t)
			changed := altered(content, at, content[at]^0xff, content[at+1]^0xff)
			err := p.unpack(changed, "k", small)
			if err == nil { // the mutation changed its beginning: it is not a tar archive
				g.Expect(tree(g, p.into)).To(Equal(map[string]string{"k": string(changed)}))
				continue
			}
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%s at %d: %v", name, at, err)
			p.expectUntouched(g)
		}
		for _, cut := range []int{len(content) / 2, len(content) - 5} {
			p := newPlace(t)
			err := p.unpack(content[:cut], "k", small)
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%s cut at %d: %v", name, cut, err)
		}
	}
}

func TestStoreKeepsAnArchiveAsOneFile(t *testing.T) {
	content := stored(NewWithT(t), "field/app.jar")
	for name, from := range map[string]Source{
		"by ranges":     {Name: "app.jar", Ranges: inMemory(content)},
		"from a stream": {Name: "app.jar", Stream: bytes.NewReader(content)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(Store(t.Context(), from, p.into, Rules{Limits: small})).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{"app.jar": string(content)}))
			info, err := os.Stat(p.into + "/app.jar")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(info.Mode()).To(Equal(os.FileMode(0o666)))
		})
	}
	g := NewWithT(t)
	p := newPlace(t)
	err := Store(t.Context(), Source{Name: "app.jar", Ranges: inMemory(content)}, p.into, Rules{Limits: Limits{Bytes: int64(len(content)) - 1, Entries: 1}})
	g.Expect(refusedEntry(g, err)).To(Equal("app.jar"))
	g.Expect(Store(t.Context(), Source{Name: "..", Ranges: inMemory(content)}, p.into, Rules{Limits: small})).To(MatchError(ContainSubstring(leadsOut)))
}

func crcOf(content []byte) uint32 { return crc32.ChecksumIEEE(content) }
