package archive

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Package archive/zip keeps about 400 bytes in memory per entry. This file keeps the raw central
// directory plus 16 bytes per entry for its position, and lets archive/zip parse a few entries at a
// time.

// Sizes and signatures of the records of a zip archive (APPNOTE.TXT 4.3).
const (
	localHeaderSize      = 30
	localHeaderSignature = 0x04034b50

	centralHeaderSize      = 46
	centralHeaderSignature = 0x02014b50

	endRecordSize      = 22
	endRecordSignature = 0x06054b50

	zip64EndSize      = 56
	zip64EndSignature = 0x06064b50

	locatorSize      = 20
	locatorSignature = 0x07064b50

	maxComment = math.MaxUint16
	zip64Extra = 1
)

var little = binary.LittleEndian

// centralDirectory lists the entries of a zip archive in the order of their content.
type centralDirectory struct {
	raw     []byte
	entries []position
	// offset is where the content ends and the central directory begins.
	offset int64
}

// position has the offset of an entry's content in the archive, and the offset of its header in the
// central directory.
type position struct {
	content uint64
	header  uint32
}

// endRecord describes the central directory, as recorded at the end of the archive.
type endRecord struct {
	offset, size, entries uint64
	// zip64 reports whether entries is the full number instead of its lower 16 bits.
	zip64 bool
}

func badZip(format string, args ...any) error {
	return refuse("", fmt.Errorf("not a readable zip archive: "+format, args...))
}

