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

// Waits after a step that failed: from a second to a minute, without end. An action
// stays open in CodePipeline for a day or longer.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// forgetFailure is how long after it might have been tried again a step that was not
	// needed meanwhile fails for the first time again.
	forgetFailure = 15 * time.Minute
)

// attempt is a step for a version of the spec. Another step, or a change of the spec,
// such as a new nonce or the deletion, does not wait for the retry of an earlier one.
type attempt struct {
	step       step
	generation int64
}

// retries remembers which steps failed, and when each may be tried again. The rate
// limit of the work queue does not do that: to record a failure is a change of the
// object, which has it reconciled at once.
type retries struct {
	mu     sync.Mutex
	failed map[types.NamespacedName]map[step]failedAttempt
}

type failedAttempt struct {
	generation int64
	times      int
	again      time.Time
	// noAccess: no call was made, as there was no access.
	noAccess bool
	// since is when the step first failed, for whichever version of the spec.
	since time.Time
	// way is how it failed last, and waySince since when it fails like that.
	way      string
	waySince time.Time
}

// wait is how long it is until an attempt may be made.
func (r *retries) wait(job types.NamespacedName, a attempt, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.failed[job][a.step]
	if !ok || known.generation != a.generation {
		return 0
	}
	return max(0, known.again.Sub(now))
}

// calledError is a conflict that was met after a call to AWS: repeated at once, whoever may
// change the object would make the calls.
type calledError struct{ error }

// Unwrap is for errors.As.
func (e calledError) Unwrap() error { return e.error }

func afterCall(err error) error {
	if err == nil {
		return nil
	}
	return calledError{err}
}

// refusedError is of an admission policy.
type refusedError struct{ error }

// wayOf is how a step failed: what may pass gets its time from when it began.
func wayOf(err error) string {
	if errors.As(err, new(refusedError)) {
		return v1alpha1.ReasonJobRefused
	}
	if diagnosis.IsQuotaExceeded(err) {
		return v1alpha1.ReasonQuotaExceeded
	}
	return string(apierrors.ReasonForError(err))
}

// fail remembers that an attempt failed.
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

// regain ends the waits of steps that failed for want of access: there is some again.
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

// succeed is for a step that succeeded.
func (r *retries) succeed(job types.NamespacedName, done step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed[job], done)
	if len(r.failed[job]) == 0 {
		delete(r.failed, job)
	}
}

// forget is for a job that is gone.
func (r *retries) forget(job types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed, job)
}

// failsFor is how long a step has failed in the way of an error.
func (r *retries) failsFor(job types.NamespacedName, taken step, err error, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.failed[job][taken]
	if !ok || known.way != wayOf(err) || now.Sub(known.again) > forgetFailure {
		return 0
	}
	return now.Sub(known.waySince)
}

// failing is since when steps fail: those that failed when they were last taken, unless
// that is long ago.
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
