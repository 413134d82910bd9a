//go:build chaos

// Package chaos runs the operator as two processes with leader election, with a real etcd, API
// server and Job controller, and an emulated AWS. Calls fail, leaders are killed and frozen, etcd
// and the API server are restarted, and users interfere. A model defines the allowed outcomes of
// each job. `make chaos` runs it, and docs/testing.md explains it.
package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// fewJobs is the default of JOBS.
const fewJobs = 100

// fixedSeed is the seed of the reproducible test.
const fixedSeed = 14

func TestMain(m *testing.M) {
	logf.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// TestFixedSeed does the same each time, as far as the timing of processes allows.
func TestFixedSeed(t *testing.T) {
	if os.Getenv("SEED") != "" || os.Getenv("JOBS") != "" {
		t.Skip("SEED or JOBS selects another test")
	}
	t.Parallel()
	play(t, fixedSeed, fewJobs)
}

// TestSeed uses the seed SEED, or a new one each time, and JOBS jobs.
func TestSeed(t *testing.T) {
	t.Parallel()
	seed, jobs := rand.Uint64N(1_000_000), fewJobs //nolint:gosec // the seed is printed
	for name, set := range map[string]func(uint64){
		"SEED": func(value uint64) { seed = value }, "JOBS": func(value uint64) { jobs = int(value) }, //nolint:gosec // small
	} {
		if text := os.Getenv(name); text != "" {
			value, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(value)
		}
	}
	play(t, seed, jobs)
}

// deadline returns when to end a test that no longer makes progress. It is generous. DEADLINE
// overrides it, for tests with an operator that was broken on purpose.
func deadline(t *testing.T, jobs int) time.Duration {
	text := os.Getenv("DEADLINE")
	if text == "" {
		return 15*time.Minute + time.Duration(jobs)*time.Second
	}
	given, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DEADLINE: %v", err)
	}
	return given
}

// cleanWithin is how long it may take, without faults, until no objects are left: a PipelineJob
// with an unconfirmed claim remains for five minutes after its deletion.
const cleanWithin = 7 * time.Minute

func play(t *testing.T, seed uint64, jobs int) {
	t.Logf("again: make chaos SEED=%d JOBS=%d", seed, jobs)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), deadline(t, jobs))
	defer cancel()
	w, err := newWorld(ctx, t, seed, jobs)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.chaos(ctx); err != nil {
		t.Errorf("chaos: %v; jobs that have not ended: %v", err, w.cloud.unended())
	}
	took := time.Since(began)
	w.calm()
	w.aftermath(ctx)
	broken, sum, err := w.judge(t.Context())
	if err != nil {
		t.Error(err)
	}
	t.Log(w.report(sum, took))
	for _, story := range broken {
		t.Error(story)
	}
}

// aftermath checks, after the faults, that no objects are left and all slots are free.
func (w *world) aftermath(ctx context.Context) {
	limit := min(cleanWithin, deadline(w.t, w.jobs)/2)
	for _, step := range []func(context.Context) error{w.clean, w.fill, w.clean} {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		err := step(bounded)
		cancel()
		if err != nil {
			w.t.Error(err)
			return
		}
	}
}
