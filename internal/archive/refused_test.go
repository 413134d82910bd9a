package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// expectRefused checks that an archive is refused with this entry and rule, and leaves nothing on
// disk.
func expectRefused(t *testing.T, content []byte, limits Limits, entry, rule string) {
	t.Helper()
	_ = refusal(t, content, limits, entry, rule)
}

// refusal returns the error of an archive that is refused.
func refusal(t *testing.T, content []byte, limits Limits, entry, rule string) error {
	t.Helper()
	g := NewWithT(t)
	p := newPlace(t)
	err := p.unpack(content, "key", limits)
	var refused *RefusedError
	g.Expect(errors.As(err, &refused)).To(BeTrue(), "%v", err)
	g.Expect(refused.Entry).To(Equal(entry))
	g.Expect(err.Error()).To(ContainSubstring(rule))
	g.Expect(err.Error()).NotTo(ContainSubstring("\n"))
	if entry != "" {
		g.Expect(err.Error()).To(HavePrefix(fmt.Sprintf("entry %.200q: ", entry)))
	}
	p.expectUntouched(g)
	g.Expect(p.into).NotTo(BeAnExistingFile(), "nothing stays of what is refused")
	return err
}

const leadsOut = "leads out of the folder"

func TestUnpackRefusesHostileArchives(t *testing.T) {
	long := strings.Repeat("a/", 2048) + "b"
	cases := map[string]struct {
		items []item
		entry string
		rule  string
	}{
		"a name above":                    {[]item{fileItem("../x", "1")}, "../x", leadsOut},
		"a name above, hidden":            {[]item{fileItem("a/../../neighbour", "1")}, "a/../../neighbour", leadsOut},
		"a name that is above":            {[]item{fileItem("..", "1")}, "..", leadsOut},
		"a name above, after a slash":     {[]item{fileItem("/../x", "1")}, "/../x", leadsOut},
		"an absolute one by both slashes": {[]item{fileItem(`/\x`, "1")}, `/\x`, leadsOut},
		"a folder above":                  {[]item{folderItem("../d/")}, "../d/", leadsOut},
		"a link made above":               {[]item{linkItem("../l", "x")}, "../l", leadsOut},
		"a link to above":                 {[]item{linkItem("l", "../neighbour")}, "l", leadsOut},
		"a link to above, from a folder":  {[]item{linkItem("d/l", "../../neighbour")}, "d/l", leadsOut},
		"an absolute link":                {[]item{linkItem("l", "/etc/passwd")}, "l", leadsOut},
		"an absolute link to a folder":    {[]item{linkItem("l", "/")}, "l", leadsOut},
		"a chain of links":                {[]item{linkItem("d/up", "../e"), linkItem("e/up", ".."), linkItem("l", "d/up/up/../neighbour")}, "l", leadsOut},
		"a chain over the root":           {[]item{linkItem("here", "."), linkItem("a/b/out", "../../here/../x/../../neighbour")}, "a/b/out", leadsOut},
		"a loop of links":                 {[]item{linkItem("a", "b"), linkItem("b", "a")}, "a", "too many links"},
		"a file through a link":           {[]item{linkItem("l", "d"), fileItem("l/x", "1")}, "l", "twice"},
		"a file through a link to above":  {[]item{linkItem("l", ".."), fileItem("l/x", "1")}, "l", leadsOut},
		"a link in the place of a folder": {[]item{folderItem("l/"), linkItem("l", "e")}, "l", "twice"},
		"a file, then a folder":           {[]item{fileItem("f", "1"), folderItem("f/")}, "f/", "f is a file and a folder"},
		"a file, then one below":          {[]item{fileItem("f", "1"), fileItem("f/g", "1")}, "f/g", "f is a file and a folder"},
		"a folder, then a file":           {[]item{folderItem("f/"), fileItem("f", "1")}, "f", "twice"},
		"a name above, by backslashes":    {[]item{fileItem(`..\..\x`, "1")}, `..\..\x`, leadsOut},
		"a mixed name above":              {[]item{fileItem(`a\../..\x`, "1")}, `a\../..\x`, leadsOut},
		"an absolute name, by backslash":  {[]item{fileItem(`\x`, "1")}, `\x`, leadsOut},
		"a link below a link":             {[]item{linkItem("l", "d"), linkItem("l/m", "../../x")}, "l/m", leadsOut},
		"links that are swapped":          {[]item{folderItem("d/"), linkItem("d/l", "../e"), linkItem("e", "."), linkItem("x", "d/l/../neighbour")}, "x", leadsOut},
		"a file twice, by a slash":        {[]item{fileItem("./a", "1"), folderItem("a/")}, "a/", "a is a file and a folder"},
		"a folder, then a file by a dot":  {[]item{folderItem("a/"), fileItem("./a", "1")}, "./a", "twice"},
		"a file on a folder that is made": {[]item{fileItem("a/b", "1"), fileItem("a", "1")}, "a", "twice"},
		"a FIFO":                          {[]item{{name: "p", kind: tar.TypeFifo}}, "p", "not allowed"},
		"a device":                        {[]item{{name: "c", kind: tar.TypeChar}}, "c", "not allowed"},
		"a link to nothing":               {[]item{linkItem("l", "")}, "l", "no valid target"},
		"a link that is too long":         {[]item{linkItem("l", strings.Repeat("x", 4097))}, "l", "no valid target"},
		"a name that is too long":         {[]item{fileItem(long, "1")}, long, "longer than 4096 bytes"},
		"an element that is too long":     {[]item{fileItem(strings.Repeat("x", 300), "1")}, strings.Repeat("x", 300), "name too long"},
	}
	for name, c := range cases {
		for format, archive := range formats {
			t.Run(name+"/"+format, func(t *testing.T) {
				expectRefused(t, archive(t, c.items...), small, c.entry, c.rule)
			})
		}
	}
}

