package artifact

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Fetch downloads one input artifact and unpacks it into the folder into, which
// it makes anew: what an earlier attempt left there is removed. The format is
// told by content: zip, tar or tar.gz; anything else becomes a single file,
// named by the last element of the object's key. Scratch is a folder for
// temporary files. The error is a *RefusedError when the fault is the archive's.
func Fetch(ctx context.Context, from io.Reader, objectKey, into, scratch string, limits Limits) error {
	if err := os.RemoveAll(into); err != nil {
		return fmt.Errorf("empty the folder %s: %w", into, err)
	}
	if err := MakeFolder(into); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", into, err)
	}
	err = fetchInto(ctx, root, from, path.Base(objectKey), scratch, limits)
	err = errors.Join(err, root.Close())
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return errors.Join(err, os.RemoveAll(into)) // links that lead out, for one
	}
	return err
}

func fetchInto(ctx context.Context, root *os.Root, from io.Reader, name, scratch string, limits Limits) error {
	writer := newTreeWriter(ctx, root, limits, &source{from: readerOf(ctx, from)})
	err := unpack(writer, from, name, scratch)
	if err == nil {
		err = writer.finish()
	}
	return errors.Join(err, writer.close())
}

// tarBlock is the size of what a tar archive consists of. Its headers are told
// by tarMagic, those of the oldest dialect by their checksum.
const (
	tarBlock          = 512
	tarMagic          = "ustar"
	tarMagicOffset    = 257
	tarChecksum       = 148
	tarChecksumLength = 8
)

func unpack(w *treeWriter, from io.Reader, name, scratch string) error {
	if whole, ok := from.(ranged); ok {
		head := make([]byte, min(int64(len(zipSpanned)), whole.Size()))
		if err := readAt(w.ctx, whole, head, 0); err != nil {
			return w.blame("", fmt.Errorf("%w: %w", ErrInterrupted, err))
		}
		if isZip(head) {
			w.source.bytes = whole.Size()
			return unpackZip(w, whole, whole.Size())
		}
	}
	return unpackStream(w, name, scratch)
}

// unpackStream takes what comes in one stream.
func unpackStream(w *treeWriter, name, scratch string) error {
	peeked := bufio.NewReaderSize(w.source, 64<<10)
	head, err := peeked.Peek(tarBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return w.blame("", err)
	}
	switch {
	case isZip(head):
		return unpackSpooled(w, peeked, scratch)
	case isTar(head):
		return unpackTar(w, peeked)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return unpackGzip(w, peeked, name)
	default:
		return w.file(name, plainMode, time.Time{}, peeked)
	}
}

// What a zip archive begins with: an entry, or, when it has none, its end.
// Archives that might have become several (zip -s) have a mark before that.
const (
	zipMagic     = "PK\x03\x04"
	zipEmpty     = "PK\x05\x06"
	zipSpanned   = "PK\x07\x08" + zipMagic
	zipUnspanned = "PK00" + zipMagic
)

func isZip(head []byte) bool {
	for _, magic := range []string{zipMagic, zipEmpty, zipSpanned, zipUnspanned} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

func isTar(head []byte) bool {
	if len(head) < tarMagicOffset+len(tarMagic) {
		return false
	}
	return string(head[tarMagicOffset:][:len(tarMagic)]) == tarMagic || hasTarChecksum(head)
}

// hasTarChecksum says whether the field of a header's checksum has the sum of
// its bytes, with spaces in place of that field.
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

// unpackGzip takes a tar.gz; a compressed file of another kind is kept as it is.
func unpackGzip(w *treeWriter, from *bufio.Reader, name string) error {
	head, err := from.Peek(from.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return w.blame("", err)
	}
	sample, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return refuse("", fmt.Errorf("not a readable gzip file: %w", err))
	}
	start := make([]byte, tarBlock)
	n, _ := io.ReadFull(sample, start) // a short read is no tar
	if !isTar(start[:n]) {
		return w.file(name, plainMode, time.Time{}, from)
	}
	content, err := gzip.NewReader(from)
	if err != nil {
		return w.blame("", fmt.Errorf("not a readable gzip file: %w", err))
	}
	return unpackTar(w, content)
}

func unpackTar(w *treeWriter, stream io.Reader) error {
	from := &streamMeter{w: w, from: stream}
	archive := tar.NewReader(from)
	for {
		header, err := from.next(archive)
		if errors.Is(err, io.EOF) {
			return readToEnd(w, stream)
		}
		if err != nil {
			return w.blame("", fmt.Errorf("not a readable tar archive: %w", err))
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
		return w.count(header.Name) // what "git archive" and "tar --label" put first
	}
	return refuse(header.Name, fmt.Errorf("entries of type %q are not allowed: only files, folders and links are", header.Typeflag))
}

// Types of GNU tar's that the tar package has no names for: a folder in an
// incremental archive, whose content is the names in it, and the archive's label.
const (
	typeDumpDir = 'D'
	typeLabel   = 'V'
)

// maxPadding is what may be behind the end of a tar archive: tar fills up its
// last record, of 10 KiB unless told otherwise.
const maxPadding = 16 << 20

// readToEnd reads what is behind the last entry: the checksums of gzip and of
// S3 are only compared at the end. Of another archive nothing would be unpacked.
func readToEnd(w *treeWriter, from io.Reader) error {
	block := make([]byte, tarBlock)
	for read := 0; ; {
		n, err := readFull(from, block)
		read += n
		switch {
		case read > maxPadding:
			return refuse("", fmt.Errorf("more than %d bytes are behind the end of the tar archive", maxPadding))
		case isTar(block[:n]):
			return refuse("", errors.New("another tar archive is behind the end of the first: make one of both, with tar --concatenate"))
		case errors.Is(err, io.EOF), errors.Is(err, gzip.ErrHeader): // zeros, say, fill up the last block of a tar.gz
			return nil
		case err != nil:
			return w.blame("", fmt.Errorf("not a readable tar archive: %w", err))
		}
	}
}

// unpackSpooled takes a zip archive that comes in one stream: the list of its
// entries is at its end.
func unpackSpooled(w *treeWriter, from io.Reader, scratch string) (err error) {
	file, err := os.CreateTemp(scratch, ".artifact-*")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	size, err := spool(w, file, from)
	if err != nil {
		return err
	}
	return unpackZip(w, file, size)
}

// zipOverhead is more than zip needs for itself, for an entry and for the whole.
const zipOverhead = 1 << 10

// spool stores a zip archive, which must not fill the disk either: it is
// smaller than what is in it but for its list of entries.
func spool(w *treeWriter, file *os.File, from io.Reader) (int64, error) {
	most := w.limits.whole(zipOverhead)
	size, err := io.Copy(file, io.LimitReader(from, most+1))
	switch {
	case w.source.err != nil:
		return 0, w.source.err
	case err != nil:
		return 0, fmt.Errorf("store the artifact in %s: %w", file.Name(), err)
	case size > most:
		return 0, refuse("", fmt.Errorf("the zip archive itself has more than %d bytes", most))
	}
	return size, nil
}
