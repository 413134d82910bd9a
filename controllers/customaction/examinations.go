package customaction

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// Limits of the wait after an examination that failed with a temporary error. It doubles with each
// failure, and there is no limit to the number of tries.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// leastApart is the shortest time between two examinations because of refused jobs.
	leastApart = 20 * time.Second
)

// examinations caches the results of examinations until the definition changes or DriftInterval
// has passed: a CustomAction is reconciled with each step of each of its jobs, which must not cause
// calls to CodePipeline or the API server. The zero value is ready for use.
type examinations struct {
	mu    sync.Mutex
	known map[types.NamespacedName]examination
}

// examination is the result for one generation of a definition.
type examination struct {
	uid        types.UID
	generation int64
	found      examined
	// began is the start of the last examination, and due the time of the next one.
	began, due time.Time
	// failures is the number of failures since the last success.
	failures int
}

func (e examination) is(action *v1alpha1.CustomAction) bool {
	return e.uid == action.UID && e.generation == action.Generation
}

// of returns the result for an action, whether there is one, and how long to wait until the next
// examination: zero or less means now.
func (e *examinations) of(action *v1alpha1.CustomAction, now time.Time) (found examined, known bool, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, ok := e.known[client.ObjectKeyFromObject(action)]
	if !ok || !last.is(action) {
		return examined{}, false, 0
	}
	return last.found, true, last.due.Sub(now)
}

// record stores a result. A temporary failure does not replace a good result of the same
// definition in the same place: a throttled call must not stop polling.
func (e *examinations) record(action *v1alpha1.CustomAction, began, now time.Time, found examined) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := client.ObjectKeyFromObject(action)
	last, ok := e.known[name]
	if !ok || !last.is(action) {
		last, ok = examination{uid: action.UID, generation: action.Generation}, false
	}
	last.began = began
	wrong, failed := found.wrong()
	_, before := last.found.wrong()
	switch {
	case failed && wrong.passes() && ok && !before && last.found.accountID == found.accountID && last.found.region == found.region:
		last.found.passing = wrong
	default:
		last.found = found
	}
	last.failures++
	last.due = now.Add(min(firstRetry<<min(last.failures-1, 10), lastRetry))
	if !failed || !wrong.retry {
		last.failures, last.due = 0, now.Add(DriftInterval)
	}
	if e.known == nil {
		e.known = map[types.NamespacedName]examination{}
	}
	e.known[name] = last
}

// recheck schedules an examination of an action that has had a problem since a time, unless it was
// examined after that. At least apart passes between two examinations. The last result counts until
// there is a new one.
func (e *examinations) recheck(name types.NamespacedName, since, now time.Time, apart time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, ok := e.known[name]
	if ok && last.failures == 0 && (last.began.Before(since) || now.Sub(last.began) > lastRetry) {
		if due := last.began.Add(apart); due.After(now) {
			now = due
		}
		if now.Before(last.due) {
			last.due = now
		}
		e.known[name] = last
	}
}

// recheckRefused schedules an examination of an action if the cluster refuses the Job or the pod of
// one of its jobs: a policy may have changed since the dry run.
func (r *Reconciler) recheckRefused(action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) {
	for i := range jobs {
		running := meta.FindStatusCondition(jobs[i].Status.Conditions, v1alpha1.ConditionRunning)
		if running == nil || running.Status != metav1.ConditionFalse {
			continue
		}
		if running.Reason == v1alpha1.ReasonJobRefused || running.Reason == v1alpha1.ReasonPodRefused {
			since := running.LastTransitionTime.Add(time.Second) // it has whole seconds only
			r.examinations.recheck(client.ObjectKeyFromObject(action), since, r.Clock.Now(), leastApart)
		}
	}
}

// tagKeys returns the keys of the tags that the last examination of an object set, whatever its
// generation was.
func (e *examinations) tagKeys(action *v1alpha1.CustomAction) []string {
	found, _ := e.last(action)
	return slices.Clone(found.tagKeys)
}

// last is what the last examination of an object found, whatever its generation was.
func (e *examinations) last(action *v1alpha1.CustomAction) (found examined, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, known := e.known[client.ObjectKeyFromObject(action)]
	if !known || last.uid != action.UID {
		return examined{}, false
	}
	return last.found, true
}

// forget removes the result for an action.
func (e *examinations) forget(name types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.known, name)
}

// flight is the ID of a lane's call for a CustomAction. There is one call at a time for each, so
// that an action type is not registered while it is being deleted.
type flight types.NamespacedName

// inLane has a lane run do, which calls AWS for an action and calls operation first, and then
// queues the action for reconciliation: no worker waits for AWS.
func (r *Reconciler) inLane(ctx context.Context, action *v1alpha1.CustomAction, a access, operation string, do func(context.Context, *v1alpha1.CustomAction)) {
	name, log, copied := client.ObjectKeyFromObject(action), logf.FromContext(ctx), resolved(action, a)
	r.Lanes.Submit(lanes.Of(r.identity(a, action)), lanes.Call{ID: flight(name), Namespace: name.Namespace, Operation: operation, Do: func(ctx context.Context) {
		defer r.again(name)
		do(logf.IntoContext(ctx, log), copied)
	}})
}

// resolved returns a copy of an action with the region of a in its spec, for messages. The region
// in its status belongs to the last examination, as do the status's other fields.
func resolved(action *v1alpha1.CustomAction, a access) *v1alpha1.CustomAction {
	copied := action.DeepCopy()
	copied.Spec.Region = a.region
	return copied
}

// again queues an action for reconciliation.
func (r *Reconciler) again(name types.NamespacedName) {
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: name})
	}
}

// examineInLane examines an action in a lane, which may wait for AWS.
func (r *Reconciler) examineInLane(ctx context.Context, action *v1alpha1.CustomAction, a access) {
	r.inLane(ctx, action, a, "ListActionTypes", func(ctx context.Context, action *v1alpha1.CustomAction) {
		began := r.Clock.Now()
		if found, _, wait := r.examinations.of(action, began); wait > 0 && found.isOf(a) {
			return // it was examined in the meantime
		}
		found := r.examine(ctx, action, a)
		if wrong, is := found.wrong(); is {
			logf.FromContext(ctx).Info("The check of a CustomAction failed", "reason", wrong.reason, "error", wrong.err.Error())
		}
		r.examinations.record(action, began, r.Clock.Now(), found)
	})
}
