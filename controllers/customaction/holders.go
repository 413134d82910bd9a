package customaction

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// place is where jobs of an action type are taken: an account, a region, and a queryParam as
// KEY=VALUE.
type place struct {
	accountID string
	region    v1alpha1.Region
	query     string
}

// placeOf returns the place in which an action takes jobs according to its spec.
func placeOf(action *v1alpha1.CustomAction, a access) place {
	return place{a.accountID(), a.region, query(action.Spec.Polling.QueryParam)}
}

// placeOfJob returns the place in which a job was taken. Parts that are not recorded are those of
// the action's place.
func placeOfJob(job *v1alpha1.PipelineJob, action place) place {
	return place{cmp.Or(job.Spec.AccountID, action.accountID), job.Spec.Region, cmp.Or(query(job.Spec.QueryParam), action.query)}
}

// handsOut reports whether an action that takes jobs in a place took a job there.
func (p place) handsOut(job v1alpha1.PipelineJob) bool { return placeOfJob(&job, p) == p }

// jobsKey identifies jobs that only one CustomAction may take. If two polled for them, each would
// get some of the jobs, and continuations of the other's jobs.
type jobsKey struct {
	place
	actionType string
}

func keyOf(action *v1alpha1.CustomAction, a access) jobsKey {
	return jobsKey{placeOf(action, a), actionTypeID(action).String()}
}

// query returns a queryParam as KEY=VALUE, or an empty string if there is none.
func query(queryParam map[string]v1alpha1.QueryValue) string {
	for key, value := range queryParam { // at most one
		return key + "=" + string(value)
	}
	return ""
}

// holders has, for each key, the one CustomAction that takes the jobs. The zero value is ready for
// use.
type holders struct {
	mu sync.Mutex
	by map[jobsKey]types.NamespacedName
	of map[types.NamespacedName]jobsKey
	// unable has the times since which holders can't take the jobs that they hold.
	unable map[types.NamespacedName]time.Time
	// left has the keys that actions held before they moved, until others were woken.
	left map[types.NamespacedName]jobsKey
}

// holder returns the CustomAction that takes the jobs of a key.
func (h *holders) holder(key jobsKey) (action types.NamespacedName, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	action, held = h.by[key]
	return action, held
}

// take makes an action the holder of a key, and of no other key, unless another action holds it. It
// reports whether the action is the holder.
func (h *holders) take(key jobsKey, action types.NamespacedName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if holder, held := h.by[key]; held {
		return holder == action
	}
	if h.by == nil {
		h.by, h.of, h.unable = map[jobsKey]types.NamespacedName{}, map[types.NamespacedName]jobsKey{}, map[types.NamespacedName]time.Time{}
	}
	h.drop(action)
	h.by[key], h.of[action] = action, key
	return true
}

// needs reports whether one of an action's jobs, which CodePipeline may hand out again, is from the
// place whose jobs the action holds.
func (h *holders) needs(action types.NamespacedName, jobs []v1alpha1.PipelineJob) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, held := h.of[action]
	return held && slices.ContainsFunc(jobs, key.handsOut)
}

// release makes an action the holder of no key, and returns the key that it held.
func (h *holders) release(action types.NamespacedName) (key jobsKey, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, held = h.of[action]
	h.drop(action)
	delete(h.left, action)
	return key, held
}

// leave records the key that an action held before it moved.
func (h *holders) leave(action types.NamespacedName, key jobsKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left == nil {
		h.left = map[types.NamespacedName]jobsKey{}
	}
	h.left[action] = key
}

// leaving returns and removes the key that an action held before it moved.
func (h *holders) leaving(action types.NamespacedName) (key jobsKey, moved bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, moved = h.left[action]
	delete(h.left, action)
	return key, moved
}

func (h *holders) drop(action types.NamespacedName) {
	if key, held := h.of[action]; held {
		delete(h.of, action)
		delete(h.by, key)
		delete(h.unable, action)
	}
}

// hold makes an action the holder of its key, or returns a finding with the CustomAction that is the
// holder or takes precedence. A holder gives way to the CustomAction that the tags of the action
// type name, but not while its settled jobs may be handed out again.
func (r *Reconciler) hold(ctx context.Context, action *v1alpha1.CustomAction, seen observation, jobs []v1alpha1.PipelineJob) (finding, error) {
	key, name := keyOf(action, seen.access), client.ObjectKeyFromObject(action)
	holder, held := r.holders.holder(key)
	if held && holder == name {
		if slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool { return job.Settled() && key.handsOut(job) }) {
			return finding{}, nil // it could not release them soon, and no other action would take new ones
		}
		return r.ownerWaits(ctx, action, seen, key.place)
	}
	if held && seen.examined.owner == v1alpha1.OwnerThis {
		r.again(holder)
	}
	mine, err := r.standingOf(ctx, action, seen.access, func(of place) bool { return of == key.place })
	if err != nil {
		return finding{}, err
	}
	mine.owns = seen.examined.owner == v1alpha1.OwnerThis // the status may not have it yet
	if taken, err := r.takenBefore(ctx, mine, key.place, func(standing) bool { return true }); err != nil || taken.err != nil {
		return taken, err
	}
	before, moved := r.holders.held(name)
	if !r.holders.take(key, name) {
		holder, _ = r.holders.holder(key)
		return takenBy(holder, action, key.region), nil
	}
	if moved {
		r.holders.leave(name, before)
	}
	return finding{}, nil
}

// releaseJobs makes an action the holder of no jobs, and lets the others take them.
func (r *Reconciler) releaseJobs(ctx context.Context, action types.NamespacedName) {
	if key, held := r.holders.release(action); held {
		r.wakeOthers(ctx, key.actionType, action)
	}
}

// wakeOthers queues the other CustomActions of an action type, which may take jobs now.
func (r *Reconciler) wakeOthers(ctx context.Context, actionType string, action types.NamespacedName) {
	for _, request := range r.others(ctx, actionType, action) {
		r.again(request.NamespacedName)
	}
}

// takenBy returns a finding that another CustomAction takes the jobs. The message names it only in
// its own namespace.
func takenBy(other types.NamespacedName, action *v1alpha1.CustomAction, region v1alpha1.Region) finding {
	who := "a CustomAction of another namespace"
	if other.Namespace == action.Namespace {
		who = "CustomAction " + other.Name
	}
	jobs := "the jobs of action type " + actionTypeID(action).String() + withQuery(action)
	return refusal(v1alpha1.ReasonActionTypeTaken, "%s takes %s in %s: delete one of the two, or give this one another version or queryParam",
		who, jobs, region)
}