func TestUnpackRefusesHostileHardLinks(t *testing.T) {
	for name, c := range map[string]struct {
		items []item
		entry string
	}{
		"to above":        {[]item{hardItem("h", "../neighbour")}, "h"},
		"absolute":        {[]item{hardItem("h", "/etc/passwd")}, "h"},
		"to nothing":      {[]item{hardItem("h", "missing")}, "h"},
		"to a folder":     {[]item{folderItem("d/"), hardItem("h", "d")}, "h"},
		"over a link":     {[]item{fileItem("d/x", "1"), linkItem("l", "d"), hardItem("h", "l/x")}, "h"},
		"made above":      {[]item{fileItem("a", "1"), hardItem("../h", "a")}, "../h"},
		"of a block disk": {[]item{{name: "disk", kind: tar.TypeBlock}}, "disk"},
	} {
		t.Run(name, func(t *testing.T) {
			expectRefused(t, tarOf(t, c.items...), small, c.entry, "")
		})
	}
}

func TestUnpackHoldsItsLimits(t *testing.T) {
	items := []item{fileItem("a", "12345"), fileItem("d/b", "67890"), linkItem("l", "a"), folderItem("e/")}
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			content := archive(t, items...)
			g := NewWithT(t)
			p := newPlace(t)
			// The folder d counts too: it is created although no entry names it.
			g.Expect(p.unpack(content, "k", Limits{Bytes: 10, Entries: 5})).To(Succeed())
			err := refusal(t, content, Limits{Bytes: 9, Entries: 5}, "d/b", "with it, the files have more than 9 bytes")
			expectLimit(g, err, LimitBytes, 9)
			err = refusal(t, content, Limits{Bytes: 10, Entries: 4}, "e", "the archive has more than 4 entries")
			expectLimit(g, err, LimitEntries, 4)
		})
	}
	t.Run("one file", func(t *testing.T) {
		g := NewWithT(t)
		p := newPlace(t)
		g.Expect(p.unpack([]byte("12345"), "k", Limits{Bytes: 5, Entries: 1})).To(Succeed())
		expectRefused(t, []byte("123456"), Limits{Bytes: 5, Entries: 1}, "key", "more than 5 bytes")
	})
	t.Run("a zip that is itself too large", func(t *testing.T) {
		content := append(zipOf(t), make([]byte, 10_000)...)
		expectRefused(t, content, Limits{Bytes: 10, Entries: 1}, "", "the zip archive itself has more than")
	})
	t.Run("zeros without end behind a tar.gz", func(t *testing.T) {
		content := gzipOf(t, append(tarOf(t, fileItem("a", "1")), make([]byte, maxPadding+1)...))
		expectRefused(t, content, small, "", "follow the end of the tar archive")
	})
}

func TestUnpackRefusesArchivesThatAreCut(t *testing.T) {
	// The content is random, so that half of an archive has half of its files.
	random := rand.New(rand.NewPCG(1, 2))
	large := make([]byte, 50_000)
	for i := range large {
		large[i] = byte(random.Uint32())
	}
	items := []item{fileItem("a", string(large)), fileItem("b", string(large))}
	for format, archive := range formats {
		content := archive(t, items...)
		cuts := []int{len(content) / 3, len(content) / 2}
		if format != "tar" { // its last bytes are padding
			cuts = append(cuts, len(content)-1, len(content)-9)
		}
		for _, at := range cuts {
			t.Run(fmt.Sprintf("%s at %d of %d", format, at, len(content)), func(t *testing.T) {
				g := NewWithT(t)
				p := newPlace(t)
				err := p.unpack(content[:at], "k", small)
				g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
				p.expectUntouched(g)
			})
		}
	}
}

