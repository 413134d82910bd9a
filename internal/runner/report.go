package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// Report uploads the output artifacts and reports the result of the steps. Output artifacts may be
// missing if the result has a continuation token, because the work then continues.
func Report(ctx context.Context, o Options) error {
	return o.conclude(o.report(ctx))
}

func (o Options) report(ctx context.Context) error {
	given, err := o.result()
	if err != nil {
		return &failure{configurationError, err}
	}
	empty, err := o.outputs(ctx, given.ContinuationToken != "")
	if err != nil {
		return err
	}
	envelope, err := podcontract.WrapResult(podcontract.RunResult{Result: given, EmptyOutputs: empty}, o.EnvelopeLimit, o.Stdout)
	if err != nil {
		return err
	}
	return o.terminate(envelope)
}

// outputs uploads the output artifacts and returns the names of those without a file. While work
// goes on, outputs may be missing and are not checked for files.
func (o Options) outputs(ctx context.Context, goesOn bool) (empty []string, err error) {
	handover, err := o.handover()
	if err != nil || handover == nil {
		return nil, err
	}
	if !goesOn {
		if empty, err = o.checkEmpty(ctx, handover.OutputArtifacts); err != nil {
			return nil, err
		}
	}
	for _, output := range handover.OutputArtifacts {
		if err := o.upload(ctx, output, goesOn); err != nil {
			return nil, fmt.Errorf("output artifact %q: %w", output.Name, err)
		}
	}
	return empty, nil
}

// result reads the result files. A removed folder counts as empty.
func (o Options) result() (podcontract.Result, error) {
	folder, err := o.open(podcontract.ResultDir)
	if errors.Is(err, os.ErrNotExist) {
		return podcontract.Result{}, nil
	}
	if err != nil {
		return podcontract.Result{}, fmt.Errorf("the result folder %s: %w", podcontract.ResultDir, err)
	}
	given, err := podcontract.ParseResultFiles(podcontract.NewResultFolder(folder))
	if err := errors.Join(err, folder.Close()); err != nil {
		return podcontract.Result{}, fmt.Errorf("the result folder %s: %w", podcontract.ResultDir, err)
	}
	return given, nil
}

// open opens a folder of the shared volume. It refuses symbolic links, which steps could point to
// the job's credentials.
func (o Options) open(inPod string) (*os.Root, error) {
	shared, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(shared, below(inPod))
	if closeErr := shared.Close(); err == nil && closeErr != nil {
		return nil, errors.Join(closeErr, folder.Close())
	}
	return folder, err
}

// openFolder follows no link out of shared, even if one is created concurrently.
func openFolder(shared *os.Root, name string) (*os.Root, error) {
	if info, err := shared.Lstat(name); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil, errLink
	}
	return shared.OpenRoot(name + "/.") // the suffix requires a folder: opening a FIFO would block
}

var errLink = errors.New("it is a symbolic link")

func (o Options) upload(ctx context.Context, output podcontract.Artifact, mayBeMissing bool) error {
	inPod := outputFolder(output.Name)
	folder, err := o.open(inPod)
	switch {
	case errors.Is(err, os.ErrNotExist) && mayBeMissing:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return &failure{configurationError, fmt.Errorf("there is no folder %s: a step must leave the artifact's files there", inPod)}
	case err != nil:
		return &failure{configurationError, fmt.Errorf("%s must be a folder that can be read, not a file or a symbolic link: %w", inPod, err)}
	}
	var incomplete *s3store.IncompleteUploadError
	err = o.withStore(ctx, func(store *s3store.Store) error {
		if incomplete != nil {
			if err := store.AbortUpload(ctx, incomplete); err != nil {
				o.Log.Warn("Parts of an upload remain in the bucket", "artifact", output.Name, "error", err)
			}
			incomplete = nil
		}
		skipped := o.skipped(output)
		err := stream(ctx, folder, skipped.rules(), func(content io.Reader) error {
			return store.Upload(ctx, locationOf(output), content, "application/zip")
		})
		errors.As(err, &incomplete)
		if err == nil {
			skipped.conclude()
		}
		return err
	})
	err = errors.Join(err, folder.Close())
	if refused := (*archive.RefusedError)(nil); errors.As(err, &refused) {
		return &failure{configurationError, err}
	}
	if s3store.IsBucketNotFound(err) {
		return &failure{configurationError, fmt.Errorf("the artifact bucket does not exist: %w", err)}
	}
	if err != nil {
		return err
	}
	o.Log.Info("Uploaded an output artifact", "artifact", output.Name)
	return nil
}

// stream packs a folder into the reader of an upload. It returns the error of the side that failed
// first.
func stream(ctx context.Context, folder *os.Root, rules archive.Rules, upload func(io.Reader) error) error {
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := archive.Pack(ctx, folder, writer, s3store.MaxUploadSize, rules)
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
