package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// mountNode gives the node versions of its own of the folders that
// Kubernetes and containerd write to, so that they can use their standard
// paths and nothing of it is left on the machine.
func (c *cluster) mountNode() error {
	// Slave: what the machine unmounts must not stay busy because of a
	// cluster; private the other way: nothing of ours shows outside.
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
	// Gone with the node, as the pods' networks are: what a crash left in
	// it would be wrong.
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
