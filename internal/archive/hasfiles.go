package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"syscall"
)

// searchedEntries is the number of entries that HasFiles looks at. It is the operator's own limit:
// a step that forgot its files does not leave 100,000 folders, and their names fit into the memory
// of a small container.
const searchedEntries = 100_000

// HasFiles reports whether Pack would write a file or a symbolic link. It returns true at the first
// one, and after 100,000 folders and skipped links. It also returns true for anything that Pack
// refuses or that can't be read, including when ctx is done: Pack then reports the error.
func HasFiles(ctx context.Context, folder *os.Root, links LinkPolicy) bool {
	s := search{ctx: ctx, folder: folder, links: links, left: searchedEntries}
	return s.finds(".")
}

// search looks for a file below a folder.
type search struct {
	ctx    context.Context
	folder *os.Root
	links  LinkPolicy
	// left is the number of entries that may still be looked at.
	left int
}

// finds reports whether there is a file in or below a folder.
func (s *search) finds(name string) bool {
	opened, err := s.folder.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return true
	}
	folders, found := s.look(name, opened)
	if err := opened.Close(); found || err != nil {
		return true
	}
	return slices.ContainsFunc(folders, func(base string) bool { return s.finds(path.Join(name, base)) })
}

// searchBatch is the number of names that are read at once: a folder may have millions.
const searchBatch = 256

// look reads an open folder until the first file, and returns the names of its subfolders.
func (s *search) look(name string, opened *os.File) (folders []string, found bool) {
	for {
		bases, err := opened.Readdirnames(searchBatch)
		for _, base := range bases {
			isFolder, isFile := s.kind(path.Join(name, base))
			if isFile {
				return nil, true
			}
			if isFolder {
				folders = append(folders, base)
			}
		}
		if err != nil {
			return folders, !errors.Is(err, io.EOF)
		}
	}
}

// kind reports how Pack treats an entry: as a folder, as a file or, for a skipped symbolic link,
// neither.
func (s *search) kind(name string) (isFolder, isFile bool) {
	if s.left--; s.left < 0 || s.ctx.Err() != nil || len(name) >= maxPath {
		return false, true
	}
	info, err := s.folder.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return true, false
	case err == nil && info.Mode()&os.ModeSymlink != 0:
		return false, !s.leavesOut(name)
	default:
		return false, true
	}
}

// leavesOut reports whether Pack skips a symbolic link.
func (s *search) leavesOut(name string) bool {
	if s.links != SkipLinks {
		return false
	}
	target, err := s.folder.Readlink(name)
	return err == nil && errors.As(checkLink(s.folder, name, target), new(*LinkError))
}
