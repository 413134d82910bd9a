package artifact

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The zip package holds some 400 bytes for each entry of an archive. Here the
// list of entries (the central directory) is held as it is, with 16 bytes an
// entry that say where it is, and the zip package parses a few at a time.

// Sizes and signatures of the records of a zip archive (APPNOTE.TXT 4.3).
const (
	localSize      = 30
	localSignature = 0x04034b50

	entrySize      = 46
	entrySignature = 0x02014b50

	endSize      = 22
	endSignature = 0x06054b50

	end64Size      = 56
	end64Signature = 0x06064b50

	locatorSize      = 20
	locatorSignature = 0x07064b50

	maxComment = math.MaxUint16
	zip64Extra = 1
)

var little = binary.LittleEndian

// directory is the list of entries of a zip archive, in the order of their
// content.
type directory struct {
	raw     []byte
	entries []position
	// begins is where in the archive the list begins, and the content ends.
	begins int64
}

// position is where an entry's content begins, and where its record does.
type position struct {
	content uint64
	record  uint32
}

// span is where the list of entries is.
type span struct {
	begins, size, entries uint64
	// zip64 says that entries is the whole number, and not its last 16 bits.
	zip64 bool
}

func badZip(format string, args ...any) error {
	return refuse("", fmt.Errorf("not a readable zip archive: "+format, args...))
}

// broken is the error of a read, where the archive has what is to be read.
func broken(err error) error {
	if err == nil || errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, err)
}

func readDirectory(ctx context.Context, from io.ReaderAt, size int64, limits Limits) (*directory, error) {
	tail := make([]byte, min(size, maxComment+endSize+locatorSize))
	if err := readAt(ctx, from, tail, size-int64(len(tail))); err != nil {
		return nil, broken(err)
	}
	end := findEnd(tail)
	if end < 0 {
		return nil, badZip("it has no end: it may be cut off")
	}
	endsAt := size - int64(len(tail)-end)
	list, endsAt, err := readEnd(ctx, from, tail[:end], tail[end:], endsAt)
	switch {
	case err != nil:
		return nil, err
	case list.begins > uint64(endsAt) || list.size > uint64(endsAt)-list.begins:
		return nil, badZip("the list of entries is not where its end says")
	case limits.Held > 0 && list.size > uint64(limits.Held), list.size > math.MaxUint32:
		return nil, refuse("", fmt.Errorf("the zip archive's list of entries has more than %d bytes: a tar or tar.gz may have as many as it likes", limits.Held))
	}
	d := &directory{raw: make([]byte, list.size), begins: int64(list.begins)}
	if err := readAt(ctx, from, d.raw, d.begins); err != nil {
		return nil, broken(err)
	}
	return d, d.index(list, limits.Entries)
}

// findEnd finds the record at the end of the archive, before its comment.
func findEnd(tail []byte) int {
	for at := len(tail) - endSize; at >= 0; at-- {
		if little.Uint32(tail[at:]) == endSignature && at+endSize+int(little.Uint16(tail[at+20:])) <= len(tail) {
			return at
		}
	}
	return -1
}

// readEnd finds where the list is, and where it must end.
func readEnd(ctx context.Context, from io.ReaderAt, before, end []byte, endsAt int64) (span, int64, error) {
	list := span{
		entries: uint64(little.Uint16(end[10:])),
		size:    uint64(little.Uint32(end[12:])),
		begins:  uint64(little.Uint32(end[16:])),
	}
	full := list.entries == math.MaxUint16 || list.size == math.MaxUint32 || list.begins == math.MaxUint32
	if !full || len(before) < locatorSize {
		return list, endsAt, nil
	}
	locator := before[len(before)-locatorSize:]
	if little.Uint32(locator) != locatorSignature {
		return list, endsAt, nil
	}
	at := little.Uint64(locator[8:])
	if at > uint64(endsAt) || uint64(endsAt)-at < end64Size+locatorSize {
		return span{}, 0, badZip("its zip64 end is not where it says")
	}
	record := make([]byte, end64Size)
	if err := readAt(ctx, from, record, int64(at)); err != nil {
		return span{}, 0, broken(err)
	}
	if little.Uint32(record) != end64Signature {
		return span{}, 0, badZip("its zip64 end is not where it says")
	}
	return span{
		entries: little.Uint64(record[32:]), size: little.Uint64(record[40:]), begins: little.Uint64(record[48:]), zip64: true,
	}, int64(at), nil
}

