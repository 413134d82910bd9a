package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
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
	filler *filler

	bytes   int64
	entries int
	held    int64
	// steps is how many folders were opened on the way to entries.
	steps int
	// links are made last: no entry can be written through one.
	links []link
	// linkAt finds a link by its name, once it is asked for.
	linkAt map[string]int
	// stamps of folders are set when nothing more is written in them; stamped is
	// the memory that they take.
	stamps  []stamp
	stamped int64
	// within is the folder that was written in last, and its name.
	within     *os.Root
	withinName string
}

type link struct {
	name, target string
	modified     time.Time
}

type stamp struct {
	name     string
	modified time.Time
}

func newTreeWriter(ctx context.Context, root *os.Root, limits Limits, from *source) *treeWriter {
	return &treeWriter{ctx: ctx, root: root, limits: limits, source: from, filler: newFiller(), within: root, withinName: "."}
}

func (w *treeWriter) close() error {
	if w.within == w.root {
		return nil
	}
	return w.within.Close()
}

// blame says whose fault an error is: the archive's, which is refused, or that
// of the download or the disk, which another attempt may not see.
func (w *treeWriter) blame(entry string, err error) error {
	var refused *RefusedError
	switch {
	case w.source.err != nil:
		return w.source.err
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case errors.As(err, &refused), errors.Is(err, ErrInterrupted), isOurs(err):
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
func (w *treeWriter) count(entry string) error {
	w.entries++
	if w.entries > w.limits.Entries {
		return refuseCount(entry, w.limits.Entries)
	}
	return nil
}

func refuseCount(entry string, most int) error {
	return refuse(entry, fmt.Errorf("it is the one after the %d entries that an archive may have (the operator's --artifact-max-entries)", most))
}

func refuseLong(entry string) error {
	return refuse(entry, fmt.Errorf("the name is longer than %d bytes", maxPath))
}

// nameOf checks an entry's name, and gives it as a path below root.
func (w *treeWriter) nameOf(entry string) (string, error) {
	if err := w.ctx.Err(); err != nil {
		return "", err
	}
	if len(entry) > maxPath {
		return "", refuseLong(entry)
	}
	name := path.Clean(strings.TrimSuffix(entry, "/"))
	// A backslash is a character like any other here, but who wrote it may have
	// meant a folder, and nothing that means one above is taken.
	windows := strings.ReplaceAll(entry, `\`, "/")
	if strings.ContainsRune(entry, 0) || !filepath.IsLocal(name) || !filepath.IsLocal(path.Clean(windows)) {
		return "", refuse(entry, errors.New("the name leads out of the artifact's folder"))
	}
	return name, nil
}

// place checks an entry's name and makes the folders above it.
func (w *treeWriter) place(entry string) (folder *os.Root, name string, err error) {
	name, err = w.nameOf(entry)
	if err != nil {
		return nil, "", err
	}
	folder, err = w.enter(filepath.Dir(name))
	if err != nil {
		return nil, "", w.blame(entry, err)
	}
	return folder, filepath.Base(name), nil
}

// enter opens a folder that every user may use, and makes it and those above
// it where they are missing. It stays open until another one is entered.
func (w *treeWriter) enter(name string) (*os.Root, error) {
	if name == w.withinName {
		return w.within, nil
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	w.within, w.withinName = w.root, "."
	if name == "." {
		return w.root, nil
	}
	if err := w.walk(name, depth(name)); err != nil {
		return nil, err
	}
	at := w.root
	for element := range strings.SplitSeq(name, "/") {
		next, err := w.step(at, element, name)
		if at != w.root {
			err = errors.Join(err, at.Close())
		}
		if errors.Is(err, errNoFolder) {
			err = fmt.Errorf("%s is a file and a folder", name)
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	w.within, w.withinName = at, name
	return at, nil
}

var errNoFolder = errors.New("not a folder")

func (w *treeWriter) step(at *os.Root, element, entry string) (*os.Root, error) {
	next, err := at.OpenRoot(element)
	switch {
	case err == nil:
		return next, nil
	case !errors.Is(err, os.ErrNotExist):
		if info, statErr := at.Lstat(element); statErr == nil && !info.IsDir() {
			return nil, errNoFolder
		}
		return nil, err
	}
	if err := w.count(entry); err != nil {
		return nil, err
	}
	if err := at.Mkdir(element, folderMode); err != nil {
		return nil, err
	}
	if err := at.Chmod(element, sharedFolder); err != nil { // Mkdir is subject to umask
		return nil, err
	}
	return at.OpenRoot(element)
}

func (w *treeWriter) folder(entry string, modified time.Time) error {
	name, err := w.nameOf(entry)
	if err != nil {
		return err
	}
	before := w.entries
	if _, err := w.enter(name); err != nil {
		return w.blame(entry, err)
	}
	if w.entries == before { // it was there, but takes time too
		if err := w.count(entry); err != nil {
			return err
		}
	}
	w.stamp(name, modified)
	return nil
}

// stamp remembers a folder's time. Those of an archive with so many folders
// that they can't be held are left alone.
func (w *treeWriter) stamp(name string, modified time.Time) {
	size := int64(len(name) + linkOverhead)
	if !settable(modified) || w.limits.Held > 0 && w.stamped+size > w.limits.Held/4 {
		return
	}
	w.stamped += size
	w.stamps = append(w.stamps, stamp{name, modified})
}

// create makes the file of an entry, which nobody else may have made.
func (w *treeWriter) create(entry string) (*os.File, error) {
	folder, name, err := w.place(entry)
	if err != nil {
		return nil, err
	}
	if err := w.count(entry); err != nil {
		return nil, err
	}
	file, err := folder.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, refuse(entry, errTwice)
	}
	if err != nil {
		return nil, w.blame(entry, err)
	}
	return file, nil
}

// file writes a file with its owner's permissions for every user.
func (w *treeWriter) file(entry string, mode os.FileMode, modified time.Time, content io.Reader) error {
	file, err := w.create(entry)
	if err != nil {
		return err
	}
	err = w.filler.fill(file, meter{w, entry, readerOf(w.ctx, content)})
	if err == nil {
		err = complete(file, mode, modified)
	}
	return w.blameFile(entry, errors.Join(err, file.Close()))
}

// blameFile is blame for the content of a file.
func (w *treeWriter) blameFile(entry string, err error) error {
	var disk *os.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &disk) && w.source.err == nil && !errors.Is(err, ErrInterrupted):
		return err // ours, not the archive's: no space left, for one
	}
	return w.blame(entry, err)
}

// complete gives a file that was written its mode and time.
func complete(file *os.File, mode os.FileMode, modified time.Time) error {
	if err := file.Chmod(forAll(mode)); err != nil {
		return err
	}
	return stampFile(file, modified)
}

var errTwice = errors.New("the archive has it twice")

func (w *treeWriter) symlink(entry, target string, modified time.Time) error {
	_, _, err := w.place(entry)
	if err != nil {
		return err
	}
	if err := w.count(entry); err != nil {
		return err
	}
	return w.linkTo(entry, target, modified)
}

// linkTo holds a symbolic link until all else is there.
func (w *treeWriter) linkTo(entry, target string, modified time.Time) error {
	if len(target) > maxPath || target == "" || strings.ContainsRune(target, 0) {
		return refuse(entry, errors.New("the link has no valid target"))
	}
	name := path.Clean(entry)
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return refuse(entry, fmt.Errorf("the link leads out of the artifact's folder, to %.200q", target))
	}
	return w.hold(entry, link{name, target, modified})
}

func (w *treeWriter) hardlink(entry, target string) error {
	if _, _, err := w.place(entry); err != nil {
		return err
	}
	if err := w.count(entry); err != nil {
		return err
	}
	if same, ok := w.linkNamed(path.Clean(target)); ok {
		return w.linkTo(entry, same.target, same.modified)
	}
	if err := w.walk(entry, depth(entry)+depth(target)); err != nil {
		return err
	}
	err := w.root.Link(path.Clean(target), path.Clean(entry))
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
		if err := w.link(link); err != nil {
			return err
		}
	}
	for _, link := range w.links {
		if err := errors.Join(w.ctx.Err(), w.walk(link.name, depth(link.name)+depth(link.target))); err != nil {
			return err
		}
		_, err := w.root.Stat(link.name)
		// A link to nothing leads nowhere, for the kernel too.
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return w.blame(link.name, fmt.Errorf("the link to %.200q leads out of the artifact's folder, or over too many links: %w", link.target, err))
		}
	}
	return w.stampFolders()
}

// depth is how many folders are on the way to a name.
func depth(name string) int { return 1 + strings.Count(name, "/") }

func (w *treeWriter) link(link link) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	folder, err := w.enter(filepath.Dir(link.name))
	if err != nil {
		return w.blame(link.name, err)
	}
	name := filepath.Base(link.name)
	err = folder.Symlink(link.target, name)
	if errors.Is(err, os.ErrExist) {
		return refuse(link.name, errors.New("the archive has it twice: as a symbolic link, and as something else or a folder with content"))
	}
	if err != nil {
		return w.blame(link.name, err)
	}
	return stampLink(folder, name, link.modified)
}

// stampFolders sets the times of the folders, the deepest last.
func (w *treeWriter) stampFolders() error {
	slices.SortStableFunc(w.stamps, func(a, b stamp) int {
		return cmp.Compare(strings.Count(a.name, "/"), strings.Count(b.name, "/"))
	})
	for _, stamp := range w.stamps {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.root.Chtimes(stamp.name, time.Time{}, stamp.modified); err != nil {
			return fmt.Errorf("set the time of the folder %.200q: %w", stamp.name, err)
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
	if err == nil || err == io.EOF { // an error with an io.EOF in it is no end
		return n, err
	}
	s.err = fmt.Errorf("%w: %w", ErrInterrupted, noEnd(err))
	return n, s.err
}
