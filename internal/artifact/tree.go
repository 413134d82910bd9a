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

// maxLinkTarget is Linux's PATH_MAX.
const maxLinkTarget = 4096

// treeWriter writes the entries of an archive below root. All paths go through
// os.Root, which follows no link out of it.
type treeWriter struct {
	ctx    context.Context
	root   *os.Root
	limits Limits

	bytes   int64
	entries int
	// links are made last: no entry can be written through one.
	links []link
}

type link struct{ name, target string }

// place checks an entry's name and makes the folders above it.
func (w *treeWriter) place(entry string) (string, error) {
	if err := w.ctx.Err(); err != nil {
		return "", err
	}
	w.entries++
	if w.entries > w.limits.Entries {
		return "", refuse("", fmt.Errorf("more than %d entries", w.limits.Entries))
	}
	name := filepath.FromSlash(path.Clean(strings.TrimSuffix(entry, "/")))
	if strings.ContainsRune(entry, 0) || !filepath.IsLocal(name) {
		return "", refuse(entry, errors.New("the name leads out of the artifact's folder"))
	}
	if folder := filepath.Dir(name); folder != "." {
		if err := w.mkdir(folder); err != nil {
			return "", refuse(entry, err)
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
	if err := w.root.Mkdir(name, 0o777); err != nil {
		return err
	}
	return w.root.Chmod(name, 0o777) // Mkdir is subject to umask
}

func (w *treeWriter) folder(entry string) error {
	if path.Clean(entry) == "." {
		return nil
	}
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.mkdir(name); err != nil {
		return refuse(entry, err)
	}
	return nil
}

// file writes a file that every user may read and write; it stays executable
// when it was. Set-user-ID and its like are dropped.
func (w *treeWriter) file(entry string, mode os.FileMode, content io.Reader) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	file, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return refuse(entry, errors.New("the archive has it twice"))
	}
	if err != nil {
		return refuse(entry, err)
	}
	err = errors.Join(w.copy(file, entry, content), file.Chmod(mode.Perm()|0o666))
	return errors.Join(err, file.Close())
}

func (w *treeWriter) copy(file *os.File, entry string, content io.Reader) error {
	left := w.limits.Bytes - w.bytes
	n, err := io.Copy(file, io.LimitReader(readerOf(w.ctx, content), left+1))
	w.bytes += n
	var disk *os.PathError
	switch {
	case n > left:
		return refuse("", fmt.Errorf("more than %d bytes when unpacked", w.limits.Bytes))
	case errors.As(err, &disk):
		return err // ours, not the archive's: no space left, for one
	case err != nil:
		return refuse(entry, err)
	}
	return nil
}

func (w *treeWriter) symlink(entry, target string) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if len(target) > maxLinkTarget || target == "" || strings.ContainsRune(target, 0) {
		return refuse(entry, errors.New("the link has no valid target"))
	}
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return refuse(entry, fmt.Errorf("the link leads out of the artifact's folder, to %.200q", target))
	}
	w.links = append(w.links, link{name, target})
	return nil
}

func (w *treeWriter) hardlink(entry, target string) error {
	name, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.root.Link(filepath.FromSlash(path.Clean(target)), name); err != nil {
		return refuse(entry, fmt.Errorf("link to %.200q: %w", target, err))
	}
	return nil
}

// finish makes the symbolic links, and checks where each leads now that all
// are there: a chain of links may lead out where no single one does.
func (w *treeWriter) finish() error {
	for _, link := range w.links {
		if err := w.root.Symlink(link.target, link.name); err != nil {
			return refuse(link.name, err)
		}
	}
	for _, link := range w.links {
		_, err := w.root.Stat(link.name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return errors.Join(refuse(link.name, fmt.Errorf("the link leads out of the artifact's folder: %w", err)), w.unlink())
		}
	}
	return nil
}

func (w *treeWriter) unlink() error {
	var failed error
	for _, link := range w.links {
		failed = errors.Join(failed, w.root.Remove(link.name))
	}
	return failed
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