func readCentralDirectory(ctx context.Context, from RangeReader, limits Limits) (*centralDirectory, error) {
	size := from.Size()
	tail := make([]byte, min(size, maxComment+endRecordSize+locatorSize))
	if err := readRange(ctx, from, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	end := findEnd(tail)
	if end < 0 {
		return nil, badZip("its end is missing: it may be cut off")
	}
	endsAt := size - int64(len(tail)-end)
	list, endsAt, err := readEnd(ctx, from, tail[:end], tail[end:], endsAt)
	switch {
	case err != nil:
		return nil, err
	case list.offset > uint64(endsAt) || list.size > uint64(endsAt)-list.offset:
		return nil, badZip("the list of entries is not where its end says")
	case limits.IndexBytes > 0 && list.size > uint64(limits.IndexBytes), list.size > math.MaxUint32:
		return nil, exceeds("", LimitIndexBytes, limits.IndexBytes, "the zip archive's list of entries has more than %d bytes")
	}
	d := &centralDirectory{raw: make([]byte, list.size), offset: int64(list.offset)}
	if err := readRange(ctx, from, d.raw, d.offset); err != nil {
		return nil, err
	}
	return d, d.index(list, limits.Entries)
}

// findEnd finds the record at the end of the archive, before its comment.
func findEnd(tail []byte) int {
	for at := len(tail) - endRecordSize; at >= 0; at-- {
		if little.Uint32(tail[at:]) == endRecordSignature && at+endRecordSize+int(little.Uint16(tail[at+20:])) <= len(tail) {
			return at
		}
	}
	return -1
}

// readEnd reads the records at the end of the archive. It also returns the offset where the central
// directory must end.
func readEnd(ctx context.Context, from RangeReader, before, end []byte, endsAt int64) (endRecord, int64, error) {
	list := endRecord{
		entries: uint64(little.Uint16(end[10:])),
		size:    uint64(little.Uint32(end[12:])),
		offset:  uint64(little.Uint32(end[16:])),
	}
	full := list.entries == math.MaxUint16 || list.size == math.MaxUint32 || list.offset == math.MaxUint32
	if !full || len(before) < locatorSize {
		return list, endsAt, nil
	}
	locator := before[len(before)-locatorSize:]
	if little.Uint32(locator) != locatorSignature {
		return list, endsAt, nil
	}
	at := little.Uint64(locator[8:])
	if at > uint64(endsAt) || uint64(endsAt)-at < zip64EndSize+locatorSize {
		return endRecord{}, 0, badZip("its zip64 end is not where it says")
	}
	record := make([]byte, zip64EndSize)
	if err := readRange(ctx, from, record, int64(at)); err != nil {
		return endRecord{}, 0, err
	}
	if little.Uint32(record) != zip64EndSignature {
		return endRecord{}, 0, badZip("its zip64 end is not where it says")
	}
	return endRecord{
		entries: little.Uint64(record[32:]), size: little.Uint64(record[40:]), offset: little.Uint64(record[48:]), zip64: true,
	}, int64(at), nil
}

// index finds the entries and sorts them by the offset of their content.
func (d *centralDirectory) index(list endRecord, most int) error {
	// Archives rarely have more entries than they declare.
	d.entries = make([]position, 0, min(list.entries, list.size/centralHeaderSize, uint64(most)))
	for at := 0; at < len(d.raw); {
		size, content, err := parseEntry(d.raw[at:])
		if err != nil {
			return err
		}
		if len(d.entries) == most {
			return tooMany(nameIn(d.raw[at:]), most)
		}
		if name := nameIn(d.raw[at:]); len(name) > maxPath {
			return refuseLong(name)
		}
		d.entries = append(d.entries, position{content, uint32(at)})
		at += size
	}
	found := uint64(len(d.entries))
	// Writers without zip64 drop the upper bits of a large number of entries.
	if found != list.entries && (list.zip64 || found%(1<<16) != list.entries) {
		return badZip("its end says that it has %d entries, and its list has %d", list.entries, found)
	}
	inOrder := func(a, b position) int { return cmp.Compare(a.content, b.content) }
	if !slices.IsSortedFunc(d.entries, inOrder) {
		slices.SortStableFunc(d.entries, inOrder)
	}
	return nil
}

// parseEntry returns the size of an entry's header and the offset of its content, which archive/zip
// does not expose.
func parseEntry(raw []byte) (size int, content uint64, err error) {
	if len(raw) < centralHeaderSize || little.Uint32(raw) != centralHeaderSignature {
		return 0, 0, badZip("its list of entries has something else in it")
	}
	name, extra, comment := int(little.Uint16(raw[28:])), int(little.Uint16(raw[30:])), int(little.Uint16(raw[32:]))
	size = centralHeaderSize + name + extra + comment
	if len(raw) < size {
		return 0, 0, badZip("its list of entries is cut off")
	}
	content = uint64(little.Uint32(raw[42:]))
	if content != math.MaxUint32 {
		return size, content, nil
	}
	large := extraField(raw[centralHeaderSize+name:centralHeaderSize+name+extra], zip64Extra)
	for _, other := range []int{24, 20} { // the field has the sizes, if any, before the offset
		if little.Uint32(raw[other:]) == math.MaxUint32 && len(large) >= 8 {
			large = large[8:]
		}
	}
	if len(large) < 8 {
		return 0, 0, refuse(nameIn(raw), errors.New("its zip64 field does not say where its content is"))
	}
	return size, little.Uint64(large), nil
}

// nameIn returns the name in an entry's header.
func nameIn(raw []byte) string {
	return string(raw[centralHeaderSize:][:little.Uint16(raw[28:])])
}

// extraField finds one of an entry's extra fields.
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

// batchSize is the number of entries that are parsed at once, and batchBytes bounds the bytes of
// their headers: a single header may have 192 KiB.
const (
	batchSize  = 256
	batchBytes = 1 << 20
)

// batch returns the leading entries that are parsed at once.
func (d *centralDirectory) batch(of []position) ([]position, error) {
	total := 0
	for n, one := range of {
		size, _, err := parseEntry(d.raw[one.header:])
		if err != nil {
			return nil, err
		}
		if total += size; n == batchSize || n > 0 && total > batchBytes {
			return of[:n], nil
		}
	}
	return of, nil
}

// next parses the first batch of the entries.
func (d *centralDirectory) next(of []position) (some []position, headers []*zip.File, err error) {
	if some, err = d.batch(of); err != nil {
		return nil, nil, err
	}
	headers, err = d.parse(some)
	return some, headers, err
}

// parse returns the headers of entries. It presents them to archive/zip as an archive without
// content.
func (d *centralDirectory) parse(some []position) ([]*zip.File, error) {
	var list bytes.Buffer
	for _, one := range some {
		size, _, err := parseEntry(d.raw[one.header:])
		if err != nil {
			return nil, err
		}
		list.Write(d.raw[one.header:][:size])
	}
	end := make([]byte, endRecordSize)
	little.PutUint32(end, endRecordSignature)
	little.PutUint16(end[8:], uint16(len(some)))
	little.PutUint16(end[10:], uint16(len(some)))
	little.PutUint32(end[12:], uint32(list.Len()))
	list.Write(end)
	archive, err := zip.NewReader(bytes.NewReader(list.Bytes()), int64(list.Len()))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // paths are checked when they are created
		return nil, badZip("its list of entries: %w", err)
	}
	return archive.File, nil
}
