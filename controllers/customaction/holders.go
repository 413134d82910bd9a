package customaction

import (
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

// place is where jobs of an action type are taken: in an account and a region, with a queryParam
// as a text.
type place struct {
	accountID string
	region    v1alpha1.Region
	query     string
}

// placeOf is where an action takes jobs by its spec.
func placeOf(action *v1alpha1.CustomAction, a access) place {
	return place{a.accountID(), a.region, query(action.Spec.Polling.QueryParam)}
}

// placeOfJob is where a job was taken.
func placeOfJob(job *v1alpha1.PipelineJob) place {
	return place{job.Spec.AccountID, job.Spec.Region, query(job.Spec.QueryParam)}
}

// jobsKey names jobs of which one CustomAction takes all: two that polled for the same would
// each get some of them, and one the continuations of the other's.
type jobsKey struct {
	place
	actionType string
}

func keyOf(action *v1alpha1.CustomAction, a access) jobsKey {
	return jobsKey{placeOf(action, a), actionTypeID(action).String()}
}

// query is a queryParam as a text.
func query(queryParam map[string]v1alpha1.QueryValue) string {
	for key, value := range queryParam { // one at most
		return key + "=" + string(value)
	}
	return ""
}

// holders has the CustomAction that takes jobs, for each key: one at a time. The zero value
// is ready for use.
type holders struct {
	mu sync.Mutex
	by map[jobsKey]types.NamespacedName
	of map[types.NamespacedName]jobsKey
	// unable has since when holders can't take the jobs that they hold.
	unable map[types.NamespacedName]time.Time
}

// holder is who takes the jobs of a key.
func (h *holders) holder(key jobsKey) (action types.NamespacedName, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	action, held = h.by[key]
	return action, held
}

// take makes an action the holder of a key, and of no other, unless there is one.
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

// needs reports whether an action has some of the jobs that it holds, which CodePipeline may hand
// out again.
func (h *holders) needs(action types.NamespacedName, jobs []v1alpha1.PipelineJob) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, held := h.of[action]
	return held && slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool { return placeOfJob(&job) == key.place })
}

// release has an action be the holder of no key, and returns the one that it held.
func (h *holders) release(action types.NamespacedName) (key jobsKey, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, held = h.of[action]
	h.drop(action)
	return key, held
}

func (h *holders) drop(action types.NamespacedName) {
	if key, held := h.of[action]; held {
		delete(h.of, action)
		delete(h.by, key)
		delete(h.unable, action)
	}
}

// hold has an action take the jobs of its key, or finds who does or is to. A holder gives way to
// the CustomAction that the tags of the action type name.
func (r *Reconciler) hold(ctx context.Context, action *v1alpha1.CustomAction, seen observation, jobs []v1alpha1.PipelineJob) (finding, error) {
	key, name := keyOf(action, seen.access), client.ObjectKeyFromObject(action)
	holder, held := r.holders.holder(key)
	if held && holder == name {
		return r.ownerWaits(ctx, action, seen, key.place)
	}
	if held && seen.examined.owner == v1alpha1.OwnerThis {
		r.again(holder)
	}
	mine := standing{jobs: slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool { return placeOfJob(&job) == key.place }), owns: seen.examined.owner == v1alpha1.OwnerThis, polls: polls(action), CustomAction: action}
	if taken, err := r.takenBefore(ctx, mine, key.place, func(standing) bool { return true }); err != nil || taken.err != nil {
		return taken, err
	}
	before, moved := r.holders.held(name)
	if !r.holders.take(key, name) {
		holder, _ = r.holders.holder(key)
		return takenBy(&v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: holder.Namespace, Name: holder.Name}}, action, key.region), nil
	}
	if moved {
		r.wakeOthers(ctx, before.actionType, name)
	}
	return finding{}, nil
}

// takenBefore finds who goes before an action, of those that may take the same jobs and count.
func (r *Reconciler) takenBefore(ctx context.Context, mine standing, at place, counts func(standing) bool) (finding, error) {
	others, err := r.sharing(ctx, mine.CustomAction, func(of place) bool { return of == at })
	if err != nil {
		return finding{}, err
	}
	for i := range others {
		if counts(others[i]) && others[i].before(mine) {
			return takenBy(others[i].CustomAction, mine.CustomAction, at.region), nil
		}
	}
	return finding{}, nil
}

// releaseJobs has an action take no jobs any longer, and the others look whether they may.
func (r *Reconciler) releaseJobs(ctx context.Context, action types.NamespacedName) {
	if key, held := r.holders.release(action); held {
		r.wakeOthers(ctx, key.actionType, action)
	}
}

// wakeOthers has the other CustomActions of an action type check whether they may take jobs.
func (r *Reconciler) wakeOthers(ctx context.Context, actionType string, action types.NamespacedName) {
	for _, request := range r.requests(ctx, client.MatchingFields{indexActionType: actionType}) {
		if request.NamespacedName != action {
			r.again(request.NamespacedName)
		}
	}
}

