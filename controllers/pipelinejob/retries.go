package pipelinejob

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Waits after a step that failed: from a second to a minute, without end. An action
// stays open in CodePipeline for about 24 hours.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// forgetFailure is how long after it might have been tried again a step that was not
	// needed meanwhile fails for the first time again.
	forgetFailure = 5 * time.Minute
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
	// since is when the step first failed, for whichever version of the spec.
	since time.Time
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

// fail remembers that an attempt failed.
func (r *retries) fail(job types.NamespacedName, a attempt, now time.Time) {
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
		known = failedAttempt{generation: a.generation, since: now}
	}
	if known.generation != a.generation {
		known = failedAttempt{generation: a.generation, since: known.since}
	}
	known.again = now.Add(min(firstRetry<<min(known.times, 10), lastRetry))
	known.times++
	r.failed[job][a.step] = known
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

// failing is since when steps fail: those that failed when they were last taken.
func (r *retries) failing(job types.NamespacedName) map[step]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failed[job]) == 0 {
		return nil
	}
	since := map[step]time.Time{}
	for step, known := range r.failed[job] {
		since[step] = known.since
	}
	return since
}
