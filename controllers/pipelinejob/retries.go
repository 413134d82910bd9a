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
	failed map[types.NamespacedName]failedAttempt
}

type failedAttempt struct {
	attempt
	times int
	again time.Time
	// since is when the step first failed, for whichever version of the spec.
	since time.Time
}

// wait is how long it is until an attempt may be made.
func (r *retries) wait(job types.NamespacedName, a attempt, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.failed[job]
	if !ok || known.attempt != a {
		return 0
	}
	return max(0, known.again.Sub(now))
}

// fail remembers that an attempt failed.
func (r *retries) fail(job types.NamespacedName, a attempt, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = map[types.NamespacedName]failedAttempt{}
	}
	known := r.failed[job]
	if known.step != a.step {
		known = failedAttempt{since: now}
	}
	if known.attempt != a {
		known = failedAttempt{attempt: a, since: known.since}
	}
	known.again = now.Add(min(firstRetry<<min(known.times, 10), lastRetry))
	known.times++
	r.failed[job] = known
}

// forget is for a step that succeeded, and for a job that is gone.
func (r *retries) forget(job types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed, job)
}

// last is the step that failed last, and since when it fails.
func (r *retries) last(job types.NamespacedName) (step, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[job].step, r.failed[job].since
}
