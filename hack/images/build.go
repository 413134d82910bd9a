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
	repo string // where the packages are
	work string // where their programs go
	arch string
}

// compile builds the programs of all images in one call, which is much
// quicker than one call for each.
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
	// Neither paths, nor the state of the checkout, nor a build ID may get
	// into the program: they would change its digest for no reason.
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", b.work + "/"}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = b.repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return nil
}

// image puts the layers together: those that seldom change come first.
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
		// Uncompressed: quicker to write and to import on the machine that
		// made it, and its digest depends on no compressor.
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
		// An image made in memory has always got one.
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
