package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A hierarchy is a mounted cgroup hierarchy: there are many in version 1, one in version 2, and
// both kinds on hybrid machines.
type hierarchy struct {
	path string
	v2   bool
}

func hierarchies() ([]hierarchy, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	found := parseHierarchies(string(data))
	if len(found) == 0 {
		return nil, fmt.Errorf("no cgroups are mounted on this machine: mount them under /sys/fs/cgroup")
	}
	return found, nil
}

func parseHierarchies(mounts string) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) > 2 && (f[2] == "cgroup" || f[2] == "cgroup2") {
			found = append(found, hierarchy{path: f[1], v2: f[2] == "cgroup2"})
		}
	}
	return found
}

// makeCgroups creates the parent of the kubelet's cgroups.
func (c *cluster) makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(h.path, c.cgroup())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("create the cluster's cgroup: %w", err)
		}
		if h.v2 && len(all) == 1 {
			if err := delegate(h.path); err != nil {
				return err
			}
		}
		if filepath.Base(h.path) == "cpuset" || strings.Contains(h.path, "cpuset,") {
			if err := inheritCPUs(h.path, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate lets child cgroups use every available controller.
func delegate(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(data)) {
		file := filepath.Join(dir, "cgroup.subtree_control")
		if err := os.WriteFile(file, []byte("+"+controller), 0o644); err != nil {
			return fmt.Errorf("enable the %s controller: %w", controller, err)
		}
	}
	return nil
}

// inheritCPUs is needed in version 1, where a new cpuset has no CPUs.
func inheritCPUs(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		data, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups deletes the cluster's cgroups. Their processes have ended, but the kernel may still
// be cleaning up.
func (c *cluster) removeCgroups(ctx context.Context) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(h.path, c.cgroup())
		err := poll(ctx, 20*time.Second, func(context.Context) error { return removeTree(dir) })
		if err != nil {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// removeTree removes folders from the bottom up. In a cgroup file system, files can't be deleted,
// but disappear with their folder.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := os.Remove(dirs[i]); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