func TestUnpackRefusesArchivesThatAreAltered(t *testing.T) {
	whole := tarOf(t, fileItem("a", strings.Repeat("0123456789", 1000)))
	cases := map[string][]byte{
		"zip content":   zipOf(t, fileItem("a", strings.Repeat("x", 1000))),
		"gzip checksum": gzipOf(t, whole),
		"tar header":    whole,
		"gzip header":   []byte("\x1f\x8b\xff\xff and more"),
	}
	cases["zip content"][len("PK")+40] ^= 0xff
	cases["gzip checksum"][len(cases["gzip checksum"])-8] ^= 0xff
	cases["tar header"][0] ^= 0xff
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			err := p.unpack(content, "k", small)
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
			p.expectUntouched(g)
		})
	}
}

func TestRefusedErrorsStayShort(t *testing.T) {
	g := NewWithT(t)
	rule := errors.New("the rule")
	g.Expect(len(refuse(strings.Repeat("x", 10_000), rule).Error())).To(BeNumerically("<", 300))
	g.Expect(refuse("", rule)).To(MatchError("the rule"))
	g.Expect(refuse("x", rule)).To(MatchError(rule))
}

func TestADiskErrorIsNotTheArchives(t *testing.T) {
	g := NewWithT(t)
	p := newPlace(t)
	err := Unpack(t.Context(), Source{Name: "k", Stream: bytes.NewReader(zipOf(t))}, p.into, filepath.Join(p.base, "no-scratch"), Rules{Limits: small})
	g.Expect(err).To(MatchError(os.ErrNotExist))
	g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse())
}

// altered returns a copy of an archive with different bytes at an offset.
func altered(content []byte, at int, bytes ...byte) []byte {
	content = slices.Clone(content)
	copy(content[at:], bytes)
	return content
}

func TestUnpackRefusesZipArchivesThatLie(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	archive := func(t *testing.T) []byte { // made by Pack, without data descriptors
		g := NewWithT(t)
		folder := openRoot(t, t.TempDir())
		g.Expect(folder.WriteFile("a", []byte(content), 0o600)).To(Succeed())
		g.Expect(folder.WriteFile("b", []byte(content+"b"), 0o600)).To(Succeed())
		var packed bytes.Buffer
		g.Expect(Pack(t.Context(), folder, &packed, noLimit, usual)).To(Succeed())
		return packed.Bytes()
	}(t)
	list := bytes.Index(archive, []byte("PK\x01\x02"))
	second := list + 4 + bytes.Index(archive[list+4:], []byte("PK\x01\x02"))
	end := len(archive) - endRecordSize
	four := []byte{0xff, 0xff, 0xff, 0xff}
	for name, c := range map[string]struct {
		content     []byte
		entry, rule string
	}{
		"another size before the content":     {altered(archive, 22, 99), "a", "gives different sizes"},
		"another checksum before the content": {altered(archive, 14, archive[14]^1), "a", "a different checksum than the list"},
		"other sizes in the list":             {altered(archive, list+24, 99), "a", "gives different sizes"},
		"other sizes in both":                 {altered(altered(archive, list+24, 99), 22, 99), "a", "does not match its size"},
		"another checksum in both":            {altered(altered(archive, list+16, 1, 2, 3, 4), 14, 1, 2, 3, 4), "a", "does not match its checksum"},
		"content that is altered":             {altered(archive, 41, 0xff, 0xff), "a", ""},
		"entries that overlap":                {altered(archive, second+42, archive[list+42:list+46]...), "b", "entries overlap"},
		"entries that overlap in part":        {altered(archive, second+42, 5), "b", "entries overlap"},
		"content where there is none":         {altered(archive, second+42, 0xfe, 0xff, 0, 0), "b", "not in the archive"},
		"content beyond the list":             {altered(archive, second+20, 0xfe, 0xff, 0xff, 0), "b", "not in the archive"},
		"content that begins elsewhere":       {altered(archive, second+42, archive[second+42]+1), "b", "does not begin where"},
		"zip64 without a field":               {altered(archive, list+42, four...), "a", "zip64 field"},
		"zip64 sizes without a field":         {altered(archive, list+20, four...), "", "not a readable zip archive"},
		"encryption":                          {altered(archive, list+8, archive[list+8]|flagEncrypted), "a", "encrypted"},
		"a method of its own":                 {altered(altered(archive, list+10, 99), 8, 99), "a", "compressed by method 99"},
		"stored, with two sizes":              {altered(archive, list+10, 0), "a", "has two sizes"},
		"fewer entries at its end":            {altered(archive, end+8, 1, 0, 1, 0), "", "says that it has 1 entries"},
		"more entries at its end":             {altered(archive, end+8, 9, 0, 9, 0), "", "says that it has 9 entries"},
		"a list that is longer":               {altered(archive, end+12, 0xff, 0xff, 0xff), "", "not where its end says"},
		"a list that is shorter":              {altered(archive, end+12, archive[end+12]-1), "", "cut off"},
		"a list elsewhere":                    {altered(archive, end+16, archive[end+16]-1), "", "something else in it"},
		"extra fields that do not end":        {altered(archive, second+30, 0xff, 0xff), "", "cut off"},
		"a zip64 end that is not there":       {slices.Concat(archive[:end], zip64Locator(1<<60), altered(archive[end:], 16, four...)), "", "zip64 end is not where it says"},
		"a zip64 end that is something else":  {slices.Concat(archive[:end], make([]byte, zip64EndSize), zip64Locator(uint64(end)), altered(archive[end:], 16, four...)), "", "zip64 end is not where it says"},
		"a zip64 list without end":            {slices.Concat(archive[:end], endRecords(uint64(list), 1<<63, 1<<62)), "", "zip64 end is not where it says"},
	} {
		t.Run(name, func(t *testing.T) { expectRefused(t, c.content, small, c.entry, c.rule) })
	}
	p := newPlace(t)
	NewWithT(t).Expect(p.unpack(archive, "k", small)).To(Succeed())
}

