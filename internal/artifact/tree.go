package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// RefusedError says that an artifact is not taken, because of one of its
// entries or as a whole. Nothing was written outside of its folder.
type RefusedError struct {
	// Entry is the entry's name, empty when it is the whole archive.
	Entry string
	Rule  error
}

func (e *RefusedError) Error() string {
	if e.Entry == "" {
		return e.Rule.Error()
	}
	return fmt.Sprintf("entry %.200q: %v", e.Entry, e.Rule)
}

// Unwrap gives the rule that was broken.
func (e *RefusedError) Unwrap() error { return e.Rule }

func refuse(entry string, rule error) error { return &RefusedError{Entry: entry, Rule: rule} }

// maxPath is Linux's PATH_MAX: nothing could use a longer name.
const maxPath = 4096

// treeWriter writes the entries of an archive below root. All paths go through
// os.Root, which follows no link out of it.
type treeWriter struct {
	ctx    context.Context
	root   *os.Root
	limits Limits
	// source tells errors of the download from those of the archive.
	source *source

	bytes   int64
	entries int
	held    int64
	// links are made last: no entry can be written through one.
	links []link
}

type link struct{ name, target string }

// blame says whose fault an error is: the archive's, which is refused, or that
// of the download or the disk, which another attempt may not see.
func (w *treeWriter) blame(entry string, err error) error {
	var refused *RefusedError
	switch {
	case w.source.err != nil:
		return w.source.err
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case errors.As(err, &refused), isOurs(err):
		return err
	}
	return refuse(entry, err)
}

func isOurs(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// count admits one more file, folder or link.
func (w *treeWriter) count() error {
	w.entries++
	if w.entries > w.limits.Entries {
		return refuse("", fmt.Errorf("more than %d entries", w.limits.Entries))
	}
	return nil
}

// place checks an entry's name and makes the folders above it.
func (w *treeWriter) place(entry string) (string, error) {
	if err := w.ctx.Err(); err != nil {
		return "", err
	}
	if len(entry) > maxPath {
		return "", refuse(entry, fmt.Errorf("the name is longer than %d bytes", maxPath))
	}
	name := filepath.FromSlash(path.Clean(strings.TrimSuffix(entry, "/")))
	if strings.ContainsRune(entry, 0) || !filepath.IsLocal(name) {
		return "", refuse(entry, errors.New("the name leads out of the artifact's folder"))
	}
	if folder := filepath.Dir(name); folder != "." {
		if err := w.mkdir(folder); err != nil {
			return "", w.blame(entry, err)
		}
	}
	return name, nil
}

// mkdir makes a folder, and those above it, that every user may use.
func (w *treeWriter) mkdir(name string) error {
	info, err := w.root.Lstat(name)
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is a file and a folder", name)
		}
		return nil
	}
	if folder := filepath.Dir(name); folder != "." {
		if err := w.mkdir(folder); err != nil {
			return err
		}
	}
	if err := w.count(); err != nil {
		return err
	}
	if err := w.root.Mkdir(name, 0o777); err != nil {
		return err
	}
	return w.root.Chmod(name, 0o777) // Mkdir is subject to umask
}

func (w *treeWriter) folder(entry string) error {
	if path.Clean(entry) == "." {
		return w.ctx.Err()
	}
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.mkdir(name); err != nil {
		return w.blame(entry, err)
	}
	return nil
}

// file writes a file that every user may read and write; it stays executable,
// for every user, when it was for any. Set-user-ID and its like are dropped.
func (w *treeWriter) file(entry string, mode os.FileMode, content io.Reader) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.count(); err != nil {
		return err
	}
	file, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return refuse(entry, errTwice)
	}
	if err != nil {
		return w.blame(entry, err)
	}
	open := os.FileMode(0o666)
	if mode&0o111 != 0 {
		open = 0o777
	}
	err = errors.Join(w.copy(file, entry, content), file.Chmod(open))
	return errors.Join(err, file.Close())
}

var errTwice = errors.New("the archive has it twice")

func (w *treeWriter) copy(file *os.File, entry string, content io.Reader) error {
	_, err := io.Copy(file, meter{w, entry, readerOf(w.ctx, content)})
	var disk *os.PathError
	switch {
	case errors.As(err, &disk):
		return err // ours, not the archive's: no space left, for one
	case err != nil:
		return w.blame(entry, err)
	}
	return nil
}

func (w *treeWriter) symlink(entry, target string) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.count(); err != nil {
		return err
	}
	if len(target) > maxPath || target == "" || strings.ContainsRune(target, 0) {
		return refuse(entry, errors.New("the link has no valid target"))
	}
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return refuse(entry, fmt.Errorf("the link leads out of the artifact's folder, to %.200q", target))
	}
	return w.hold(entry, link{name, target})
}

func (w *treeWriter) hardlink(entry, target string) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.count(); err != nil {
		return err
	}
	err = w.root.Link(filepath.FromSlash(path.Clean(target)), name)
	if errors.Is(err, os.ErrExist) {
		return refuse(entry, errTwice)
	}
	if err != nil {
		return w.blame(entry, fmt.Errorf("link to %.200q: %w", target, err))
	}
	return nil
}

// finish makes the symbolic links, and checks where each leads now that all
// are there: a chain of links may lead out where no single one does.
func (w *treeWriter) finish() error {
	for _, link := range w.links {
		err := w.root.Symlink(link.target, link.name)
		if errors.Is(err, os.ErrExist) {
			return refuse(link.name, errors.New("the archive has it twice: as a symbolic link, and as something else or a folder with content"))
		}
		if err != nil {
			return w.blame(link.name, err)
		}
	}
	for _, link := range w.links {
		_, err := w.root.Stat(link.name)
		// A link to nothing leads nowhere, for the kernel too.
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return w.blame(link.name, fmt.Errorf("the link to %.200q leads out of the artifact's folder, or over too many links: %w", link.target, err))
		}
	}
	return nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func readerOf(ctx context.Context, from io.Reader) io.Reader { return contextReader{ctx, from} }

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// ErrInterrupted says that a download broke off: another attempt may succeed.
var ErrInterrupted = errors.New("the download broke off")

// source remembers why a download ended early. The readers of archives can't
// tell: they give back the error of a broken connection as one of the archive.
type source struct {
	from  io.Reader
	bytes int64
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return n, err
}
