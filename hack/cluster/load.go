package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An archive is an image file.
type archive struct {
	file, name, digest string
}

func load(ctx context.Context, c *cluster) error {
	pid := c.findInit()
	if pid == 0 {
		return fmt.Errorf("cluster %q is not up; run make cluster-up", c.name)
	}
	return c.loadImages(ctx, pid)
}

// loadImages imports the archives whose current version the node does not have.
func (c *cluster) loadImages(ctx context.Context, initPID int) error {
	files, err := filepath.Glob(filepath.Join(c.images, "*.tar"))
	if err != nil {
		return err
	}
	have, err := c.nodeImages(ctx, initPID)
	if err != nil {
		return err
	}
	var wanted []archive
	for _, file := range files {
		a, err := readArchive(file)
		if err != nil {
			return fmt.Errorf("%s: %w; delete it and run make images", file, err)
		}
		wanted = append(wanted, a)
		if have[a.name].digest == a.digest {
			continue
		}
		if _, err := c.ctr(ctx, initPID, "images", "import", a.file); err != nil {
			return fmt.Errorf("import %s: %w", file, err)
		}
		c.say("loaded %s (%.19s)", a.name, a.digest)
	}
	return c.waitForImages(ctx, initPID, wanted)
}

// waitForImages waits until the kubelet can use the imported images, shortly after the import.
func (c *cluster) waitForImages(ctx context.Context, initPID int, wanted []archive) error {
	return poll(ctx, 30*time.Second, func(ctx context.Context) error {
		have, err := c.nodeImages(ctx, initPID)
		if err != nil {
			return err
		}
		for _, a := range wanted {
			if got := have[a.name]; got.digest != a.digest || !got.managed {
				return fmt.Errorf("the node does not have %s yet", a.name)
			}
		}
		return nil
	})
}

func (c *cluster) ctr(ctx context.Context, initPID int, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", c.hostSocket(initPID), "--namespace", "k8s.io"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("ctr %s: %s", strings.Join(args, " "), strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// A nodeImage is an image in containerd.
type nodeImage struct {
	digest string
	// managed reports whether the part of containerd that serves the kubelet has seen it.
	managed bool
}

func (c *cluster) nodeImages(ctx context.Context, initPID int) (map[string]nodeImage, error) {
	out, err := c.ctr(ctx, initPID, "images", "list")
	if err != nil {
		return nil, err
	}
	return parseImages(out), nil
}

// parseImages parses the table that ctr prints: name, type, digest, ..., labels.
func parseImages(table string) map[string]nodeImage {
	images := map[string]nodeImage{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[2], "sha256:") {
			continue
		}
		images[f[0]] = nodeImage{digest: f[2], managed: strings.Contains(f[len(f)-1], "io.cri-containerd.image=managed")}
	}
	return images
}

// readArchive reads the name and the digest from an OCI archive's index.
func readArchive(path string) (archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return archive{}, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return archive{}, errors.New("no image archive: it has no index.json")
		}
		if err != nil {
			return archive{}, fmt.Errorf("no image archive: %w", err)
		}
		if header.Name != "index.json" {
			continue
		}
		a, err := readIndex(r)
		a.file = path
		return a, err
	}
}

func readIndex(r io.Reader) (archive, error) {
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return archive{}, fmt.Errorf("its index.json can't be read: %w", err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] == "" {
		return archive{}, errors.New("it does not hold exactly one image with a name")
	}
	m := index.Manifests[0]
	return archive{name: m.Annotations["io.containerd.image.name"], digest: m.Digest}, nil
}
