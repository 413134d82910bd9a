package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// Fetch creates the folders for steps, installs the helper and unpacks the input artifacts.
func Fetch(ctx context.Context, o Options) error {
	return o.conclude(o.fetch(ctx))
}

func (o Options) fetch(ctx context.Context) error {
	handover, err := o.handover()
	if err != nil {
		return err
	}
	if handover == nil {
		handover = &podcontract.Handover{}
	}
	folders := []string{o.path(podcontract.InputDir), o.path(podcontract.OutputDir), o.path(podcontract.ResultDir)}
	for _, output := range handover.OutputArtifacts {
		folders = append(folders, o.path(filepath.Join(podcontract.OutputDir, output.Name)))
	}
	for _, folder := range folders {
		if err := archive.MakeFolder(folder); err != nil {
			return notWritable(err)
		}
	}
	if err := o.install(); err != nil {
		return err
	}
	// Artifacts are fetched one after another: each is already read and unpacked concurrently. Two
	// at a time would not be faster, but take twice the memory.
	for _, input := range handover.InputArtifacts {
		if err := o.fetchOne(ctx, input); err != nil {
			return err
		}
	}
	return nil
}

// notWritable adds the remedy if this user may not create folders in the workspace, which can
// happen with a PersistentVolumeClaim.
func notWritable(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &failure{configurationError, fmt.Errorf(
		"%w; user %d, who is in group %d, must be able to write to the workspace: leave securityContext.fsGroup out of the template, or use a storage class for spec.workspace that supports fsGroup",
		err, os.Getuid(), os.Getgid())}
}

func (o Options) fetchOne(ctx context.Context, input podcontract.Artifact) error {
	folder := o.path(filepath.Join(podcontract.InputDir, input.Name))
	err := o.withStore(ctx, func(store *s3store.Store) error { return o.unpack(ctx, store, input, folder) })
	if err != nil {
		return fmt.Errorf("input artifact %q: %w", input.Name, err)
	}
	o.Log.Info("Fetched an input artifact", "artifact", input.Name, "folder", folder)
	return nil
}

func (o Options) unpack(ctx context.Context, store *s3store.Store, input podcontract.Artifact, folder string) error {
	object, err := store.Open(ctx, locationOf(input), archive.ReadAheadPartSize)
	if err != nil {
		return err
	}
	source := sourceOf(object, podcontract.FileName(input.ObjectKey))
	skipped := o.skipped(input)
	if slices.Contains(o.Files, input.Name) {
		err = archive.Store(ctx, source, folder, skipped.rules())
	} else {
		err = archive.Unpack(ctx, source, folder, o.Root, skipped.rules())
	}
	_ = object.Close() // it was read completely, or err has the reason
	if err != nil {
		return fmt.Errorf("unpack %s: %w", locationOf(input), err)
	}
	skipped.conclude()
	return nil
}

func sourceOf(object *s3store.Object, name string) archive.Source {
	if stream := object.Stream(); stream != nil {
		return archive.Source{Name: name, Stream: stream}
	}
	return archive.Source{Name: name, Ranges: object}
}
