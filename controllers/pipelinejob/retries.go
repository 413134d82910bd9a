package pipelinejob

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// Retries of a step that failed: from a second to a minute, without end. An action stays
// open in CodePipeline for about 24 hours.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

// retries holds back steps that failed until their backoff is over. The controller's
// queue alone does not: each try changes the status, and that brings the object back at
// once.
type retries struct {
	mu      sync.Mutex
	limiter workqueue.TypedRateLimiter[types.NamespacedName]
	failed  map[types.NamespacedName]failedStep
}

type failedStep struct {
	step  step
	until time.Time
}

func newRetries() *retries {
	return &retries{
		limiter: workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](retryFirst, retryLast),
		failed:  map[types.NamespacedName]failedStep{},
	}
}

// wait returns how long a step is to wait because it has failed before. Another step of
// the same PipelineJob need not.
func (r *retries) wait(job types.NamespacedName, next step, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed, ok := r.failed[job]
	if !ok || failed.step != next {
		return 0
	}
	return max(0, failed.until.Sub(now))
}

// fail notes that a step has failed.
func (r *retries) fail(job types.NamespacedName, of step, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[job] = failedStep{of, now.Add(r.limiter.When(job))}
}

// forget drops what is known of a PipelineJob: a step succeeded, or the object is gone.
func (r *retries) forget(job types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limiter.Forget(job)
	delete(r.failed, job)
}
