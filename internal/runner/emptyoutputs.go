package runner

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// EmptyOutputs sets what happens if output artifacts have no file. It is spec.emptyOutputs of the
// CustomAction.
type EmptyOutputs string

const (
	// EmptyOutputsWarn uploads them and reports their names to the operator.
	EmptyOutputsWarn EmptyOutputs = "Warn"
	// EmptyOutputsFail fails before anything is uploaded.
	EmptyOutputsFail EmptyOutputs = "Fail"
	// EmptyOutputsAllow uploads them.
	EmptyOutputsAllow EmptyOutputs = "Allow"
)

// checkEmpty returns the names of the outputs without a file, which the operator reports. It runs
// before the first upload, so that the action does not fail only after a long upload.
func (o Options) checkEmpty(ctx context.Context, outputs []podcontract.Artifact) ([]string, error) {
	if o.EmptyOutputs == EmptyOutputsAllow {
		return nil, nil
	}
	var empty []string
	for _, output := range outputs {
		isEmpty, err := o.isEmpty(ctx, output)
		if err != nil {
			return nil, err
		}
		if isEmpty {
			o.Log.Warn("An output artifact is empty: no step left a file in its folder", "artifact", output.Name)
			empty = append(empty, output.Name)
		}
	}
	if len(empty) > 0 && o.EmptyOutputs == EmptyOutputsFail {
		return nil, &failure{configurationError, errEmpty(empty)}
	}
	return empty, nil
}

// isEmpty reports whether an output has no file. It returns false if the folder can't be opened:
// the upload then fails with the reason.
func (o Options) isEmpty(ctx context.Context, output podcontract.Artifact) (bool, error) {
	folder, err := o.open(outputFolder(output.Name))
	if err != nil {
		return false, nil
	}
	isEmpty := !archive.HasFiles(ctx, folder, o.Links)
	return isEmpty, folder.Close()
}

// outputFolder returns the folder in which steps leave the files of an output artifact.
func outputFolder(name string) string { return podcontract.OutputDir + "/" + name }

// errEmpty returns the failure for outputs without a file.
func errEmpty(names []string) error {
	what, quoted, folders := "output artifact", make([]string, len(names)), make([]string, len(names))
	if len(names) > 1 {
		what = "output artifacts"
	}
	for i, name := range names {
		quoted[i], folders[i] = strconv.Quote(name), outputFolder(name)
	}
	return fmt.Errorf("%s %s: there is no file in %s: a step must leave the artifact's files there. "+
		"If it may be empty, set spec.emptyOutputs of the CustomAction to Warn or Allow",
		what, strings.Join(quoted, ", "), strings.Join(folders, ", "))
}
