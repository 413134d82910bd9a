package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/klauspost/compress/gzip"
)

// tarBlock is the block size of a tar archive. Headers are recognized by tarMagic or, in the oldest
// format, by their checksum.
const (
	tarBlock          = 512
	tarMagic          = "ustar"
	tarMagicOffset    = 257
	tarChecksum       = 148
	tarChecksumLength = 8
)

func isTar(head []byte) bool {
	if len(head) < tarMagicOffset+len(tarMagic) {
		return false
	}
	return string(head[tarMagicOffset:][:len(tarMagic)]) == tarMagic || hasTarChecksum(head)
}

// hasTarChecksum reports whether a header has a valid checksum: the sum of its bytes, with the
// checksum itself read as spaces.
func hasTarChecksum(head []byte) bool {
	if len(head) < tarBlock {
		return false
	}
	field := head[tarChecksum:][:tarChecksumLength]
	given, err := strconv.ParseInt(string(bytes.Trim(field, " \x00")), 8, 64)
	if err != nil {
		return false
	}
	sum := int64(tarChecksumLength * ' ')
	for i, one := range head[:tarBlock] {
		if i < tarChecksum || i >= tarChecksum+tarChecksumLength {
			sum += int64(one)
		}
	}
	return sum == given
}

func unpackTar(w *treeWriter, stream io.Reader) error {
	w.lastWins = true
	from := &tarMeter{w: w, from: stream}
	archive := tar.NewReader(from)
	for {
		header, err := from.next(archive)
		if errors.Is(err, io.EOF) {
			return readToEnd(w, stream)
		}
		if err != nil {
			return w.classify("", fmt.Errorf("not a readable tar archive: %w", err))
		}
		if err := unpackTarEntry(w, header, archive); err != nil {
			return err
		}
	}
}

func unpackTarEntry(w *treeWriter, header *tar.Header, content io.Reader) error {
	switch header.Typeflag {
	case tar.TypeDir, typeDumpDir:
		return w.folder(header.Name, header.ModTime)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return w.file(header.Name, header.FileInfo().Mode(), header.ModTime, content)
	case tar.TypeSymlink:
		return w.symlink(header.Name, header.Linkname, header.ModTime)
	case tar.TypeLink:
		return w.hardlink(header.Name, header.Linkname)
	case tar.TypeXGlobalHeader, typeLabel:
		return w.countEntry(header.Name) // "git archive" and "tar --label" write one first
	}
	return refuse(header.Name, fmt.Errorf("entries of type %q are not allowed: only files, folders and links are", header.Typeflag))
}

// Entry types of GNU tar without a constant in package archive/tar: a folder of an incremental
// archive, with the list of its names as content, and the archive's label.
const (
	typeDumpDir = 'D'
	typeLabel   = 'V'
)

// maxPadding is how many bytes may follow the end of a tar archive. Tar pads the last record, which
// has 10 KiB by default.
const maxPadding = 16 << 20

// readToEnd reads to the end of the content, where decompressors compare checksums. It refuses a
// second archive, which would not be unpacked.
func readToEnd(w *treeWriter, from io.Reader) error {
	block := make([]byte, tarBlock)
	for read := 0; ; {
		n, err := readFull(from, block)
		read += n
		switch {
		case read > maxPadding:
			return refuse("", fmt.Errorf("more than %d bytes follow the end of the tar archive", maxPadding))
		case isTar(block[:n]):
			return refuse("", errors.New("a second tar archive follows the first: make one of both, with tar --concatenate"))
		case errors.Is(err, io.EOF), errors.Is(err, gzip.ErrHeader): // for example zeros that pad the last block of a tar.gz
			return nil
		case err != nil:
			return w.classify("", fmt.Errorf("not a readable tar archive: %w", err))
		}
	}
}

// tarOverhead is more than the tar format adds per entry, and for the archive itself.
const tarOverhead = 4 << 10

// tarMeter bounds the decompressed bytes in addition to the files: headers leave nothing in the
// folder, but take time.
type tarMeter struct {
	w     *treeWriter
	from  io.Reader
	bytes int64
	// zeros counts the trailing zeros while searching for the next header.
	zeros     int64
	searching bool
}

func (m *tarMeter) Read(p []byte) (int, error) {
	if err := m.check(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(p)
	m.bytes += int64(n)
	if m.searching {
		zeros := n - len(bytes.TrimRight(p[:n], "\x00"))
		if zeros < n {
			m.zeros = 0
		}
		m.zeros += int64(zeros)
	}
	return n, err
}

// next returns the next header. It requires blocks of zeros at the end of the archive. Package
// archive/tar also accepts an archive that was cut off there, or after a header that extends the
// next entry.
func (m *tarMeter) next(archive *tar.Reader) (header *tar.Header, err error) {
	before := m.bytes
	m.searching, m.zeros = true, 0
	header, err = archive.Next()
	m.searching = false
	whole := (m.bytes - before) / tarBlock * tarBlock // without the last file's padding
	if errors.Is(err, io.EOF) && (whole == 0 || m.zeros < whole) {
		return nil, errNoEnd
	}
	return header, err
}

var errNoEnd = errors.New("its end is missing: it may be cut off")

// check counts the bytes that were read before. The files among them have been counted already.
func (m *tarMeter) check() error {
	overhead, limits := m.bytes-m.w.bytes, m.w.limits
	switch most := limits.maxTotal(tarOverhead) - limits.Bytes; {
	case overhead > most:
		return exceeds("", LimitEntries, most, "the tar archive has more than %d bytes in addition to its files")
	case limits.Ratio > 0 && overhead > limits.RatioFrom && overhead/limits.Ratio > m.w.stream.bytes:
		return exceeds("", LimitRatio, limits.Ratio, "the tar archive has more than %d times as many bytes in addition to its files as when it is compressed")
	}
	return nil
}