// standing is by what it is decided which of several CustomActions takes jobs.
type standing struct {
	*v1alpha1.CustomAction
	// jobs: it has jobs that CodePipeline may hand out again.
	jobs bool
	// owns: the tags of the action type name it.
	owns bool
	// polls: it took jobs when its status was written.
	polls bool
	// creates: it may create the action type.
	creates bool
}

// before reports whether one goes before another: work that goes on must not run twice, and
// whose the action type is, is proven by its tags.
func (s standing) before(other standing) bool {
	switch {
	case s.jobs != other.jobs:
		return s.jobs
	case s.owns != other.owns:
		return s.owns
	case s.polls != other.polls:
		return s.polls
	default:
		return isOlder(s.CustomAction, other.CustomAction)
	}
}

func polls(action *v1alpha1.CustomAction) bool {
	return meta.IsStatusConditionTrue(action.Status.Conditions, v1alpha1.ConditionPolling)
}

// isOlder orders objects by their age; of two of one second the UID decides.
func isOlder(one, other *v1alpha1.CustomAction) bool {
	if one.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return one.UID < other.UID
	}
	return one.CreationTimestamp.Before(&other.CreationTimestamp)
}

// sharing lists the other CustomActions that may take jobs of the same action type, of the
// places that matter, or have some of there: with what an action has of elsewhere, or has taken
// before its spec was changed, it keeps nobody out. They are the cache's own: copies of all of
// them, in each worker, would use up the operator's memory.
func (r *Reconciler) sharing(ctx context.Context, action *v1alpha1.CustomAction, matters func(place) bool) ([]standing, error) {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, client.MatchingFields{indexActionType: actionTypeID(action).String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list CustomActions of the same action type: %w", err)
	}
	var found []standing
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID == action.UID {
			continue
		}
		its, err := r.accessOf(ctx, other)
		if err != nil {
			return nil, err
		}
		jobs, err := r.mayBeHandedOut(ctx, other)
		if err != nil {
			return nil, err
		}
		working := slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool { return matters(placeOfJob(&job)) })
		if working || matters(placeOf(other, its)) && mayTake(other, its) && !r.isForeign(other, its) {
			found = append(found, standing{
				CustomAction: other, jobs: working, owns: recordedOf(other, its).owner == v1alpha1.OwnerThis, polls: polls(other),
				creates: its.given.MayRegister && other.Spec.Registration == v1alpha1.RegistrationManaged,
			})
		}
	}
	return found, nil
}

// mayTake reports whether an action without jobs may take some, now or as soon as a failure
// has passed. One that only a change of an object could let take jobs keeps them from nobody.
func mayTake(action *v1alpha1.CustomAction, a access) bool {
	if !action.DeletionTimestamp.IsZero() || !a.given.Access {
		return false
	}
	ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady)
	return ready == nil || ready.Status == metav1.ConditionTrue || ready.ObservedGeneration != action.Generation ||
		!isLasting(ready.Reason, recordedOf(action, a).owner)
}

// isForeign reports whether an action may not take jobs because of the tags of its action type, by
// the last examination of any of its versions: the action type is the same in all of them.
func (r *Reconciler) isForeign(action *v1alpha1.CustomAction, a access) bool {
	found, known := r.examinations.last(action)
	return known && found.isOf(a) && found.foreign && !a.given.Shares
}

// isLasting reports whether only a change of an object, or of AWS, ends a reason, so that the
// action keeps jobs from nobody. A mistake in its template, or a Job that the cluster refuses, does
// not give the jobs of an action type away to which its tags entitle it.
func isLasting(reason string, owner v1alpha1.ActionTypeOwner) bool {
	switch reason {
	case v1alpha1.ReasonInvalidJobTemplate, v1alpha1.ReasonTooLarge, v1alpha1.ReasonJobRefused:
		return owner != v1alpha1.OwnerThis
	default:
		return slices.Contains(lasting, reason)
	}
}

// lasting are the reasons that only a change of an object, or of AWS, ends.
var lasting = []string{
	v1alpha1.ReasonAccountNotFound, v1alpha1.ReasonAccountNotReady, v1alpha1.ReasonAccessNotGranted, v1alpha1.ReasonRegistrationNotGranted,
	v1alpha1.ReasonRoleNotAllowed, v1alpha1.ReasonCredentialsUnavailable, v1alpha1.ReasonAccessDenied,
	v1alpha1.ReasonDefinitionConflict, v1alpha1.ReasonActionTypeNotFound, v1alpha1.ReasonRegistrationFailed,
	v1alpha1.ReasonVersionRetired,
}

// takenBy says that another CustomAction takes the jobs. It is named to its own namespace
// alone.
func takenBy(other, action *v1alpha1.CustomAction, region v1alpha1.Region) finding {
	who := "a CustomAction of another namespace"
	if other.Namespace == action.Namespace {
		who = "CustomAction " + other.Name
	}
	jobs := "the jobs of action type " + actionTypeID(action).String() + withQuery(action)
	return refusal(v1alpha1.ReasonActionTypeTaken, "%s takes %s in %s: delete one of the two, or give this one another version or queryParam",
		who, jobs, region)
}
