package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// machineLock is held while addresses are chosen, so that two clusters that start at the same time
// choose different ones.
var machineLock = filepath.Join(os.TempDir(), "pipelinejob-cluster.lock")

// lock waits for a lock, and prints a message if it has to wait.
func (c *cluster) lock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		c.say("waiting for another command at work on cluster %q", c.name)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
