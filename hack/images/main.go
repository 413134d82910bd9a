// Command images builds the project's container images as OCI archives, without a container engine
// or a registry. The same input results in the same digest.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

func main() {
	repo := flag.String("repo", ".", "the repository's folder")
	out := flag.String("out", "bin/images", "folder for the archives")
	arch := flag.String("arch", runtime.GOARCH, "architecture of the images")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: images [flags] [NAME...]\nBuilds the images named, or all: %s\n", strings.Join(names(), " "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*repo, *out, *arch, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		os.Exit(1)
	}
}

func run(repo, out, arch string, wanted []string) error {
	specs, err := choose(wanted)
	if err != nil {
		return err
	}
	repo, err = filepath.Abs(repo)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := builder{repo: repo, work: work, arch: arch}
	if err := b.compile(specs); err != nil {
		return err
	}
	for _, s := range specs {
		if err := b.write(s, filepath.Join(out, s.name+".tar")); err != nil {
			return fmt.Errorf("image %s: %w", s.name, err)
		}
	}
	return nil
}

// choose returns the named images in the order of the list, each only once.
func choose(wanted []string) ([]spec, error) {
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("no image %q; there are: %s", name, strings.Join(names(), " "))
		}
	}
	if len(wanted) == 0 {
		return specs, nil
	}
	var chosen []spec
	for _, s := range specs {
		if slices.Contains(wanted, s.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}
