// Package runner is the program in the wrapper containers of a job's pod: fetch
// runs before the steps, progress beside them, and report after them.
package runner

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// Options configure a command. In a pod they are what package contract defines.
type Options struct {
	// Root is the shared volume.
	Root string
	// Helper is the program that Fetch installs for steps, if any, in HelperDir, the
	// folder of a volume that steps find at podcontract.HelperDir.
	Helper, HelperDir string
	// Handover is the path of the handover. It is empty if the job moves no
	// artifacts.
	Handover string
	// TerminationLog is the file that the kubelet reads the envelope from.
	TerminationLog string
	// EnvelopeLimit is how many bytes of that file the kubelet keeps.
	EnvelopeLimit int
	// Limits bound each artifact.
	Limits archive.Limits
	// Links says what happens to symbolic links that lead out of an artifact.
	Links archive.LinkPolicy
	// EmptyOutputs says what happens if output artifacts have no file; empty: EmptyOutputsWarn.
	EmptyOutputs EmptyOutputs
	// Files are the input artifacts that are not unpacked, by name.
	Files []string
	// Stdout receives a result that is too large for the termination log, and the
	// lines of Progress.
	Stdout io.Writer
	Log    *slog.Logger
	// Renewal is how long to wait for new credentials after those of the
	// handover have expired.
	Renewal time.Duration
	// Retry is the retry policy for S3.
	Retry s3store.RetryPolicy
	// Clock is the clock of Progress.
	Clock clock.WithTicker
}

// conclude ends a command. A failure is written to the termination log.
func (o Options) conclude(err error) error {
	if err == nil {
		return nil
	}
	envelope, wrapErr := podcontract.WrapFailure(failureOf(err), o.EnvelopeLimit)
	return errors.Join(err, wrapErr, o.terminate(envelope))
}

func (o Options) terminate(envelope []byte) error {
	if err := os.WriteFile(o.TerminationLog, envelope, 0o644); err != nil {
		return fmt.Errorf("write the termination message: %w", err)
	}
	return nil
}

func (o Options) path(inPod string) string { return filepath.Join(o.Root, below(inPod)) }

// below returns a path of package contract relative to the shared volume.
func below(inPod string) string { return strings.TrimPrefix(inPod, podcontract.Root+"/") }
