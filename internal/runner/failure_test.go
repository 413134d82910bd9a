package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
)

func TestEveryLimitOfAnArchiveHasARemedy(t *testing.T) {
	for limit, expected := range map[archive.Limit]string{
		archive.LimitBytes:            "--artifact-max-size",
		archive.LimitEntries:          "--artifact-max-entries",
		archive.LimitRatio:            "--artifact-max-ratio",
		archive.LimitIndexBytes:       "tar.gz",
		archive.LimitPackedBytes:      "output variable",
		archive.LimitPackedIndexBytes: "with tar",
	} {
		err := fmt.Errorf("unpack: %w", &archive.RefusedError{Rule: &archive.LimitError{Limit: limit}})
		NewWithT(t).Expect(failureOf(err).Message).To(ContainSubstring(expected), string(limit))
	}
}

func TestAFileThatChangedHasARemedy(t *testing.T) {
	err := fmt.Errorf("pack: %w", &archive.RefusedError{Entry: "f", Rule: fmt.Errorf("%w: %w", archive.ErrChanged, errors.New("no such file"))})
	NewWithT(t).Expect(failureOf(&failure{configurationError, err}).Message).To(
		Equal(`pack: entry "f": it changed while it was packed: no such file; the last step must not end before whatever writes the file`))
}

func TestAFullWorkspaceHasARemedy(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := fmt.Errorf("input artifact %q: unpack: %w", "source", &fs.PathError{Op: "write", Path: "/codepipeline/input/source/a", Err: cause})
		NewWithT(t).Expect(failureOf(err).Message).To(HaveSuffix("; the workspace is full: raise the size in spec.workspace of the CustomAction, or check the node's disk"))
	}
}

func TestAWorkspaceThatIsNotWritableHasARemedy(t *testing.T) {
	g := NewWithT(t)
	refused := failureOf(notWritable(fmt.Errorf("make the folder: %w", &fs.PathError{Op: "mkdir", Path: "/codepipeline/input", Err: syscall.EACCES})))
	g.Expect(refused.Type).To(Equal(configurationError))
	g.Expect(refused.Message).To(And(HavePrefix("make the folder: mkdir /codepipeline/input: permission denied; user "), ContainSubstring("supports fsGroup")))
	other := errors.New("input/output error")
	g.Expect(notWritable(other)).To(Equal(other))
}