// index finds the entries of the list, and sorts them by their content.
func (d *directory) index(list span, most int) error {
	// Few archives have more entries than they say, and none needs more bytes.
	d.entries = make([]position, 0, min(list.entries, list.size/entrySize, uint64(most)))
	for at := 0; at < len(d.raw); {
		size, content, err := parseEntry(d.raw[at:])
		if err != nil {
			return err
		}
		if len(d.entries) == most {
			return refuseCount(nameIn(d.raw[at:]), most)
		}
		if name := nameIn(d.raw[at:]); len(name) > maxPath {
			return refuseLong(name)
		}
		d.entries = append(d.entries, position{content, uint32(at)})
		at += size
	}
	found := uint64(len(d.entries))
	// Writers without zip64 give the number of many entries without its upper bits.
	if found != list.entries && (list.zip64 || found%(1<<16) != list.entries) {
		return badZip("its end says that it has %d entries, and its list has %d", list.entries, found)
	}
	inOrder := func(a, b position) int { return cmp.Compare(a.content, b.content) }
	if !slices.IsSortedFunc(d.entries, inOrder) {
		slices.SortStableFunc(d.entries, inOrder)
	}
	return nil
}

// parseEntry gives the size of an entry's record and the place of its content,
// which the zip package keeps to itself.
func parseEntry(raw []byte) (size int, content uint64, err error) {
	if len(raw) < entrySize || little.Uint32(raw) != entrySignature {
		return 0, 0, badZip("its list of entries has something else in it")
	}
	name, extra, comment := int(little.Uint16(raw[28:])), int(little.Uint16(raw[30:])), int(little.Uint16(raw[32:]))
	size = entrySize + name + extra + comment
	if len(raw) < size {
		return 0, 0, badZip("its list of entries is cut off")
	}
	content = uint64(little.Uint32(raw[42:]))
	if content != math.MaxUint32 {
		return size, content, nil
	}
	large := extraField(raw[entrySize+name:entrySize+name+extra], zip64Extra)
	for _, other := range []int{24, 20} { // the sizes come first, where they are there
		if little.Uint32(raw[other:]) == math.MaxUint32 && len(large) >= 8 {
			large = large[8:]
		}
	}
	if len(large) < 8 {
		return 0, 0, refuse(nameIn(raw), errors.New("its zip64 field does not say where its content is"))
	}
	return size, little.Uint64(large), nil
}

// nameIn is the name in an entry's record.
func nameIn(raw []byte) string {
	return string(raw[entrySize:][:little.Uint16(raw[28:])])
}

// extraField finds a field among an entry's extra ones.
func extraField(extra []byte, tag uint16) []byte {
	for len(extra) >= 4 {
		size := int(little.Uint16(extra[2:]))
		if len(extra)-4 < size {
			return nil
		}
		if little.Uint16(extra) == tag {
			return extra[4 : 4+size]
		}
		extra = extra[4+size:]
	}
	return nil
}

// batchSize is how many entries are parsed at once, and batchBytes how many
// bytes of records, of which one may have 192 KiB.
const (
	batchSize  = 256
	batchBytes = 1 << 20
)

// batch are the first of some entries, which are parsed at once.
func (d *directory) batch(of []position) ([]position, error) {
	total := 0
	for n, one := range of {
		size, _, err := parseEntry(d.raw[one.record:])
		if err != nil {
			return nil, err
		}
		if total += size; n == batchSize || n > 0 && total > batchBytes {
			return of[:n], nil
		}
	}
	return of, nil
}

// next parses the first of some entries.
func (d *directory) next(of []position) (some []position, headers []*zip.File, err error) {
	if some, err = d.batch(of); err != nil {
		return nil, nil, err
	}
	headers, err = d.parse(some)
	return some, headers, err
}

// parse gives the headers of some entries. To the zip package they are an
// archive of their own, which has no content.
func (d *directory) parse(some []position) ([]*zip.File, error) {
	var list bytes.Buffer
	for _, one := range some {
		size, _, err := parseEntry(d.raw[one.record:])
		if err != nil {
			return nil, err
		}
		list.Write(d.raw[one.record:][:size])
	}
	end := make([]byte, endSize)
	little.PutUint32(end, endSignature)
	little.PutUint16(end[8:], uint16(len(some)))
	little.PutUint16(end[10:], uint16(len(some)))
	little.PutUint32(end[12:], uint32(list.Len()))
	list.Write(end)
	archive, err := zip.NewReader(bytes.NewReader(list.Bytes()), int64(list.Len()))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // each path is checked when it is made
		return nil, badZip("its list of entries: %w", err)
	}
	return archive.File, nil
}
