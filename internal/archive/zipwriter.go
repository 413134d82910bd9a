package archive

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

// zipWriter writes a zip archive. Package archive/zip keeps about 400 bytes per entry until the
// end. This writer keeps only the bytes of the central directory.
type zipWriter struct {
	to      io.Writer
	written uint64
	// indexBytes bounds the central directory together with the links, like Limits.IndexBytes. It
	// is at most maxIndex, which is also the default.
	indexBytes int64
	// directory is the central directory in chunks, and directorySize its total size.
	directory     [][]byte
	directorySize uint64
	// linkBytes is the memory that symbolic links take in addition to the central directory when
	// they are unpacked (see Limits.IndexBytes).
	linkBytes uint64
	entries   uint64
	// thinnest is the file that compression has saved the most bytes of, and saved is their number.
	thinnest string
	saved    int64
	// open is the current entry. Its header is at offset.
	open   *zip.FileHeader
	offset uint64
	zip64  bool
}

// Format versions that an entry requires. zip64 requires 4.5.
const (
	version20 = 20
	version45 = 45
)

// descriptorSignature begins the data descriptor, which follows an entry's content.
const descriptorSignature = 0x08074b50

// zip64From is the size from which on a file's sizes may not fit into four bytes: incompressible
// blocks grow.
const zip64From = 1<<32 - 1<<26

var errGrew = errors.New("the file grew while it was read")

// directoryChunk is the size of the chunks of the central directory.
const directoryChunk = 256 << 10

func (w *zipWriter) write(content []byte) error {
	n, err := w.to.Write(content)
	w.written += uint64(n)
	return err
}

func (w *zipWriter) writeStored(header *zip.FileHeader, content []byte) error {
	header.Method = zip.Store
	return w.writeEntry(header, content, content)
}

func (w *zipWriter) writeDeflated(header *zip.FileHeader, content, compressed []byte) error {
	header.Method = zip.Deflate
	return w.writeEntry(header, content, compressed)
}

func (w *zipWriter) writeEntry(header *zip.FileHeader, content, written []byte) error {
	header.CRC32 = crc32.ChecksumIEEE(content)
	header.UncompressedSize64, header.CompressedSize64 = uint64(len(content)), uint64(len(written))
	w.zip64 = false
	if err := w.writeLocalHeader(header); err != nil {
		return err
	}
	if err := w.write(written); err != nil {
		return err
	}
	return w.addToDirectory()
}

// beginEntry writes the header of a file of unknown size.
func (w *zipWriter) beginEntry(header *zip.FileHeader, size int64) error {
	header.Method = zip.Deflate
	header.Flags |= flagDataDescriptor
	w.zip64 = size >= zip64From
	return w.writeLocalHeader(header)
}

