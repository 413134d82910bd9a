package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type builder struct {
	repo string // the folder of the packages
	work string // the folder for their programs
	arch string
}

// compile builds the programs of all images in one call, which is much faster than one call per
// program.
func (b builder) compile(specs []spec) error {
	var packages []string
	for _, s := range specs {
		for _, p := range s.programs {
			if _, err := os.Stat(filepath.Join(b.repo, p)); err != nil {
				return fmt.Errorf("image %s needs the program %s, which is not in %s", s.name, p, b.repo)
			}
			packages = append(packages, p)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	// Leave out paths, the state of the checkout and the build ID, which would change the digest
	// without a reason.
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", b.work + "/"}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = b.repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return nil
}

// image assembles the layers, those that rarely change first.
func (b builder) image(s spec) (v1.Image, error) {
	var layers [][]entry
	if s.base {
		base, err := baseEntries()
		if err != nil {
			return nil, err
		}
		layers = append(layers, base)
	}
	if s.shell {
		shell, err := shellEntries(busyboxPaths)
		if err != nil {
			return nil, err
		}
		layers = append(layers, shell)
	}
	for _, p := range s.programs {
		name := filepath.Base(p)
		data, err := os.ReadFile(filepath.Join(b.work, name))
		if err != nil {
			return nil, err
		}
		layers = append(layers, []entry{{path: name, mode: 0o755, data: data}})
	}
	return b.assemble(s, layers)
}

func (b builder) assemble(s spec, layers [][]entry) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, entries := range layers {
		data, err := layerTar(entries)
		if err != nil {
			return nil, err
		}
		// Uncompressed layers are faster to write and to import on the same machine, and their
		// digests don't depend on a compressor.
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:   static.NewLayer(data, types.OCIUncompressedLayer),
			History: v1.History{CreatedBy: "hack/images", Created: v1.Time{Time: epoch}},
		})
		if err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(img, b.config(img, s))
}

func (b builder) config(img v1.Image, s spec) *v1.ConfigFile {
	config, err := img.ConfigFile()
	if err != nil {
		// An image in memory always has one.
		panic(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", b.arch, v1.Time{Time: epoch}
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", nonRoot, nonRoot),
		Entrypoint: slices.Clone(s.entrypoint),
		Cmd:        slices.Clone(s.command),
		WorkingDir: "/",
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    s.name,
			"org.opencontainers.image.source":   "https://github.com/pipelinejob/pipelinejob-operator",
			"org.opencontainers.image.licenses": licenses(s),
		},
	}
	return config
}

func licenses(s spec) string {
	if s.shell {
		return "GPL-2.0-only"
	}
	return "Apache-2.0"
}
