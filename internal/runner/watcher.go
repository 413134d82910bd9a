package runner

import (
	"os"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// watcher detects changes in the result folder. It keeps the folder and its files open, so that a
// check is a few calls of fstat, without path lookups, reads or allocations.
type watcher struct{ files []watchedFile }

type watchedFile struct {
	file  *os.File
	stamp stamp
}

// stamp changes with each write to a file, and with changes of its name and permissions. The stamp
// of a folder changes if names are added or removed.
type stamp struct {
	size              int64
	modified, changed syscall.Timespec
}

// stampOf returns the stamp of a file, or the zero stamp, which no file has, if it can't be read.
func stampOf(file *os.File) stamp {
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		return stamp{}
	}
	return stamp{stat.Size, stat.Mtim, stat.Ctim}
}

// changed reports whether a file may have changed. It returns true while no file is open.
func (w *watcher) changed() bool {
	for _, f := range w.files {
		if stampOf(f.file) != f.stamp {
			return true
		}
	}
	return len(w.files) == 0
}

// open opens the folder and its existing files. It ignores files that can't be opened: the reader
// gets the same error and tries again.
func (w *watcher) open(root *os.Root) {
	folder, err := root.Open(".")
	if err != nil {
		return
	}
	files := podcontract.NewResultFolder(root)
	// The folder comes first, so that a name that is added later is seen as a change.
	w.files = append(w.files, watchedFile{folder, stampOf(folder)})
	for _, name := range podcontract.ProgressFiles() {
		if file, err := files.OpenFile(name); err == nil {
			w.files = append(w.files, watchedFile{file, stampOf(file)})
		}
	}
}

func (w *watcher) close() {
	for _, f := range w.files {
		_ = f.file.Close() // nothing was written to it
	}
	w.files = w.files[:0]
}
