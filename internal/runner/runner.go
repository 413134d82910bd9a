// Package runner implements the wrapper containers of a job's pod: fetch runs before the steps,
// progress runs alongside them, and report runs after them.
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

// Options configure a command. Package podcontract defines their values in a pod.
type Options struct {
	// Root is the path of the shared volume.
	Root string
	// Helper is the program that Fetch installs for steps, if set. HelperDir is the folder to
	// install it in, on a volume that steps mount at podcontract.HelperDir.
	Helper, HelperDir string
	// Handover is the path of the handover. It is empty if the job has no artifacts.
	Handover string
	// TerminationLog is the file from which the kubelet reads the envelope.
	TerminationLog string
	// EnvelopeLimit is the number of bytes of that file that the kubelet keeps.
	EnvelopeLimit int
	// Limits bound each artifact.
	Limits archive.Limits
	// Links sets what happens to symbolic links that lead out of an artifact.
	Links archive.LinkPolicy
	// EmptyOutputs sets what happens if output artifacts have no file. Empty means
	// EmptyOutputsWarn.
	EmptyOutputs EmptyOutputs
	// Files are the names of the input artifacts that are not unpacked.
	Files []string
	// Stdout receives the lines of Progress, and a result that is too large for the termination
	// log.
	Stdout io.Writer
	Log    *slog.Logger
	// Renewal is how long to wait for new credentials after the handover's have expired.
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