// endEntry writes the data descriptor.
func (w *zipWriter) endEntry() error {
	sizes := little.AppendUint32(nil, descriptorSignature)
	sizes = little.AppendUint32(sizes, w.open.CRC32)
	switch {
	case w.zip64:
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
	return w.addToDirectory()
}

// prepare sets the header fields that depend on other fields.
func (w *zipWriter) prepare(header *zip.FileHeader) {
	header.ReaderVersion = version20
	if w.zip64 {
		header.ReaderVersion = version45
	}
	header.CreatorVersion = hostUnix<<8 | version45
	if utf8.ValidString(header.Name) {
		header.Flags |= flagUTF8
	}
	header.Extra = timeField(header.Modified)
}

// dosTime returns a time in UTC. Readers interpret it in their own time zone, unless they support
// the extra field with the Unix time.
func dosTime(modified time.Time) (clock, day uint16) {
	modified = modified.UTC()
	if modified.Year() < 1980 || modified.Year() > 2107 {
		modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	clock = uint16(modified.Second()/2 + modified.Minute()<<5 + modified.Hour()<<11)
	return clock, uint16(modified.Day() + int(modified.Month())<<5 + (modified.Year()-1980)<<9)
}

// extendedTime is Info-ZIP's extra field for times.
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

func (w *zipWriter) writeLocalHeader(header *zip.FileHeader) error {
	w.prepare(header)
	w.open, w.offset = header, w.written
	crc, compressed, size := header.CRC32, uint32(header.CompressedSize64), uint32(header.UncompressedSize64)
	extra := header.Extra
	if w.zip64 {
		compressed, size = math.MaxUint32, math.MaxUint32
		extra = appendZip64(extra, 0, 0)
	}
	raw := little.AppendUint32(nil, localHeaderSignature)
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

// addToDirectory adds the current entry to the central directory.
func (w *zipWriter) addToDirectory() error {
	header, extra := w.open, w.open.Extra
	compressed, size, offset := uint32(header.CompressedSize64), uint32(header.UncompressedSize64), uint32(w.offset)
	if w.zip64 || w.offset >= math.MaxUint32 {
		compressed, size, offset = math.MaxUint32, math.MaxUint32, math.MaxUint32
		extra = appendZip64(extra, header.UncompressedSize64, header.CompressedSize64, w.offset)
	}
	if saved := int64(header.UncompressedSize64) - int64(header.CompressedSize64); saved > w.saved {
		w.thinnest, w.saved = header.Name, saved
	}
	need := centralHeaderSize + len(header.Name) + len(extra)
	if header.Mode()&fs.ModeSymlink != 0 {
		w.linkBytes += uint64(len(header.Name)) + header.UncompressedSize64 + linkOverhead
	}
	if most := w.maxIndex(); w.directorySize+uint64(need)+w.linkBytes > uint64(most) {
		return refuse(header.Name, &LimitError{Limit: LimitPackedIndexBytes, Max: most, message: fmt.Sprintf(
			"with it, the list of entries has more than %d bytes, after %d files", most, w.entries)})
	}
	raw := w.reserve(need)
	raw = little.AppendUint32(raw, centralHeaderSignature)
	raw = little.AppendUint16(raw, header.CreatorVersion)
	raw = appendCommon(raw, header)
	raw = little.AppendUint32(raw, header.CRC32)
	raw = little.AppendUint32(raw, compressed)
	raw = little.AppendUint32(raw, size)
	raw = little.AppendUint16(raw, uint16(len(header.Name)))
	raw = little.AppendUint16(raw, uint16(len(extra)))
	raw = append(raw, 0, 0, 0, 0, 0, 0) // no comment, first disk, not marked as text
	raw = little.AppendUint32(raw, header.ExternalAttrs)
	raw = little.AppendUint32(raw, offset)
	raw = append(raw, header.Name...)
	w.directory[len(w.directory)-1] = append(raw, extra...)
	w.entries++
	w.open = nil
	return nil
}

func (w *zipWriter) maxIndex() int64 {
	if w.indexBytes <= 0 {
		return maxIndex
	}
	return min(w.indexBytes, maxIndex)
}

// reserve returns the last chunk of the central directory, with room for n more bytes.
func (w *zipWriter) reserve(n int) []byte {
	w.directorySize += uint64(n)
	if len(w.directory) > 0 {
		last := w.directory[len(w.directory)-1]
		if cap(last)-len(last) >= n {
			return last
		}
	}
	w.directory = append(w.directory, make([]byte, 0, max(n, directoryChunk)))
	return w.directory[len(w.directory)-1]
}

// close writes the central directory and the end of the archive.
func (w *zipWriter) close() error {
	offset := w.written
	for _, part := range w.directory {
		if err := w.write(part); err != nil {
			return err
		}
	}
	return w.write(endRecords(offset, w.directorySize, w.entries))
}

func endRecords(offset, size, entries uint64) []byte {
	var end []byte
	if offset >= math.MaxUint32 || size >= math.MaxUint32 || entries >= math.MaxUint16 {
		end = zip64End(offset, size, entries)
	}
	end = little.AppendUint32(end, endRecordSignature)
	end = append(end, 0, 0, 0, 0) // first disk
	end = little.AppendUint16(end, uint16(min(entries, math.MaxUint16)))
	end = little.AppendUint16(end, uint16(min(entries, math.MaxUint16)))
	end = little.AppendUint32(end, uint32(min(size, math.MaxUint32)))
	end = little.AppendUint32(end, uint32(min(offset, math.MaxUint32)))
	return append(end, 0, 0) // no comment
}

func zip64End(offset, size, entries uint64) []byte {
	end := little.AppendUint32(nil, zip64EndSignature)
	end = little.AppendUint64(end, zip64EndSize-12) // without signature and size
	end = little.AppendUint16(end, hostUnix<<8|version45)
	end = little.AppendUint16(end, version45)
	end = append(end, 0, 0, 0, 0, 0, 0, 0, 0) // first disk
	end = little.AppendUint64(end, entries)
	end = little.AppendUint64(end, entries)
	end = little.AppendUint64(end, size)
	end = little.AppendUint64(end, offset)
	end = little.AppendUint32(end, locatorSignature)
	end = append(end, 0, 0, 0, 0)
	end = little.AppendUint64(end, offset+size)
	return little.AppendUint32(end, 1)
}
