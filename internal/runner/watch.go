package runner

import (
	"os"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// watch tells when something in the result folder may have changed. It holds
// the folder and its files open: a look is then a few calls of fstat, without
// a path to resolve, a byte to read or memory to allocate.
type watch struct{ held []held }

type held struct {
	file  *os.File
	stamp stamp
}

// stamp changes with each write to a file, and when it gets another name or
// other permissions; that of a folder, with each name in it that comes or goes.
type stamp struct {
	size              int64
	modified, changed syscall.Timespec
}

// stampOf is the zero stamp, which no file has, when there is none.
func stampOf(file *os.File) stamp {
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		return stamp{}
	}
	return stamp{stat.Size, stat.Mtim, stat.Ctim}
}

// moved is also true as long as nothing is held.
func (w *watch) moved() bool {
	for _, h := range w.held {
		if stampOf(h.file) != h.stamp {
			return true
		}
	}
	return len(w.held) == 0
}

// hold holds the folder and the files that are there by now. One that can't be
// opened is no loss here: who reads it finds that out too, and tries again.
func (w *watch) hold(root *os.Root) {
	folder, err := root.Open(".")
	if err != nil {
		return
	}
	files := podcontract.NewResultFolder(root)
	// The folder comes first: a name that comes later is seen as a change.
	w.held = append(w.held, held{folder, stampOf(folder)})
	for _, name := range podcontract.ProgressFiles() {
		if file, err := files.OpenFile(name); err == nil {
			w.held = append(w.held, held{file, stampOf(file)})
		}
	}
}

func (w *watch) release() {
	for _, h := range w.held {
		_ = h.file.Close() // it was never written to
	}
	w.held = w.held[:0]
}
