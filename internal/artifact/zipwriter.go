package artifact

import (
	"archive/zip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"time"
	"unicode/utf8"
)

// zipWriter writes a zip archive. That of the zip package holds some 400 bytes
// for each entry until the end, this one the bytes that it will write there.
type zipWriter struct {
	to   io.Writer
	at   uint64
	list [][]byte
	size uint64
	// links is what symbolic links take in memory beside the list, when they are
	// unpacked: what is packed must have room there (see Limits.Held).
	links   uint64
	entries uint64
	// open is the entry that is being written, whose header is at begins.
	open   *zip.FileHeader
	begins uint64
	large  bool
}

// Versions of the format that an entry needs: 4.5 has zip64.
const (
	version20 = 20
	version45 = 45
)

// descriptorSignature begins the sizes that come behind an entry's content.
const descriptorSignature = 0x08074b50

// nearly4G is where sizes may not fit in four bytes any more once a file that
// does not compress is stored in blocks.
const nearly4G = 1<<32 - 1<<26

var errGrew = errors.New("the file grew while it was read")

// listPart is how much memory for the list of entries is taken at once.
const listPart = 256 << 10

func (w *zipWriter) write(content []byte) error {
	n, err := w.to.Write(content)
	w.at += uint64(n)
	return err
}

func (w *zipWriter) stored(header *zip.FileHeader, content []byte) error {
	header.Method = zip.Store
	return w.whole(header, content, content)
}

func (w *zipWriter) deflated(header *zip.FileHeader, content, compressed []byte) error {
	header.Method = zip.Deflate
	return w.whole(header, content, compressed)
}

func (w *zipWriter) whole(header *zip.FileHeader, content, written []byte) error {
	header.CRC32 = crc32.ChecksumIEEE(content)
	header.UncompressedSize64, header.CompressedSize64 = uint64(len(content)), uint64(len(written))
	w.large = false
	if err := w.local(header); err != nil {
		return err
	}
	if err := w.write(written); err != nil {
		return err
	}
	return w.record()
}

// begin writes the header of a file whose sizes are not known.
func (w *zipWriter) begin(header *zip.FileHeader, size int64) error {
	header.Method = zip.Deflate
	header.Flags |= sizesBehind
	w.large = size >= nearly4G
	return w.local(header)
}

// end writes the sizes.
func (w *zipWriter) end() error {
	sizes := little.AppendUint32(nil, descriptorSignature)
	sizes = little.AppendUint32(sizes, w.open.CRC32)
	switch {
	case w.large:
		sizes = little.AppendUint64(sizes, w.open.CompressedSize64)
		sizes = little.AppendUint64(sizes, w.open.UncompressedSize64)
	case max(w.open.CompressedSize64, w.open.UncompressedSize64) >= math.MaxUint32:
		return refuse(w.open.Name, errGrew)
	default:
		sizes = little.AppendUint32(sizes, uint32(w.open.CompressedSize64))
		sizes = little.AppendUint32(sizes, uint32(w.open.UncompressedSize64))
	}
	if err := w.write(sizes); err != nil {
		return err
	}
	return w.record()
}

// prepare sets what the header's other fields say in the words of the format.
func (w *zipWriter) prepare(header *zip.FileHeader) {
	header.ReaderVersion = version20
	if w.large {
		header.ReaderVersion = version45
	}
	header.CreatorVersion = hostUnix<<8 | version45
	if utf8.ValidString(header.Name) {
		header.Flags |= saysUTF8
	}
	header.Extra = timeField(header.Modified)
}

