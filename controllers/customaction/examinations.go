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

// Waits after an examination that failed and may succeed later: from a second to a
// minute, without end.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// leastApart is the shortest time between two examinations for the sake of jobs.
	leastApart = 20 * time.Second
)

// examinations remembers what was found out about definitions, so that neither
// CodePipeline nor the API server is asked again before one changes, or may have
// drifted: a CustomAction is reconciled with each step of each of its jobs. The zero
// value is ready for use.
type examinations struct {
	mu    sync.Mutex
	known map[types.NamespacedName]examination
}

// examination is what is known of one version of a definition.
type examination struct {
	uid        types.UID
	generation int64
	found      examined
	// began is when the last one was begun, and due when the next one is.
	began, due time.Time
	// failures is how many have failed since one succeeded.
	failures int
}

func (e examination) is(action *v1alpha1.CustomAction) bool {
	return e.uid == action.UID && e.generation == action.Generation
}

// of is what is known of an action, and how long it is until it is to be examined:
// now if that is not positive. known reports whether anything is.
func (e *examinations) of(action *v1alpha1.CustomAction, now time.Time) (found examined, known bool, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, ok := e.known[client.ObjectKeyFromObject(action)]
	if !ok || !last.is(action) {
		return examined{}, false, 0
	}
	return last.found, true, last.due.Sub(now)
}

// record takes over what was found out. A failure that will pass does not change what
// was found in order for the same definition in the same place: a throttled call must not
// stop polling.
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

// recheck has an action examined that something is wrong with since a time, unless it
// was examined after that. Two examinations are apart, at least, by the time that is given.
// What was found before counts until there is an answer.
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

// recheckRefused has an action examined again if the cluster refuses the Job or the pod of
// one of its jobs: a policy may have changed after the dry run.
func (r *Reconciler) recheckRefused(action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) {
	for i := range jobs {
		running := meta.FindStatusCondition(jobs[i].Status.Conditions, v1alpha1.ConditionRunning)
		if running == nil || running.Status != metav1.ConditionFalse {
			continue
		}
		if running.Reason == v1alpha1.ReasonJobRefused || running.Reason == v1alpha1.ReasonPodRefused {
			since := running.LastTransitionTime.Add(time.Second) // it has no fractions
			r.examinations.recheck(client.ObjectKeyFromObject(action), since, r.Clock.Now(), leastApart)
		}
	}
}

// tagKeys are those that the last examination of an object set, whatever its generation was.
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

// forget drops what is known of an action.
func (e *examinations) forget(name types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.known, name)
}

// flight names what a lane does for a CustomAction: one thing at a time, so that an
// action type is not registered while it is being deleted.
type flight types.NamespacedName

// inLane has a lane do something that calls AWS for an action, beginning with an
// operation, and the action reconciled afterwards: no worker waits for AWS.
func (r *Reconciler) inLane(ctx context.Context, action *v1alpha1.CustomAction, a access, operation string, do func(context.Context, *v1alpha1.CustomAction)) {
	name, log, copied := client.ObjectKeyFromObject(action), logf.FromContext(ctx), resolved(action, a)
	r.Lanes.Submit(lanes.Of(r.identity(a, action)), lanes.Call{ID: flight(name), Namespace: name.Namespace, Operation: operation, Do: func(ctx context.Context) {
		defer r.again(name)
		do(logf.IntoContext(ctx, log), copied)
	}})
}

// resolved is an action with the region that it takes jobs in: messages have it. Its status has
// that of the last examination, to which the rest of it belongs.
func resolved(action *v1alpha1.CustomAction, a access) *v1alpha1.CustomAction {
	copied := action.DeepCopy()
	copied.Spec.Region = a.region
	return copied
}

// again has an action reconciled.
func (r *Reconciler) again(name types.NamespacedName) {
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: name})
	}
}

// examineInLane examines an action where it may wait for AWS.
func (r *Reconciler) examineInLane(ctx context.Context, action *v1alpha1.CustomAction, a access) {
	r.inLane(ctx, action, a, "ListActionTypes", func(ctx context.Context, action *v1alpha1.CustomAction) {
		began := r.Clock.Now()
		if found, _, wait := r.examinations.of(action, began); wait > 0 && found.isOf(a) {
			return // it was examined meanwhile
		}
		found := r.examine(ctx, action, a)
		if wrong, is := found.wrong(); is {
			logf.FromContext(ctx).Info("The definition is not in order", "reason", wrong.reason, "error", wrong.err.Error())
		}
		r.examinations.record(action, began, r.Clock.Now(), found)
	})
}
