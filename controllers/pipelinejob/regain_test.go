package pipelinejob

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// TestStepsGoOnAsSoonAsThereIsAccess: steps that failed without access do not wait for their
// retry, and other failed steps do.
func TestStepsGoOnAsSoonAsThereIsAccess(t *testing.T) {
	for name, c := range map[string]struct {
		cause error
		waits bool
	}{
		"no access":     {fmt.Errorf("ask: %w", &identity.NoAccessError{}), false},
		"another error": {errors.New("throttled"), true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var r retries
			job, now := types.NamespacedName{Namespace: "team", Name: "work-1"}, time.Now()
			for range 8 {
				r.fail(job, attempt{stepReport, 1}, c.cause, now)
			}
			g.Expect(r.wait(job, attempt{stepReport, 1}, now)).To(Equal(lastRetry))
			r.regain(job, now)
			g.Expect(r.wait(job, attempt{stepReport, 1}, now) > 0).To(Equal(c.waits))
		})
	}
}