// dosTime is the time in the zone of whoever unpacks. Nobody knows that: it is
// UTC here, and the field of Info-ZIP says it in seconds since 1970.
func dosTime(modified time.Time) (clock, day uint16) {
	modified = modified.UTC()
	if modified.Year() < 1980 || modified.Year() > 2107 {
		modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	clock = uint16(modified.Second()/2 + modified.Minute()<<5 + modified.Hour()<<11)
	return clock, uint16(modified.Day() + int(modified.Month())<<5 + (modified.Year()-1980)<<9)
}

// extendedTime is Info-ZIP's field for times, here with that of the last change.
const extendedTime = 0x5455

func timeField(modified time.Time) []byte {
	if seconds := modified.Unix(); seconds < 0 || seconds > math.MaxUint32 {
		return nil
	}
	field := little.AppendUint16(nil, extendedTime)
	field = little.AppendUint16(field, 5)
	field = append(field, 1)
	return little.AppendUint32(field, uint32(modified.Unix()))
}

func (w *zipWriter) local(header *zip.FileHeader) error {
	w.prepare(header)
	w.open, w.begins = header, w.at
	crc, compressed, size := header.CRC32, uint32(header.CompressedSize64), uint32(header.UncompressedSize64)
	extra := header.Extra
	if w.large {
		compressed, size = math.MaxUint32, math.MaxUint32
		extra = appendZip64(extra, 0, 0)
	}
	raw := little.AppendUint32(nil, localSignature)
	raw = appendCommon(raw, header)
	raw = little.AppendUint32(raw, crc)
	raw = little.AppendUint32(raw, compressed)
	raw = little.AppendUint32(raw, size)
	raw = little.AppendUint16(raw, uint16(len(header.Name)))
	raw = little.AppendUint16(raw, uint16(len(extra)))
	raw = append(raw, header.Name...)
	return w.write(append(raw, extra...))
}

func appendCommon(raw []byte, header *zip.FileHeader) []byte {
	clock, day := dosTime(header.Modified)
	for _, field := range []uint16{header.ReaderVersion, header.Flags, header.Method, clock, day} {
		raw = little.AppendUint16(raw, field)
	}
	return raw
}

func appendZip64(extra []byte, values ...uint64) []byte {
	extra = little.AppendUint16(extra[:len(extra):len(extra)], zip64Extra)
	extra = little.AppendUint16(extra, uint16(8*len(values)))
	for _, value := range values {
		extra = little.AppendUint64(extra, value)
	}
	return extra
}

// record adds the entry that was written to the list.
func (w *zipWriter) record() error {
	header, extra := w.open, w.open.Extra
	compressed, size, begins := uint32(header.CompressedSize64), uint32(header.UncompressedSize64), uint32(w.begins)
	if w.large || w.begins >= math.MaxUint32 {
		compressed, size, begins = math.MaxUint32, math.MaxUint32, math.MaxUint32
		extra = appendZip64(extra, header.UncompressedSize64, header.CompressedSize64, w.begins)
	}
	need := entrySize + len(header.Name) + len(extra)
	if header.Mode()&fs.ModeSymlink != 0 {
		w.links += uint64(len(header.Name)) + header.UncompressedSize64 + linkOverhead
	}
	if w.size+uint64(need)+w.links > maxListing {
		return refuse(header.Name, fmt.Errorf("it is the one after the %d files that an artifact has room for, with names as long as theirs: pack them into one file in a step, with tar", w.entries))
	}
	raw := w.room(need)
	raw = little.AppendUint32(raw, entrySignature)
	raw = little.AppendUint16(raw, header.CreatorVersion)
	raw = appendCommon(raw, header)
	raw = little.AppendUint32(raw, header.CRC32)
	raw = little.AppendUint32(raw, compressed)
	raw = little.AppendUint32(raw, size)
	raw = little.AppendUint16(raw, uint16(len(header.Name)))
	raw = little.AppendUint16(raw, uint16(len(extra)))
	raw = append(raw, 0, 0, 0, 0, 0, 0) // no comment, the first disk, not known to be text
	raw = little.AppendUint32(raw, header.ExternalAttrs)
	raw = little.AppendUint32(raw, begins)
	raw = append(raw, header.Name...)
	w.list[len(w.list)-1] = append(raw, extra...)
	w.entries++
	w.open = nil
	return nil
}

// room gives the part of the list that has place for n more bytes.
func (w *zipWriter) room(n int) []byte {
	w.size += uint64(n)
	if len(w.list) > 0 {
		last := w.list[len(w.list)-1]
		if cap(last)-len(last) >= n {
			return last
		}
	}
	w.list = append(w.list, make([]byte, 0, max(n, listPart)))
	return w.list[len(w.list)-1]
}

// close writes the list of entries and the end of the archive.
func (w *zipWriter) close() error {
	begins := w.at
	for _, part := range w.list {
		if err := w.write(part); err != nil {
			return err
		}
	}
	return w.write(endOf(begins, w.size, w.entries))
}

func endOf(begins, size, entries uint64) []byte {
	var end []byte
	if begins >= math.MaxUint32 || size >= math.MaxUint32 || entries >= math.MaxUint16 {
		end = end64(begins, size, entries)
	}
	end = little.AppendUint32(end, endSignature)
	end = append(end, 0, 0, 0, 0) // the first disk
	end = little.AppendUint16(end, uint16(min(entries, math.MaxUint16)))
	end = little.AppendUint16(end, uint16(min(entries, math.MaxUint16)))
	end = little.AppendUint32(end, uint32(min(size, math.MaxUint32)))
	end = little.AppendUint32(end, uint32(min(begins, math.MaxUint32)))
	return append(end, 0, 0) // no comment
}

func end64(begins, size, entries uint64) []byte {
	end := little.AppendUint32(nil, end64Signature)
	end = little.AppendUint64(end, end64Size-12) // without what came so far
	end = little.AppendUint16(end, hostUnix<<8|version45)
	end = little.AppendUint16(end, version45)
	end = append(end, 0, 0, 0, 0, 0, 0, 0, 0) // the first disk
	end = little.AppendUint64(end, entries)
	end = little.AppendUint64(end, entries)
	end = little.AppendUint64(end, size)
	end = little.AppendUint64(end, begins)
	end = little.AppendUint32(end, locatorSignature)
	end = append(end, 0, 0, 0, 0)
	end = little.AppendUint64(end, begins+size)
	return little.AppendUint32(end, 1)
}
