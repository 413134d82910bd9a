package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// down removes the cluster. Each step succeeds if there is nothing to do, so that it can be
// repeated after any crash.
func down(ctx context.Context, c *cluster) error {
	if os.Geteuid() != 0 {
		return errors.New("taking a cluster down needs root: run it with sudo")
	}
	release, err := c.lock(c.lockFile())
	if err != nil {
		return err
	}
	defer release()
	pid := c.findInit()
	_, statErr := os.Stat(c.dir)
	if pid != 0 {
		if err := killInit(ctx, pid); err != nil {
			return err
		}
	}
	if err := c.unlink(); err != nil {
		return err
	}
	if err := c.removeCgroups(ctx); err != nil {
		return err
	}
	if err := c.removeFolder(ctx); err != nil {
		return err
	}
	if pid == 0 && os.IsNotExist(statErr) {
		c.say("cluster %q is not up", c.name)
		return nil
	}
	c.say("cluster %q is down; nothing of it is left", c.name)
	return nil
}

// killInit ends the first process of the cluster's PID namespace. The kernel reports its end only
// after all other processes of the namespace have ended.
func killInit(ctx context.Context, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("kill the node (process %d): %w", pid, err)
	}
	err := poll(ctx, time.Minute, func(context.Context) error {
		if alive(pid) {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the node does not end: %w; a process in it may be stuck in the kernel: run make cluster-down again, or restart the machine", err)
	}
	return nil
}

// removeFolder retries, because the kernel releases the mounts of an ended namespace
// asynchronously.
func (c *cluster) removeFolder(ctx context.Context) error {
	err := poll(ctx, 30*time.Second, func(context.Context) error { return os.RemoveAll(c.dir) })
	if err != nil {
		return fmt.Errorf("delete %s: %w", c.dir, err)
	}
	return nil
}
