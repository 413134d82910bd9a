package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
)

// Entries of one name: in a tar archive the last one counts, as it was appended. In a
// zip archive readers disagree on which one does, so that all must be the same.

var (
	errDuplicate = errors.New("the archive has it twice")
	errDiffers   = errors.New("the archive has it twice, with different content")
)

// dropLink forgets a symbolic link that is not made yet, where the last entry counts.
func (w *treeWriter) dropLink(name string) {
	if !w.lastWins || len(w.links) == 0 {
		return
	}
	if dropped := w.linkNamed(name); dropped != nil {
		*dropped = link{}
		delete(w.linkIndex, name)
	}
}

// removeFile removes the file of an earlier entry, where the last entry counts. It reports
// whether it did.
func (w *treeWriter) removeFile(folder *os.Root, name string) bool {
	if !w.lastWins {
		return false
	}
	info, err := folder.Lstat(path.Base(name))
	return err == nil && info.Mode().IsRegular() && folder.Remove(path.Base(name)) == nil
}

// isFile reports whether two names are names of one file.
func (w *treeWriter) isFile(one, other string) bool {
	first, err := w.root.Lstat(one)
	if err != nil {
		return false
	}
	second, err := w.root.Lstat(other)
	return err == nil && os.SameFile(first, second)
}

// isLink reports whether there is a symbolic link with that target already.
func isLink(folder *os.Root, name, target string) bool {
	existing, err := folder.Readlink(name)
	return err == nil && existing == target
}

// reopen opens the file that an earlier entry of the same name made.
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
	if err := folder.Chmod(base, 0o600); err != nil { // its mode may keep this process out too
		return nil, err
	}
	return folder.Open(base)
}

// compare returns errDiffers if the file has another content.
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
