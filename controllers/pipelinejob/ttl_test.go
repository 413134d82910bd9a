package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// TestJobLivesForAsLongAsItsLogMayBeRead: a result is lost with its Job.
func TestJobLivesForAsLongAsItsLogMayBeRead(t *testing.T) {
	NewWithT(t).Expect(jobspec.MinTTL).To(BeNumerically(">", ReadGrace))
}
