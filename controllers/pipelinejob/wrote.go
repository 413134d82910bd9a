package pipelinejob

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// Takeover is how long after a write by this operator no other operator can have taken over:
// the leader's lease must be longer than its renew deadline by at least that (15 and 10
// seconds by default).
const Takeover = 5 * time.Second

// wrote remembers, for as long as it matters, what this operator last wrote to each
// PipelineJob. It saves reads and writes whose outcome this operator already knows.
type wrote struct {
	mu    sync.Mutex
	last  map[types.NamespacedName]version
	swept time.Time
}

type version struct {
	uid             types.UID
	resourceVersion string
	at              time.Time
	// untried is the call that was recorded as in progress but not tried yet. It is nil once the
	// call was tried.
	untried *v1alpha1.Call
}

// note remembers a status that was written; at is when the write began.
func (w *wrote) note(job *v1alpha1.PipelineJob, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweep(at)
	key := client.ObjectKeyFromObject(job)
	written := version{uid: job.UID, resourceVersion: job.ResourceVersion, at: at}
	if known := w.last[key]; known.uid == job.UID && !job.Settled() {
		written.untried = known.untried
	}
	w.last[key] = written
}

// doubt is called after a failed write: there may be a newer version, by that write itself if
// only its answer was lost.
func (w *wrote) doubt(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.last[key]; ok {
		known.at = time.Time{}
		w.last[key] = known
	}
}

// sweep drops, once in a while, what no longer matters. The caller holds the lock.
func (w *wrote) sweep(now time.Time) {
	if w.last == nil {
		w.last = map[types.NamespacedName]version{}
	}
	if now.Sub(w.swept) < Takeover {
		return
	}
	w.swept = now
	maps.DeleteFunc(w.last, func(_ types.NamespacedName, v version) bool { return v.untried == nil && now.Sub(v.at) >= Takeover })
}

// forget drops a job that is gone.
func (w *wrote) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, key)
}

// isNewest reports whether job is the version that this operator wrote, so recently that no
// other operator can have taken over since. It is then not outdated.
func (w *wrote) isNewest(job *v1alpha1.PipelineJob, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.last[client.ObjectKeyFromObject(job)]
	return ok && known.uid == job.UID && known.resourceVersion == job.ResourceVersion && now.Sub(known.at) < Takeover
}

// isOutdated reports whether job is older than what this operator wrote a moment ago. The
// cache will show the newer version soon.
func (w *wrote) isOutdated(job *v1alpha1.PipelineJob, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.last[client.ObjectKeyFromObject(job)]
	if !ok || known.uid != job.UID || now.Sub(known.at) >= Takeover {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(job.ResourceVersion, known.resourceVersion)
	return err == nil && order < 0 // if versions can't be compared, the API server refuses writes to outdated ones
}

// begun remembers that the call that job records as in progress was not tried yet.
func (w *wrote) begun(job *v1alpha1.PipelineJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(job)
	if known, ok := w.last[key]; ok {
		known.untried = job.Status.Protocol.Call.DeepCopy()
		w.last[key] = known
	}
}

// isUntried reports whether the call that job records as in progress was certainly not tried.
// An operator that tries it records that first, and the recorded call then differs.
func (w *wrote) isUntried(job *v1alpha1.PipelineJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.last[client.ObjectKeyFromObject(job)]
	return ok && known.uid == job.UID && known.untried != nil && equality.Semantic.DeepEqual(known.untried, job.Status.Protocol.Call)
}

// tried is called before a call is tried.
func (w *wrote) tried(job *v1alpha1.PipelineJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(job)
	if known, ok := w.last[key]; ok {
		known.untried = nil
		w.last[key] = known
	}
}
