package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
)

// Several entries may have the same name. In a tar archive the last one wins, because it was
// appended later. For zip archives, readers disagree on which one wins, so they must be identical.

var (
	errDuplicate = errors.New("the archive has it twice")
	errDiffers   = errors.New("the archive has it twice, with different content")
)

// dropLink drops a symbolic link that is not created yet, if the last entry wins.
func (w *treeWriter) dropLink(name string) {
	if !w.lastWins || len(w.links) == 0 {
		return
	}
	if dropped := w.linkNamed(name); dropped != nil {
		*dropped = link{}
		delete(w.linkIndex, name)
	}
}

// removeFile removes the file of an earlier entry, if the last entry wins. It reports whether it
// did.
func (w *treeWriter) removeFile(folder *os.Root, name string) bool {
	if !w.lastWins {
		return false
	}
	info, err := folder.Lstat(path.Base(name))
	return err == nil && info.Mode().IsRegular() && folder.Remove(path.Base(name)) == nil
}

// isFile reports whether two names refer to the same file.
func (w *treeWriter) isFile(one, other string) bool {
	first, err := w.root.Lstat(one)
	if err != nil {
		return false
	}
	second, err := w.root.Lstat(other)
	return err == nil && os.SameFile(first, second)
}

// isLink reports whether there is already a symbolic link with that target.
func isLink(folder *os.Root, name, target string) bool {
	existing, err := folder.Readlink(name)
	return err == nil && existing == target
}

// reopen opens the file of an earlier entry with the same name.
func (w *treeWriter) reopen(entry string) (*os.File, error) {
	folder, name, err := w.makeParent(entry)
	if err != nil {
		return nil, err
	}
	base := path.Base(name)
	info, err := folder.Lstat(base)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refuse(entry, errDuplicate)
	}
	if err := folder.Chmod(base, 0o600); err != nil { // its mode may deny access to this process too
		return nil, err
	}
	return folder.Open(base)
}

// compare returns errDiffers if the file has different content.
func (w *sparseWriter) compare(file *os.File, content io.Reader) error {
	given, stored := w.buffer[:writeSize/2], w.buffer[writeSize/2:]
	for {
		n, err := readFull(content, given)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		m, readErr := readFull(file, stored[:n])
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return readErr
		}
		if !bytes.Equal(given[:n], stored[:m]) {
			return errDiffers
		}
		if err != nil {
			return atEnd(file)
		}
	}
}

// atEnd returns errDiffers unless the file has been read to its end.
func atEnd(file *os.File) error {
	n, err := file.Read(make([]byte, 1))
	switch {
	case n > 0:
		return errDiffers
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}
