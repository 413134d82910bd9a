package artifact

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
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
	if err := makeFolder(into); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", into, err)
	}
	download := &source{from: readerOf(ctx, from)}
	writer := &treeWriter{ctx: ctx, root: root, limits: limits, source: download}
	err = unpack(writer, download, path.Base(objectKey), scratch)
	if err == nil {
		err = writer.finish()
	}
	err = errors.Join(err, root.Close())
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return errors.Join(err, os.RemoveAll(into)) // links that lead out, for one
	}
	return err
}

// makeFolder makes a folder that every user may write: steps run as any user.
func makeFolder(name string) error {
	if err := os.MkdirAll(name, 0o777); err != nil {
		return fmt.Errorf("make the folder %s: %w", name, err)
	}
	if err := os.Chmod(name, 0o777); err != nil { // MkdirAll is subject to umask
		return fmt.Errorf("open the folder %s to all users: %w", name, err)
	}
	return nil
}

// tarMagic is at byte 257 of a tar archive, of whatever dialect but the oldest.
const (
	tarMagic       = "ustar"
	tarMagicOffset = 257
)

func unpack(w *treeWriter, from io.Reader, name, scratch string) error {
	peeked := bufio.NewReaderSize(from, 64<<10)
	head, err := peeked.Peek(tarMagicOffset + len(tarMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return w.blame("", err)
	}
	switch {
	case isZip(head):
		return unpackZip(w, peeked, scratch)
	case isTar(head):
		return unpackTar(w, peeked)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return unpackGzip(w, peeked, name)
	default:
		return w.file(name, 0o644, peeked)
	}
}

func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

func isTar(head []byte) bool {
	return len(head) >= tarMagicOffset+len(tarMagic) && string(head[tarMagicOffset:tarMagicOffset+len(tarMagic)]) == tarMagic
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
	start := make([]byte, tarMagicOffset+len(tarMagic))
	n, _ := io.ReadFull(sample, start) // a short read is no tar
	if !isTar(start[:n]) {
		return w.file(name, 0o644, from)
	}
	content, err := gzip.NewReader(from)
	if err != nil {
		return w.blame("", fmt.Errorf("not a readable gzip file: %w", err))
	}
	return unpackTar(w, content)
}

func unpackTar(w *treeWriter, from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return readToEnd(w, from)
		}
		if err != nil {
			return w.blame("", fmt.Errorf("not a readable tar archive: %w", err))
		}
		mode := header.FileInfo().Mode()
		switch header.Typeflag {
		case tar.TypeDir:
			err = w.folder(header.Name)
		case tar.TypeReg, tar.TypeGNUSparse:
			err = w.file(header.Name, mode, archive)
		case tar.TypeSymlink:
			err = w.symlink(header.Name, header.Linkname)
		case tar.TypeLink:
			err = w.hardlink(header.Name, header.Linkname)
		case tar.TypeXGlobalHeader:
			continue // what "git archive" puts first
		default:
			err = refuse(header.Name, fmt.Errorf("entries of type %q are not allowed: only files, folders and links are", header.Typeflag))
		}
		if err != nil {
			return err
		}
	}
}

// maxPadding is what may be behind the end of a tar archive: tar fills up its
// last record, of 10 KiB unless told otherwise.
const maxPadding = 16 << 20

// readToEnd reads what is behind the last entry: the checksums of gzip and of
// S3 are only compared at the end.
func readToEnd(w *treeWriter, from io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(from, maxPadding+1))
	switch {
	case err != nil:
		return w.blame("", fmt.Errorf("not a readable tar archive: %w", err))
	case n > maxPadding:
		return refuse("", fmt.Errorf("more than %d bytes are behind the end of the tar archive", maxPadding))
	}
	return nil
}

// unpackZip needs the whole archive first: the list of its entries is at its end.
func unpackZip(w *treeWriter, from io.Reader, scratch string) (err error) {
	file, err := os.CreateTemp(scratch, ".artifact-*")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	size, err := spool(w, file, from)
	if err != nil {
		return err
	}
	archive, err := openZip(file, size, w.limits.Held)
	if err != nil {
		return err
	}
	for _, entry := range archive.File {
		if err := unpackZipEntry(w, entry); err != nil {
			return err
		}
	}
	return nil
}

// openZip reads the list of entries of a zip archive.
func openZip(file io.ReaderAt, size, held int64) (*zip.Reader, error) {
	if held == 0 {
		held = size
	}
	from := &listing{ReaderAt: file, left: held + listingSlack}
	archive, err := zip.NewReader(from, size)
	from.over = true
	switch {
	case errors.Is(err, errListing):
		return nil, refuse("", fmt.Errorf("the zip archive's list of entries has more than %d bytes", held))
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // each path is checked when it is made
		return nil, refuse("", fmt.Errorf("not a readable zip archive: %w", err))
	}
	return archive, nil
}

// zipOverhead is more than zip needs for itself, for an entry and for the whole.
const zipOverhead = 1 << 10

// spool stores a zip archive, which must not fill the disk either: it is
// smaller than what is in it but for its list of entries.
func spool(w *treeWriter, file *os.File, from io.Reader) (int64, error) {
	most := w.limits.Bytes + int64(w.limits.Entries+1)*zipOverhead
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

func unpackZipEntry(w *treeWriter, entry *zip.File) error {
	mode := entry.Mode()
	switch {
	case mode.IsDir():
		return w.folder(entry.Name)
	case mode.IsRegular():
		return withEntry(w, entry, func(content io.Reader) error { return w.file(entry.Name, mode, content) })
	case mode&os.ModeSymlink != 0:
		return withEntry(w, entry, func(content io.Reader) error {
			target, err := io.ReadAll(io.LimitReader(content, maxPath+1))
			if err != nil {
				return w.blame(entry.Name, err)
			}
			return w.symlink(entry.Name, string(target))
		})
	default:
		return refuse(entry.Name, fmt.Errorf("entries of type %s are not allowed: only files, folders and links are", mode.Type()))
	}
}

func withEntry(w *treeWriter, entry *zip.File, use func(io.Reader) error) error {
	content, err := entry.Open()
	if err != nil {
		return w.blame(entry.Name, err)
	}
	return errors.Join(use(content), content.Close())
}
