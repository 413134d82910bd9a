package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// install installs the helper for steps.
func (o Options) install() error {
	if o.Helper == "" {
		return nil
	}
	to := o.path(podcontract.HelperFile)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make the folder of the helper for steps: %w", err)
	}
	// Steps of every user run it, whatever the umask is.
	if err := errors.Join(os.Chmod(filepath.Dir(to), 0o755), copyProgram(o.Helper, to)); err != nil {
		return fmt.Errorf("install the helper for steps: %w", err)
	}
	return nil
}

// copyProgram replaces a file atomically: a sidecar may be running it.
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
