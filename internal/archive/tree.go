package archive

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

// maxPath is Linux's PATH_MAX. Longer paths can't be used.
const maxPath = 4096

// treeWriter writes the entries of an archive below root. All access is through os.Root, which
// follows no link out of it.
type treeWriter struct {
	quota
	ctx   context.Context
	root  *os.Root
	rules Rules
	// lastWins makes an entry replace an earlier one with the same name, as in tar archives, which
	// can be appended to. Otherwise, both must be identical.
	lastWins bool
	// stream counts the bytes that are read from the archive, and records why reading ended early.
	stream *streamReader
	files  *sparseWriter

	// indexBytes is counted against Limits.IndexBytes.
	indexBytes int64
	// links are created last, so that no entry can be written through a link. A replaced link has
	// an empty name.
	links []link
	// linkIndex finds a link by name. It is created on first use.
	linkIndex map[string]int
	// folderTimes are set at the end, because writing in a folder changes its time. folderTimesSize
	// is the memory that they take.
	folderTimes     []folderTime
	folderTimesSize int64
	// current is the folder of the last entry.
	current     *os.Root
	currentName string
}

type link struct {
	name, target string
	modified     time.Time
}

type folderTime struct {
	name     string
	modified time.Time
}

func newTreeWriter(ctx context.Context, root *os.Root, rules Rules) *treeWriter {
	return &treeWriter{
		quota: newQuota(rules.Limits), ctx: ctx, root: root, rules: rules, stream: &streamReader{}, files: newSparseWriter(), current: root, currentName: ".",
	}
}

func (w *treeWriter) close() error {
	if w.current == w.root {
		return nil
	}
	return w.current.Close()
}

// classify returns a *RefusedError, unless the cause is the source, the context or the disk: then
// another attempt may succeed.
func (w *treeWriter) classify(entry string, err error) error {
	var refused *RefusedError
	switch {
	case w.stream.err != nil:
		return w.stream.err
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case errors.As(err, &refused), errors.Is(err, errSource), isSystemError(err):
		return err
	}
	return refuse(entry, err)
}

