package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// install copies the helper for steps to its own volume.
func (o Options) install() error {
	if o.Helper == "" {
		return nil
	}
	// The mount point of the volume in steps. If it does not exist, the container runtime creates
	// it as root, which a network file system may not allow.
	if err := os.MkdirAll(o.path(podcontract.HelperDir), 0o755); err != nil {
		return notWritable(fmt.Errorf("create the folder of the helper for steps: %w", err))
	}
	to := filepath.Join(o.HelperDir, filepath.Base(podcontract.HelperFile))
	if err := copyProgram(o.Helper, to); err != nil {
		return fmt.Errorf("install the helper for steps: %w", err)
	}
	return nil
}

// copyProgram replaces a file atomically, because a sidecar may be running it. Every user may run
// it, whatever the umask.
func copyProgram(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	next, err := os.CreateTemp(filepath.Dir(to), ".next-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(next, source)
	if err := errors.Join(err, next.Chmod(0o755), next.Close()); err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return os.Rename(next.Name(), to)
}
