package pipelinejob

import (
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// Waits after a failed step: from a second to a minute, without a limit on the number of
// retries. An action stays open in CodePipeline for a day or longer.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// forgetFailure is how long after its retry was due a failed step is forgotten, if it was not
	// needed in the meantime. Its next failure counts as the first.
	forgetFailure = 15 * time.Minute
)

// attempt is a step for a generation of the spec. A different step, or the same step after a
// change such as a new nonce or the deletion, does not wait for the retry.
type attempt struct {
	step       step
	generation int64
}

// retries remembers which steps failed, and when each may be retried. The work queue's rate
// limit can't do that: recording a failure changes the object, which triggers a reconcile
// immediately.
type retries struct {
	mu     sync.Mutex
	failed map[types.NamespacedName]map[step]failedAttempt
}

type failedAttempt struct {
	generation int64
	times      int
	again      time.Time
	// noAccess: no call was made, because the job had no access.
	noAccess bool
	// since is when the step first failed, for any generation of the spec.
	since time.Time
	// way is how the step failed last, and waySince is since when it has failed that way.
	way      string
	waySince time.Time
}

// wait returns how long to wait until an attempt may be made.
func (r *retries) wait(job types.NamespacedName, a attempt, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.failed[job][a.step]
	if !ok || known.generation != a.generation {
		return 0
	}
	return max(0, known.again.Sub(now))
}

// calledError is a conflict after a call to AWS. It is retried with a wait: otherwise, anyone
// who changes the object repeatedly could cause repeated calls.
type calledError struct{ error }

func (e calledError) Unwrap() error { return e.error }

func afterCall(err error) error {
	if err == nil {
		return nil
	}
	return calledError{err}
}

// refusedError is a refusal by an admission policy.
type refusedError struct{ error }

// wayOf classifies how a step failed. The grace period of a failure that may pass starts when
// that kind of failure began.
func wayOf(err error) string {
	if errors.As(err, new(refusedError)) {
		return v1alpha1.ReasonJobRefused
	}
	if diagnosis.IsQuotaExceeded(err) {
		return v1alpha1.ReasonQuotaExceeded
	}
	return string(apierrors.ReasonForError(err))
}

// fail records that an attempt failed.
func (r *retries) fail(job types.NamespacedName, a attempt, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = map[types.NamespacedName]map[step]failedAttempt{}
	}
	if r.failed[job] == nil {
		r.failed[job] = map[step]failedAttempt{}
	}
	known, ok := r.failed[job][a.step]
	if !ok || now.Sub(known.again) > forgetFailure {
		known = failedAttempt{generation: a.generation, since: now, waySince: now}
	}
	if known.generation != a.generation {
		known.generation, known.times = a.generation, 0
	}
	if way := wayOf(err); known.way != way {
		known.waySince, known.way = now, way
	}
	known.noAccess = errors.As(err, new(*identity.NoAccessError))
	known.again = now.Add(min(firstRetry<<min(known.times, 10), lastRetry))
	known.times++
	r.failed[job][a.step] = known
}

// regain ends the waits of steps that failed without access, because the job has access again.
func (r *retries) regain(job types.NamespacedName, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for step, known := range r.failed[job] {
		if known.noAccess && known.again.After(now) {
			known.again = now
			r.failed[job][step] = known
		}
	}
}

// succeed forgets the failures of a step that succeeded.
func (r *retries) succeed(job types.NamespacedName, done step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed[job], done)
	if len(r.failed[job]) == 0 {
		delete(r.failed, job)
	}
}

// forget forgets the failures of a job that is gone.
func (r *retries) forget(job types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed, job)
}

// failsFor returns how long a step has failed in the same way as err.
func (r *retries) failsFor(job types.NamespacedName, taken step, err error, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.failed[job][taken]
	if !ok || known.way != wayOf(err) || now.Sub(known.again) > forgetFailure {
		return 0
	}
	return now.Sub(known.waySince)
}

// failing returns the steps that failed when they were last taken, and since when, without
// those that failed long ago.
func (r *retries) failing(job types.NamespacedName, now time.Time) map[step]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failed[job]) == 0 {
		return nil
	}
	since := map[step]time.Time{}
	for step, known := range r.failed[job] {
		if now.Sub(known.again) <= forgetFailure {
			since[step] = known.since
		}
	}
	return since
}
