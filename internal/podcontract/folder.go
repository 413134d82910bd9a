package podcontract

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ResultFolder is a result folder in which only regular files can be opened, even if steps replace
// them with something else at any time.
type ResultFolder struct{ root *os.Root }

// NewResultFolder returns the folder that is open as root. The caller still has to close root.
func NewResultFolder(root *os.Root) ResultFolder { return ResultFolder{root} }

// Open implements fs.FS.
func (f ResultFolder) Open(name string) (fs.File, error) {
	file, err := f.OpenFile(name)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return file, nil
}

// ReadDir implements fs.ReadDirFS.
func (f ResultFolder) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(f.root.FS(), name)
}

// Lstat implements fs.ReadLinkFS.
func (f ResultFolder) Lstat(name string) (fs.FileInfo, error) { return f.root.Lstat(name) }

// ReadLink implements fs.ReadLinkFS.
func (f ResultFolder) ReadLink(name string) (string, error) { return f.root.Readlink(name) }

// OpenFile opens a regular file for reading.
func (f ResultFolder) OpenFile(name string) (*os.File, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() { // opening a FIFO would wake up its writer
		return nil, irregular(name)
	}
	// It may have been replaced by now. Without O_NONBLOCK, opening a FIFO would block.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err != nil || !opened.Mode().IsRegular() {
		return nil, errors.Join(err, irregular(name), file.Close())
	}
	return file, nil
}

func irregular(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: errIrregular}
}

var errIrregular = errors.New("not a regular file")
