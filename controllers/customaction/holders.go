package customaction

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// takenBefore returns a finding if another CustomAction that may take the same jobs, and that
// counts, takes precedence.
func (r *Reconciler) takenBefore(ctx context.Context, mine standing, at place, counts func(standing) bool) (finding, error) {
	others, err := r.sharing(ctx, mine.CustomAction, func(of place) bool { return of == at })
	if err != nil {
		return finding{}, err
	}
	for i := range others {
		if counts(others[i]) && others[i].before(mine) {
			return takenBy(client.ObjectKeyFromObject(others[i]), mine.CustomAction, at.region), nil
		}
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

// standing is what decides the precedence of CustomActions that may take the same jobs.
type standing struct {
	*v1alpha1.CustomAction
	// jobs is true if it has jobs that CodePipeline may hand out again.
	jobs bool
	// owns is true if the tags of the action type name it.
	owns bool
	// polls is true if it polled when its status was written, or failed briefly.
	polls bool
	// lastPoll is when it took jobs last; zero if it never did.
	lastPoll time.Time
	// creates is true if it may create the action type.
	creates bool
}

// before reports whether one takes precedence over another. Jobs come first, because running work
// must not run twice. Tags come next, because they prove the owner of the action type.
func (s standing) before(other standing) bool {
	switch {
	case s.jobs != other.jobs:
		return s.jobs
	case s.owns != other.owns:
		return s.owns
	case s.polls != other.polls:
		return s.polls
	case !s.lastPoll.Equal(other.lastPoll):
		return s.lastPoll.After(other.lastPoll)
	default:
		return isOlder(s.CustomAction, other.CustomAction)
	}
}

func polls(action *v1alpha1.CustomAction) bool {
	return meta.IsStatusConditionTrue(action.Status.Conditions, v1alpha1.ConditionPolling)
}

// isOlder reports whether an object is older than another. The UID decides if both were created in
// the same second.
func isOlder(one, other *v1alpha1.CustomAction) bool {
	if one.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return one.UID < other.UID
	}
	return one.CreationTimestamp.Before(&other.CreationTimestamp)
}

// ofSameType lists the other CustomActions of the same action type. The objects are the cache's:
// copies in each worker could exceed the operator's memory limit.
func (r *Reconciler) ofSameType(ctx context.Context, action *v1alpha1.CustomAction) ([]v1alpha1.CustomAction, error) {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, client.MatchingFields{indexActionType: actionTypeID(action).String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list CustomActions of the same action type: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(other v1alpha1.CustomAction) bool { return other.UID == action.UID }), nil
}

// sharing lists the other CustomActions of the same action type that may take jobs in the places
// that matter, or have jobs from there. Jobs from other places, such as those from before a change
// of the spec, do not count.
func (r *Reconciler) sharing(ctx context.Context, action *v1alpha1.CustomAction, matters func(place) bool) ([]standing, error) {
	others, err := r.ofSameType(ctx, action)
	if err != nil {
		return nil, err
	}
	var found []standing
	for i := range others {
		other := &others[i]
		its, err := r.accessOf(ctx, other)
		if err != nil {
			return nil, err
		}
		candidate, err := r.standingOf(ctx, other, its, matters)
		if err != nil {
			return nil, err
		}
		may := failsBriefly(other, its, r.Clock.Now()) || mayTake(other, its)
		if candidate.jobs || matters(placeOf(other, its)) && may && !r.isForeign(other, its) {
			found = append(found, candidate)
		}
	}
	return found, nil
}

// standingOf returns the standing of an action among those that may take jobs in the places that
// matter. All of them are judged alike: otherwise, two could wait for each other.
func (r *Reconciler) standingOf(ctx context.Context, action *v1alpha1.CustomAction, a access, matters func(place) bool) (standing, error) {
	jobs, err := r.mayBeHandedOut(ctx, action)
	if err != nil {
		return standing{}, err
	}
	made := standing{
		CustomAction: action,
		jobs: slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool { return matters(placeOfJob(&job, placeOf(action, a))) }) ||
			r.mayRecord(client.ObjectKeyFromObject(action), matters),
		owns:    recordedOf(action, a).owner == v1alpha1.OwnerThis,
		creates: a.given.MayRegister && action.Spec.Registration == v1alpha1.RegistrationManaged,
	}
	if now := r.Clock.Now(); recorded(action).isOf(a) {
		made.polls, made.lastPoll = polls(action) || failsBriefly(action, a, now), lastPoll(action, now)
	}
	return made, nil
}

