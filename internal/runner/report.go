package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pipelinejob/pipelinejob-operator/internal/artifact"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

// Report uploads the output artifacts and gives the result of the steps. A
// result with a continuation token is one of work that goes on: its output
// artifacts may be missing, and those that are there are uploaded.
func Report(ctx context.Context, o Options) error {
	return o.conclude(o.report(ctx))
}

func (o Options) report(ctx context.Context) error {
	given, err := o.result()
	if err != nil {
		return &failure{configurationError, err}
	}
	handover, err := o.handover()
	if err != nil {
		return err
	}
	if handover != nil {
		for _, output := range handover.OutputArtifacts {
			if err := o.upload(ctx, output, given.ContinuationToken != ""); err != nil {
				return fmt.Errorf("output artifact %q: %w", output.Name, err)
			}
		}
	}
	envelope, err := result.Wrap(given, o.EnvelopeLimit, o.Stdout)
	if err != nil {
		return err
	}
	return o.terminate(envelope)
}

// result reads the result files. A folder that a step has removed holds none.
func (o Options) result() (result.Result, error) {
	folder := o.path(contract.ResultDir)
	given, err := result.ParseFiles(os.DirFS(folder))
	if errors.Is(err, os.ErrNotExist) {
		return result.Result{}, nil
	}
	if err != nil {
		return result.Result{}, fmt.Errorf("the result folder %s: %w", contract.ResultDir, err)
	}
	return given, nil
}

func (o Options) upload(ctx context.Context, output contract.Artifact, mayBeMissing bool) error {
	folder := o.path(filepath.Join(contract.OutputDir, output.Name))
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, os.ErrNotExist) && mayBeMissing:
		return nil
	case errors.Is(err, os.ErrNotExist), err == nil && !info.IsDir():
		return &failure{configurationError, fmt.Errorf("there is no folder %s: a step must leave the artifact's files there", contract.OutputDir+"/"+output.Name)}
	case err != nil:
		return fmt.Errorf("read the folder: %w", err)
	}
	err = o.withStore(ctx, func(store *artifact.Store) error {
		return stream(ctx, folder, func(content io.Reader) error { return store.Upload(ctx, output, content) })
	})
	if refused := (*artifact.RefusedError)(nil); errors.As(err, &refused) {
		return &failure{configurationError, err}
	}
	if err != nil {
		return err
	}
	o.Log.Info("Uploaded an output artifact", "artifact", output.Name)
	return nil
}

// stream packs a folder into what upload reads. The error of the end that
// failed first is the one that counts.
func stream(ctx context.Context, folder string, upload func(io.Reader) error) error {
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := artifact.Pack(ctx, folder, writer)
		writer.CloseWithError(err)
		packed <- err
	}()
	err := upload(reader)
	reader.CloseWithError(errUploadEnded)
	packErr := <-packed
	if packErr != nil && !errors.Is(packErr, errUploadEnded) {
		return packErr
	}
	return err
}

var errUploadEnded = errors.New("the upload has ended")
