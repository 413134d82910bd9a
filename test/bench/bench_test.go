//go:build bench

// Package bench measures the operator under load: the real program, with a real etcd, API server
// and Job controller, and the emulator. The same run measures bare Jobs and Kueue for comparison.
// `make bench-operator` runs it.
package bench

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// TestOperator measures all kinds of runs in turn, ROUNDS times, so that other load on the machine
// affects all kinds. It does not fail for any result.
func TestOperator(t *testing.T) {
	logf.SetLogger(logr.Discard())
	leaveNothing(t)
	jobs, rounds, single := number(t, "JOBS", 300), number(t, "ROUNDS", 3), number(t, "IDLE_JOBS", 100)
	var r report
	var same *batchv1.Job
	for round := range rounds {
		run(t, &r, round, kindOperator, func(t *testing.T) (f figures) {
			f, same = operate(t, jobs)
			return f
		})
		if same != nil { // -run may exclude the operator
			run(t, &r, round, kindBareSame, func(t *testing.T) figures { return bare(t, jobs, same) })
		}
		run(t, &r, round, kindKueue, func(t *testing.T) figures { return admitted(t, jobs) })
		run(t, &r, round, kindBareOne, func(t *testing.T) figures { return bare(t, jobs, oneContainer()) })
	}
	if !t.Run("idle", func(t *testing.T) { r.idle = idle(t, single) }) {
		t.FailNow()
	}
	t.Log("\n" + r.String())
}

// run makes a run in a new cluster.
func run(t *testing.T, r *report, round int, kind string, measured func(t *testing.T) figures) {
	ok := t.Run(fmt.Sprintf("%d/%s", round+1, kind), func(t *testing.T) {
		f := measured(t)
		r.add(kind, f)
		t.Logf("%s: %.1f jobs/s", kind, f.rate())
	})
	if !ok {
		t.FailNow()
	}
}

// number reads an environment variable.
func number(t *testing.T, name string, preset int) int {
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	value, err := strconv.Atoi(text)
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(value).To(BeNumerically(">=", 1), name)
	return value
}