func zip64Locator(at uint64) []byte {
	locator := little.AppendUint32(nil, locatorSignature)
	locator = little.AppendUint32(locator, 0)
	locator = little.AppendUint64(locator, at)
	return little.AppendUint32(locator, 1)
}

func TestUnpackRefusesTarArchivesThatLie(t *testing.T) {
	whole := tarOf(t, fileItem("a", "12345"))
	negative := altered(whole, 124, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe)
	huge := altered(whole, 124, []byte("77777777777")...)
	long := append(tarHeader("././@LongLink", 'L', 1<<30), make([]byte, 1<<20)...)
	for name, content := range map[string][]byte{"a negative size": checksummed(negative), "a size beyond its end": checksummed(huge), "a long name without end": long} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			err := p.unpack(content, "k", Limits{Bytes: 1 << 40, Entries: 10})
			g.Expect(errors.As(err, new(*RefusedError))).To(BeTrue(), "%v", err)
			p.expectUntouched(g)
			g.Expect(p.into).NotTo(BeAnExistingFile())
		})
	}
}

func tarHeader(name string, kind byte, size int64) []byte {
	header := make([]byte, tarBlock)
	copy(header, name)
	copy(header[124:], fmt.Sprintf("%011o", size))
	header[156] = kind
	copy(header[257:], "ustar  ")
	return checksummed(header)
}

// checksummed sets the checksum of a header.
func checksummed(header []byte) []byte {
	copy(header[148:], "        ")
	sum := 0
	for _, one := range header[:tarBlock] {
		sum += int(one)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	return header
}

func TestUnpackTakesWhatIsBehindATarArchive(t *testing.T) {
	one, two := tarOf(t, fileItem("a", "1")), tarOf(t, fileItem("b", "2"))
	zeros := make([]byte, 10_000)
	for name, content := range map[string][]byte{
		"zeros": append(one, zeros...), "anything": append(one, "garbage"...),
		"zeros in a tar.gz": gzipOf(t, append(one, zeros...)), "zeros behind a tar.gz": append(gzipOf(t, one), zeros...),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(content, "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{"a": "1"}))
		})
	}
	for name, content := range map[string][]byte{
		"another": slices.Concat(one, two), "another, compressed": gzipOf(t, slices.Concat(one, zeros[:5*tarBlock], two)),
		"another, compressed by itself": slices.Concat(gzipOf(t, one), gzipOf(t, two)),
	} {
		t.Run(name, func(t *testing.T) {
			expectRefused(t, content, small, "", "a second tar archive follows the first")
		})
	}
}

func TestUnpackRefusesTwoNamesOfOneEntry(t *testing.T) {
	content := zipOf(t, fileItem("good", "1"))
	expectRefused(t, bytes.Replace(content, []byte("good"), []byte("evil"), 1), small, "good", `a different name, "evil"`)
}

func TestUnpackRefusesASocket(t *testing.T) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: "s"}
	header.SetMode(os.ModeSocket | 0o600)
	_, err := archive.CreateHeader(header)
	NewWithT(t).Expect(errors.Join(err, archive.Close())).To(Succeed())
	expectRefused(t, out.Bytes(), small, "s", "not allowed")
}

func TestUnpackTellsNamesApartByCase(t *testing.T) {
	for format, archive := range formats {
		t.Run(format, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(archive(t, linkItem("Foo", "bar"), fileItem("foo/x", "1"), fileItem(`a\b`, "2")), "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(map[string]string{"Foo": "-> bar", "foo/": "", "foo/x": "1", `a\b`: "2"}))
		})
	}
}
