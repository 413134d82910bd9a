package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// TestJobLivesForAsLongAsItsLogMayBeRead: a Job that is gone takes the result with it.
func TestJobLivesForAsLongAsItsLogMayBeRead(t *testing.T) {
	NewWithT(t).Expect(jobspec.MinTTL).To(BeNumerically(">", ReadGrace))
}
