package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"path"
	"slices"
	"time"
)

// epoch is the time of all files in an image. Real times would change the digest with each build.
var epoch = time.Unix(0, 0).UTC()

// An entry is a file of an image. With link, it is a symbolic link. Without link and data, it is a
// folder.
type entry struct {
	path string
	mode int64
	data []byte
	link string
	dir  bool
	uid  int
}

// layerTar writes entries and their parent folders, sorted.
func layerTar(entries []entry) ([]byte, error) {
	all := withParents(entries)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range all {
		if err := w.WriteHeader(e.header()); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (e entry) header() *tar.Header {
	h := &tar.Header{Name: e.path, Mode: e.mode, Uid: e.uid, Gid: e.uid, ModTime: epoch, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
	switch {
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	default:
		h.Size = int64(len(e.data))
	}
	return h
}

func withParents(entries []entry) []entry {
	all := slices.Clone(entries)
	have := map[string]bool{}
	for _, e := range all {
		have[e.path] = true
	}
	for _, e := range entries {
		for dir := path.Dir(e.path); dir != "." && dir != "/" && !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			all = append(all, entry{path: dir, mode: 0o755, dir: true})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return all
}