func isSystemError(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func refuseLong(entry string) error {
	return refuse(entry, fmt.Errorf("the name is longer than %d bytes", maxPath))
}

// cleanName checks an entry's name and returns it as a path relative to root.
func (w *treeWriter) cleanName(entry string) (string, error) {
	if err := w.ctx.Err(); err != nil {
		return "", err
	}
	if len(entry) > maxPath {
		return "", refuseLong(entry)
	}
	if err := checkName(entry); err != nil {
		return "", err
	}
	return path.Clean(strings.TrimLeft(entry, "/")), nil
}

// makeParent checks an entry's name and creates its parent folders. It returns the name as a path
// relative to root.
func (w *treeWriter) makeParent(entry string) (folder *os.Root, name string, err error) {
	name, err = w.cleanName(entry)
	if err != nil {
		return nil, "", err
	}
	folder, err = w.openFolder(filepath.Dir(name))
	if err != nil {
		return nil, "", w.classify(entry, err)
	}
	return folder, name, nil
}

// openFolder opens a folder, and creates it and its parents if they are missing. Every user may use
// it. It stays open until the next call.
func (w *treeWriter) openFolder(name string) (*os.Root, error) {
	if name == w.currentName {
		return w.current, nil
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	w.current, w.currentName = w.root, "."
	if name == "." {
		return w.root, nil
	}
	if err := w.countSteps(name, depth(name)); err != nil {
		return nil, err
	}
	at := w.root
	for element := range strings.SplitSeq(name, "/") {
		next, err := w.openOrMake(at, element, name)
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
	w.current, w.currentName = at, name
	return at, nil
}

var errNoFolder = errors.New("not a folder")

func (w *treeWriter) openOrMake(at *os.Root, element, entry string) (*os.Root, error) {
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
	if err := w.countEntry(entry); err != nil {
		return nil, err
	}
	if err := at.Mkdir(element, defaultFolderMode); err != nil {
		return nil, err
	}
	if err := at.Chmod(element, sharedFolder); err != nil { // Mkdir applies the umask
		return nil, err
	}
	return at.OpenRoot(element)
}

func (w *treeWriter) folder(entry string, modified time.Time) error {
	name, err := w.cleanName(entry)
	if err != nil {
		return err
	}
	before := w.entries
	if _, err := w.openFolder(name); err != nil {
		return w.classify(entry, err)
	}
	if w.entries == before { // opening an existing folder takes time too
		if err := w.countEntry(entry); err != nil {
			return err
		}
	}
	w.deferTime(name, modified)
	return nil
}

// deferTime records a folder's time for setFolderTimes. If memory does not suffice for all folders,
// the last ones keep the current time.
func (w *treeWriter) deferTime(name string, modified time.Time) {
	size := int64(len(name) + linkOverhead)
	if !settable(modified) || w.limits.IndexBytes > 0 && w.folderTimesSize+size > w.limits.IndexBytes/4 {
		return
	}
	w.folderTimesSize += size
	w.folderTimes = append(w.folderTimes, folderTime{name, modified})
}

// create creates the file of an entry. The error is errDuplicate if the name is in use.
func (w *treeWriter) create(entry string) (*os.File, error) {
	folder, name, err := w.makeParent(entry)
	if err != nil {
		return nil, err
	}
	if err := w.countEntry(entry); err != nil {
		return nil, err
	}
	w.dropLink(name)
	file, err := createIn(folder, name)
	if errors.Is(err, os.ErrExist) && w.removeFile(folder, name) {
		file, err = createIn(folder, name)
	}
	if errors.Is(err, os.ErrExist) {
		return nil, refuse(entry, errDuplicate)
	}
	if err != nil {
		return nil, w.classify(entry, err)
	}
	return file, nil
}

func createIn(folder *os.Root, name string) (*os.File, error) {
	return folder.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// file writes a file. Every user gets the owner's permissions.
func (w *treeWriter) file(entry string, mode os.FileMode, modified time.Time, content io.Reader) error {
	file, err := w.create(entry)
	if err != nil {
		return err
	}
	err = w.files.write(file, meter{w, entry, contextReader{w.ctx, content}})
	if err == nil {
		err = complete(file, mode, modified)
	}
	return w.classifyFile(entry, errors.Join(err, file.Close()))
}

// classifyFile is classify for errors while a file's content is written.
func (w *treeWriter) classifyFile(entry string, err error) error {
	var disk *os.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &disk) && w.stream.err == nil && !errors.Is(err, errSource):
		return err // of the disk, such as no space left
	}
	return w.classify(entry, err)
}

// complete sets the mode and time of a written file.
func complete(file *os.File, mode os.FileMode, modified time.Time) error {
	if err := file.Chmod(widen(mode)); err != nil {
		return err
	}
	return setFileTime(file, modified)
}

func (w *treeWriter) symlink(entry, target string, modified time.Time) error {
	_, name, err := w.makeParent(entry)
	if err != nil {
		return err
	}
	if err := w.countEntry(entry); err != nil {
		return err
	}
	return w.linkTo(entry, link{name, target, modified})
}

// linkTo checks the target of a symbolic link as written, and records the link for finish.
func (w *treeWriter) linkTo(entry string, made link) error {
	if len(made.target) > maxPath || made.target == "" || strings.ContainsRune(made.target, 0) {
		return refuse(entry, errors.New("the link has no valid target"))
	}
	if w.rules.Links != SkipLinks && w.rules.Links != KeepLinks {
		if err := checkTarget(made.name, made.target); err != nil {
			return refuse(entry, err)
		}
	}
	w.dropLink(made.name)
	return w.addLink(entry, made)
}

func (w *treeWriter) hardlink(entry, target string) error {
	folder, name, err := w.makeParent(entry)
	if err != nil {
		return err
	}
	if err := w.countEntry(entry); err != nil {
		return err
	}
	to := path.Clean(strings.TrimLeft(target, "/"))
	if same := w.linkNamed(to); same != nil {
		return w.linkTo(entry, link{name, same.target, same.modified})
	}
	if err := w.countSteps(entry, depth(entry)+depth(target)); err != nil {
		return err
	}
	w.dropLink(name)
	err = w.root.Link(to, name)
	if errors.Is(err, os.ErrExist) && w.isFile(to, name) {
		return nil
	}
	if errors.Is(err, os.ErrExist) && w.removeFile(folder, name) {
		err = w.root.Link(to, name)
	}
	if errors.Is(err, os.ErrExist) {
		return refuse(entry, errDuplicate)
	}
	if err != nil {
		return w.classify(entry, fmt.Errorf("link to %.200q: %w", target, err))
	}
	return nil
}

// finish creates the symbolic links, and resolves each when all exist: a chain of links may lead
// out although no single link does.
func (w *treeWriter) finish() error {
	for _, link := range w.links {
		if err := w.link(link); err != nil {
			return err
		}
	}
	if w.rules.Links != KeepLinks {
		if err := w.checkLinks(); err != nil {
			return err
		}
	}
	return w.setFolderTimes()
}

// checkLinks checks where the symbolic links lead. Skipped links are removed last, so that the
// result does not depend on their order in the archive.
func (w *treeWriter) checkLinks() error {
	var skipped []int
	w.indexLinks()
	for i, link := range w.links {
		if link.name == "" {
			continue
		}
		if err := errors.Join(w.ctx.Err(), w.countLinkSteps(link.name, linkSteps(link.name, w.targetOf))); err != nil {
			return err
		}
		err := checkLink(w.root, link.name, link.target)
		switch {
		case err == nil:
		case w.rules.Links == SkipLinks && errors.As(err, new(*LinkError)):
			w.rules.skip(link.name, err)
			skipped = append(skipped, i)
		default:
			return w.classify(link.name, err)
		}
	}
	for _, i := range skipped {
		if err := errors.Join(w.ctx.Err(), w.root.Remove(w.links[i].name)); err != nil {
			return err
		}
	}
	return nil
}

// depth returns the number of path elements.
func depth(name string) int { return 1 + strings.Count(name, "/") }

func (w *treeWriter) link(link link) error {
	if err := w.ctx.Err(); err != nil || link.name == "" {
		return err
	}
	folder, err := w.openFolder(filepath.Dir(link.name))
	if err != nil {
		return w.classify(link.name, err)
	}
	name := filepath.Base(link.name)
	err = folder.Symlink(link.target, name)
	if errors.Is(err, os.ErrExist) && w.removeFile(folder, name) { // the file of an earlier entry
		err = folder.Symlink(link.target, name)
	}
	if errors.Is(err, os.ErrExist) && isLink(folder, name, link.target) {
		err = nil
	}
	if errors.Is(err, os.ErrExist) {
		return refuse(link.name, errors.New("the archive has it twice: as a symbolic link, and as something else or a folder with content"))
	}
	if err != nil {
		return w.classify(link.name, err)
	}
	return setLinkTime(folder, name, link.modified)
}

// setFolderTimes sets the times of the folders, the deepest last.
func (w *treeWriter) setFolderTimes() error {
	slices.SortStableFunc(w.folderTimes, func(a, b folderTime) int {
		return cmp.Compare(strings.Count(a.name, "/"), strings.Count(b.name, "/"))
	})
	for _, folder := range w.folderTimes {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.root.Chtimes(folder.name, time.Time{}, folder.modified); err != nil {
			return fmt.Errorf("set the time of the folder %.200q: %w", folder.name, err)
		}
	}
	return nil
}
