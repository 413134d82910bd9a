package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// mountNode mounts the node's own folders over those that Kubernetes and containerd write to, so
// that they can use their standard paths and leave nothing on the machine.
func (c *cluster) mountNode() error {
	// As a slave, the node follows the machine's unmounts, so that it does not keep file systems
	// busy. Its own mounts are not visible outside.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep the node's mounts to itself: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount the node's /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount the node's /run: %w", err)
	}
	for _, dir := range []string{"/var/lib", "/var/log"} {
		if err := bind(c.path("disk", filepath.Base(dir)), dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/lock", "/run/netns", "/var/lib/etcd", "/var/lib/cni"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// A tmpfs that ends with the node, like the pods' networks: stale state after a crash would be
	// wrong.
	if err := syscall.Mount("tmpfs", "/var/lib/cni", "tmpfs", 0, "mode=700"); err != nil {
		return fmt.Errorf("mount the node's /var/lib/cni: %w", err)
	}
	return nil
}

func bind(from, to string) error {
	if err := os.MkdirAll(from, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over the node's %s: %w", from, to, err)
	}
	return nil
}
