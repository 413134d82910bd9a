package runner

import (
	"errors"
	"fmt"
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
