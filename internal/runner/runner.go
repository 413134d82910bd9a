// Package runner is the program in the product's own containers of a job's
// pod: fetch, before the steps, progress, beside them, and report, behind them.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/artifact"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

// Options say where the runner finds things; in a pod, as package contract says.
type Options struct {
	// Root is the shared volume.
	Root string
	// Helper is the program that Fetch installs for steps; empty: none.
	Helper string
	// Handover is the path of the handover; empty when the job moves no
	// artifacts.
	Handover string
	// TerminationLog is the file that the kubelet reads the envelope from.
	TerminationLog string
	// EnvelopeLimit is how many bytes the kubelet keeps of it.
	EnvelopeLimit int
	// Limits bound each input artifact.
	Limits artifact.Limits
	// Stdout takes a result that is too large for the termination log, and
	// the lines of Progress.
	Stdout io.Writer
	Log    *slog.Logger
	// Renewal is how long to wait for new credentials when those of the
	// handover have expired.
	Renewal time.Duration
	// Patience is for S3.
	Patience artifact.Patience
	// Clock is what Progress goes by.
	Clock clock.WithTicker
}

// Failure types of CodePipeline that the runner gives.
const (
	configurationError  = "ConfigurationError"
	permissionError     = "PermissionError"
	revisionUnavailable = "RevisionUnavailable"
	systemUnavailable   = "SystemUnavailable"
)

// failure is an error whose failure type is known where it comes up.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failureOf classifies an error as the runner's envelope gives it.
func failureOf(err error) result.Failure {
	kind := systemUnavailable
	var known *failure
	var refused *artifact.RefusedError
	switch {
	case errors.As(err, &known):
		kind = known.kind
	case errors.As(err, &refused), artifact.Missing(err):
		kind = revisionUnavailable
	case artifact.Denied(err):
		kind = permissionError
	}
	return result.Failure{Type: kind, Message: err.Error() + wayOut(kind, err)}
}

// wayOut is what the reader of a failure can do about it, where the error of
// S3 does not say.
func wayOut(kind string, err error) string {
	switch {
	case errors.Is(err, artifact.ErrExpired):
		return "; the operator gave no new ones in time: its log says why"
	case artifact.Denied(err):
		return "; the pipeline's role, and the policies of the artifact bucket and of its KMS key, must allow it"
	case kind == revisionUnavailable && artifact.Missing(err):
		return "; release the change again, so that the artifact is made anew"
	}
	return ""
}

// conclude ends a command: a failure goes to the termination log.
func (o Options) conclude(err error) error {
	if err == nil {
		return nil
	}
	envelope, wrapErr := result.WrapFailure(failureOf(err), o.EnvelopeLimit)
	return errors.Join(err, wrapErr, o.terminate(envelope))
}

func (o Options) terminate(envelope []byte) error {
	if err := os.WriteFile(o.TerminationLog, envelope, 0o644); err != nil {
		return fmt.Errorf("write the termination message: %w", err)
	}
	return nil
}

func (o Options) path(inPod string) string { return filepath.Join(o.Root, below(inPod)) }

// below is a path of package contract, relative to the shared volume.
func below(inPod string) string { return strings.TrimPrefix(inPod, contract.Root+"/") }

// handover reads the handover anew; nil when the job moves no artifacts.
func (o Options) handover() (*contract.Handover, error) {
	if o.Handover == "" {
		return nil, nil
	}
	content, err := o.readHandover()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errHandoverGone
	}
	if err != nil {
		return nil, fmt.Errorf("read the handover: %w", err)
	}
	var handover contract.Handover
	if err := json.Unmarshal(content, &handover); err != nil {
		// The decoder's error may quote the content, which holds credentials.
		return nil, errors.New("read the handover: it is not valid JSON")
	}
	for _, given := range slices.Concat(handover.InputArtifacts, handover.OutputArtifacts) {
		if !artifactName.MatchString(given.Name) {
			return nil, fmt.Errorf("read the handover: an artifact has the name %.100q, which can't be that of a folder", given.Name)
		}
	}
	return &handover, nil
}

// readHandover looks again where it finds nothing: the file is reached by a
// symbolic link, and the kubelet may remove what it led to a moment before.
func (o Options) readHandover() ([]byte, error) {
	content, err := os.ReadFile(o.Handover)
	if errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(o.Handover)
	}
	return content, err
}

// artifactName is what the CodePipeline model takes as the name of an artifact.
// It becomes that of a folder, which is emptied: nothing else may be let in.
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)

// attempts at a transfer that must be begun anew.
const attempts = 3

// withStore does use with the credentials of the handover. When they have
// expired it does so once more with each new handover, for as long as Renewal,
// and a few times when a transfer broke off.
func (o Options) withStore(ctx context.Context, use func(*artifact.Store) error) error {
	handover, err := o.handover()
	if err != nil {
		return err
	}
	store, err := artifact.NewStore(ctx, *handover, o.credentials, o.Patience)
	if err != nil {
		return err
	}
	for attempt := 1; ; {
		err := use(store)
		switch {
		case errors.Is(err, artifact.ErrExpired):
			o.Log.Info("The artifact credentials have expired; waiting for new ones")
			if handover = o.renewed(ctx, handover.Credentials); handover == nil {
				return err
			}
			store.Renew()
		case artifact.Again(err) && attempt < attempts:
			o.Log.Warn("A transfer broke off, and is begun anew", "error", err)
			if waitErr := o.Patience.Wait(ctx, attempt); waitErr != nil {
				return errors.Join(err, waitErr)
			}
			attempt++
		default:
			return err
		}
	}
}

// credentials are those that the handover has now.
func (o Options) credentials() (contract.Credentials, error) {
	handover, err := o.handover()
	if err != nil {
		return contract.Credentials{}, err
	}
	return handover.Credentials, nil
}

var errHandoverGone = errors.New("the handover is gone: the PipelineJob was deleted, or has ended already")

// renewed waits for a handover with other credentials than old; nil when none
// comes.
func (o Options) renewed(ctx context.Context, old contract.Credentials) *contract.Handover {
	deadline := time.NewTimer(o.Renewal)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-deadline.C:
			return nil
		case <-ticker.C:
			if handover, err := o.handover(); err == nil && handover.Credentials != old {
				return handover
			}
		}
	}
}
