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
	"path/filepath"
)

// Limits bound what one artifact may unpack to.
type Limits struct {
	// Bytes of all files together.
	Bytes int64
	// Entries: files, folders and links.
	Entries int
}

// DefaultLimits are far above what pipelines move, and far below what fills a
// node unnoticed.
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 5_000_000}

// Fetch downloads one input artifact and unpacks it into the folder into, which
// it makes. The format is told by content: zip, tar or tar.gz; anything else
// becomes a single file, named by the last element of the object's key.
// Scratch is a folder for temporary files.
func Fetch(ctx context.Context, from io.Reader, objectKey, into, scratch string, limits Limits) error {
	if err := makeFolder(into); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", into, err)
	}
	writer := &treeWriter{ctx: ctx, root: root, limits: limits}
	err = unpack(writer, from, path.Base(objectKey), scratch)
	if err == nil {
		err = writer.finish()
	}
	return errors.Join(err, root.Close())
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
		return fmt.Errorf("read the artifact: %w", err)
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
		return fmt.Errorf("read the artifact: %w", err)
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
		return refuse("", fmt.Errorf("not a readable gzip file: %w", err))
	}
	return unpackTar(w, content)
}

func unpackTar(w *treeWriter, from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return refuse("", fmt.Errorf("not a readable tar archive: %w", err))
		}
		mode := header.FileInfo().Mode()
		switch header.Typeflag {
		case tar.TypeDir:
			err = w.folder(header.Name)
		case tar.TypeReg:
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

// unpackZip needs the whole archive first: the list of its entries is at its end.
func unpackZip(w *treeWriter, from io.Reader, scratch string) (err error) {
	file, err := os.CreateTemp(scratch, ".artifact-*")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	size, err := io.Copy(file, from)
	if err != nil {
		return fmt.Errorf("download the artifact to %s: %w", filepath.Base(file.Name()), err)
	}
	archive, err := zip.NewReader(file, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // each path is checked below
		return refuse("", fmt.Errorf("not a readable zip archive: %w", err))
	}
	for _, entry := range archive.File {
		if err := unpackZipEntry(w, entry); err != nil {
			return err
		}
	}
	return nil
}

func unpackZipEntry(w *treeWriter, entry *zip.File) error {
	mode := entry.Mode()
	switch {
	case mode.IsDir():
		return w.folder(entry.Name)
	case mode.IsRegular():
		return withEntry(entry, func(content io.Reader) error { return w.file(entry.Name, mode, content) })
	case mode&os.ModeSymlink != 0:
		return withEntry(entry, func(content io.Reader) error {
			target, err := io.ReadAll(io.LimitReader(content, maxLinkTarget+1))
			if err != nil {
				return refuse(entry.Name, err)
			}
			return w.symlink(entry.Name, string(target))
		})
	default:
		return refuse(entry.Name, fmt.Errorf("entries of type %s are not allowed: only files, folders and links are", mode.Type()))
	}
}

func withEntry(entry *zip.File, use func(io.Reader) error) error {
	content, err := entry.Open()
	if err != nil {
		return refuse(entry.Name, err)
	}
	return errors.Join(use(content), content.Close())
}
