package podcontract

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ResultFolder is a result folder in which only regular files can be opened, while
// steps may put anything in their place at any time.
type ResultFolder struct{ root *os.Root }

// NewResultFolder is the folder that is open as root, which stays the caller's.
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

// Lstat is what fs.Lstat asks for, with ReadLink.
func (f ResultFolder) Lstat(name string) (fs.FileInfo, error) { return f.root.Lstat(name) }

// ReadLink implements fs.ReadLinkFS.
func (f ResultFolder) ReadLink(name string) (string, error) { return f.root.Readlink(name) }

// OpenFile opens a regular file to read it.
func (f ResultFolder) OpenFile(name string) (*os.File, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() { // opening a FIFO would be felt at its other end
		return nil, irregular(name)
	}
	// It may be another by now. Without O_NONBLOCK a FIFO would never be open.
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
