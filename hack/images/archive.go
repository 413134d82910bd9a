package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// write builds an image and writes it to an archive, unless the archive is up to date.
func (b builder) write(s spec, file string) error {
	img, err := b.image(s)
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	index, err := indexOf(img, s)
	if err != nil {
		return err
	}
	if old, err := readIndex(file); err == nil && bytes.Equal(old, index) {
		fmt.Printf("unchanged %s (%.19s)\n", s.ref(), digest)
		return nil
	}
	if err := writeArchive(img, index, file); err != nil {
		return err
	}
	fmt.Printf("built %s (%.19s) %s\n", s.ref(), digest, file)
	return nil
}

// indexOf returns the archive's index, with the image's full name for containerd, and the tag in
// the form of the OCI image layout.
func indexOf(img v1.Image, s spec) ([]byte, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	size, err := img.Size()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	return json.Marshal(v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIManifestSchema1,
			Size:      size,
			Digest:    digest,
			Platform:  &v1.Platform{OS: config.OS, Architecture: config.Architecture},
			Annotations: map[string]string{
				"io.containerd.image.name":          s.ref(),
				"org.opencontainers.image.ref.name": imageTag,
			},
		}},
	})
}

// writeArchive replaces the archive atomically.
func writeArchive(img v1.Image, index []byte, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	entries, err := archiveEntries(img, index)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".image-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w := tar.NewWriter(f)
	for _, e := range entries {
		if err := w.WriteHeader(e.header()); err != nil {
			return err
		}
		if _, err := w.Write(e.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// archiveEntries puts the index first, so that readers of the index don't have to read the rest.
func archiveEntries(img v1.Image, index []byte) ([]entry, error) {
	blobs := map[v1.Hash][]byte{}
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	if err := addBlob(blobs, img.Digest, manifest); err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	if err := addBlob(blobs, img.ConfigName, config); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		data, err := layerBlob(l)
		if err != nil {
			return nil, err
		}
		if err := addBlob(blobs, l.Digest, data); err != nil {
			return nil, err
		}
	}
	var files []entry
	for hash, data := range blobs {
		files = append(files, entry{path: "blobs/" + hash.Algorithm + "/" + hash.Hex, mode: 0o644, data: data})
	}
	slices.SortFunc(files, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	head := []entry{
		{path: "index.json", mode: 0o644, data: index},
		{path: "oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
	}
	return append(head, files...), nil
}

func addBlob(blobs map[v1.Hash][]byte, hash func() (v1.Hash, error), data []byte) error {
	h, err := hash()
	if err != nil {
		return err
	}
	blobs[h] = data
	return nil
}

func layerBlob(l v1.Layer) ([]byte, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// readIndex returns the index of an archive that this program wrote.
func readIndex(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := tar.NewReader(f)
	header, err := r.Next()
	if err != nil {
		return nil, err
	}
	if header.Name != "index.json" {
		return nil, fmt.Errorf("%s was not made by this program", file)
	}
	return io.ReadAll(r)
}
