package pipelinejob

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// takeover is less than another operator needs to take over after a write of this one:
// the leader's lease of 15 seconds was renewed at most 10 seconds before.
const takeover = 5 * time.Second

// wrote remembers what this operator wrote last to each PipelineJob that is not settled:
// what it knows of itself it need not read or write once more.
type wrote struct {
	mu   sync.Mutex
	last map[types.NamespacedName]version
}

type version struct {
	uid             types.UID
	resourceVersion string
	at              time.Time
	// untried is the call that was recorded as under way before it is tried; nil when
	// it was tried.
	untried *v1alpha1.Call
}

// note remembers a status that was written just now.
func (w *wrote) note(job *v1alpha1.PipelineJob, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(job)
	if job.Settled() {
		delete(w.last, key)
		return
	}
	if w.last == nil {
		w.last = map[types.NamespacedName]version{}
	}
	written := version{uid: job.UID, resourceVersion: job.ResourceVersion, at: at}
	if known := w.last[key]; known.uid == job.UID {
		written.untried = known.untried
	}
	w.last[key] = written
}

// forget is for a job that is gone.
func (w *wrote) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, key)
}

// isNewest reports whether a reading is what this operator wrote so recently that no
// other can have taken over since. It is not outdated then.
func (w *wrote) isNewest(job *v1alpha1.PipelineJob, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.last[client.ObjectKeyFromObject(job)]
	return ok && known.uid == job.UID && known.resourceVersion == job.ResourceVersion && now.Sub(known.at) < takeover
}

// begun remembers that the call which job records as under way was not tried yet.
func (w *wrote) begun(job *v1alpha1.PipelineJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(job)
	if known, ok := w.last[key]; ok {
		known.untried = job.Status.Protocol.Call.DeepCopy()
		w.last[key] = known
	}
}

// isUntried reports whether the call that job records as under way was certainly not
// tried: whoever tries it again counts that before.
func (w *wrote) isUntried(job *v1alpha1.PipelineJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.last[client.ObjectKeyFromObject(job)]
	return ok && known.uid == job.UID && known.untried != nil && equality.Semantic.DeepEqual(known.untried, job.Status.Protocol.Call)
}

// tried is for a call that is about to be tried.
func (w *wrote) tried(job *v1alpha1.PipelineJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(job)
	if known, ok := w.last[key]; ok {
		known.untried = nil
		w.last[key] = known
	}
}