// lastPoll returns when an action took jobs last according to its status; zero if it never did. A
// time that is far ahead is not the clock's of another replica: a user wrote it.
func lastPoll(action *v1alpha1.CustomAction, now time.Time) time.Time {
	last := action.Status.LastPollTime
	if last == nil || last.Sub(now) > releaseAfter {
		return time.Time{}
	}
	return last.Time
}

// mayTake reports whether an action without jobs may take jobs, now or after a temporary failure. It
// is false if that needs a change of an object: such an action does not keep jobs from others.
func mayTake(action *v1alpha1.CustomAction, a access) bool {
	if !action.DeletionTimestamp.IsZero() || !a.given.Access {
		return false
	}
	ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady)
	return ready == nil || ready.Status == metav1.ConditionTrue || ready.ObservedGeneration != action.Generation ||
		!isLasting(ready.Reason, recordedOf(action, a).owner)
}

// failsBriefly reports whether an action that took jobs in its account and region has been unable to
// for less than releaseAfter, according to its status. An operator that starts during this time
// hands its jobs over to no other action. A time that is as far ahead was written by a user. An
// action whose action type is missing does not keep others from creating it.
func failsBriefly(action *v1alpha1.CustomAction, a access, now time.Time) bool {
	ready := readiness(action)
	return action.DeletionTimestamp.IsZero() && action.Status.LastPollTime != nil && recorded(action).isOf(a) &&
		ready.Status == metav1.ConditionFalse && now.Sub(ready.LastTransitionTime.Time).Abs() < releaseAfter &&
		!slices.Contains([]string{v1alpha1.ReasonActionTypeNotFound, v1alpha1.ReasonRegistrationNotGranted, v1alpha1.ReasonActionTypeTaken}, ready.Reason)
}

// isForeign reports whether the tags of its action type keep an action from taking jobs, according
// to the last examination of any of its versions: all of them have the same action type.
func (r *Reconciler) isForeign(action *v1alpha1.CustomAction, a access) bool {
	found, known := r.examinations.last(action)
	return known && found.isOf(a) && found.foreign && !a.given.Shares
}

// isLasting reports whether a reason lasts until an object, or something in AWS, changes, so that
// the action does not keep jobs from others. A mistake in the template, or a Job that the cluster
// refuses, is no such reason for the owner of the action type: it keeps its jobs.
func isLasting(reason string, owner v1alpha1.ActionTypeOwner) bool {
	switch reason {
	case v1alpha1.ReasonInvalidJobTemplate, v1alpha1.ReasonTooLarge, v1alpha1.ReasonJobRefused:
		return owner != v1alpha1.OwnerThis
	default:
		return slices.Contains(lasting, reason)
	}
}

// lasting has the reasons that last until an object, or something in AWS, changes.
var lasting = []string{
	v1alpha1.ReasonAccountNotFound, v1alpha1.ReasonAccountNotReady, v1alpha1.ReasonAccessNotGranted, v1alpha1.ReasonRegistrationNotGranted,
	v1alpha1.ReasonRoleNotAllowed, v1alpha1.ReasonCredentialsUnavailable, v1alpha1.ReasonAccessDenied,
	v1alpha1.ReasonDefinitionConflict, v1alpha1.ReasonActionTypeNotFound, v1alpha1.ReasonRegistrationFailed,
	v1alpha1.ReasonVersionRetired,
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
