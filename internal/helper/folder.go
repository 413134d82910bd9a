package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// folder is the result folder, locked against other helpers: steps and sidecars may run several at
// the same time.
type folder struct {
	root *os.Root
	// lock is the folder itself, held open. A separate lock file would have to be accessible to
	// steps of every user.
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
	_ = f.lock.Close() // releases the lock; nothing was written to it
	_ = f.root.Close()
}

// read parses a result file. A missing file has an empty result.
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

// excludes maps a file to the one that must be empty if it has content.
var excludes = map[string]string{
	podcontract.FileContinuationToken: podcontract.FileOutputVariables,
	podcontract.FileOutputVariables:   podcontract.FileContinuationToken,
}

// check applies the rules that the report will apply at the end of the work.
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

// replace replaces a file of any user atomically: readers find either the old or the new one.
func (f *folder) replace(one file) error {
	next := "." + one.name + ".next"
	if err := f.root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a helper that was killed
		return err
	}
	opened, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = opened.Write(one.content)
	// Steps of other users and the report must be able to read it, whatever the umask.
	if err := errors.Join(err, opened.Chmod(0o666), opened.Close()); err != nil {
		return errors.Join(err, f.root.Remove(next))
	}
	return f.root.Rename(next, one.name)
}
