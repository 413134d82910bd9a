package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// folder is the result folder, locked against other helpers: steps and
// sidecars may run several at a time.
type folder struct {
	root *os.Root
	// lock is the folder itself, held open: a file for it would have to be
	// one that steps of every user can open.
	lock *os.File
}

func openFolder(name string) (*folder, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open the result folder, which $%s names: %w", podcontract.EnvResult, err)
	}
	lock, err := root.Open(".")
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the result folder %s: %w", name, errors.Join(err, root.Close()))
	}
	return &folder{root, lock}, nil
}

func (f *folder) close() {
	_ = f.lock.Close() // which frees the lock; nothing was written to it
	_ = f.root.Close()
}

// read is what a result file says, which says nothing when it is not there.
func (f *folder) read(name string) (podcontract.Result, error) {
	var found podcontract.Result
	content, err := podcontract.OpenResultFile(podcontract.NewResultFolder(f.root), name)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	return found, found.Take(name, content)
}

// excludes are the files that may not have content beside each other.
var excludes = map[string]string{
	podcontract.FileContinuationToken: podcontract.FileOutputVariables,
	podcontract.FileOutputVariables:   podcontract.FileContinuationToken,
}

// check holds files to the rules that the end of the work will hold them to.
func (f *folder) check(files []file) error {
	if _, err := f.root.Lstat(podcontract.FileResult); err == nil {
		return fmt.Errorf("%s exists, and must then be the only file: write all results into it, or remove it", podcontract.FileResult)
	}
	for _, one := range files {
		var beside podcontract.Result
		if other, any := excludes[one.name]; any {
			found, err := f.read(other)
			if err != nil {
				return err
			}
			beside = found
		}
		if err := beside.Take(one.name, one.content); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) write(files []file) error {
	if err := f.check(files); err != nil {
		return err
	}
	for _, one := range files {
		if err := f.replace(one); err != nil {
			return fmt.Errorf("write %s: %w", one.name, err)
		}
	}
	return nil
}

// replace puts a file in the place of the one that is there, of whatever user,
// at once: who reads it finds the one or the other.
func (f *folder) replace(one file) error {
	next := "." + one.name + ".next"
	if err := f.root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a helper that was killed
		return err
	}
	opened, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = opened.Write(one.content)
	// Whatever the umask is, steps of other users and the report must read it.
	if err := errors.Join(err, opened.Chmod(0o666), opened.Close()); err != nil {
		return errors.Join(err, f.root.Remove(next))
	}
	return f.root.Rename(next, one.name)
}
