package customaction

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// releaseAfter is how long a CustomAction must have been unable to take its jobs before another one
// may take them. Without it, one failed call would hand them over.
const releaseAfter = 5 * time.Minute

// giveWay releases the jobs that an action holds, unless some of them are not reported: immediately
// if the action has moved or another one takes precedence, and after releaseAfter if it can't take
// jobs. It returns how long to wait before the next check; zero if none is needed.
func (r *Reconciler) giveWay(ctx context.Context, action *v1alpha1.CustomAction, seen observation, jobs []v1alpha1.PipelineJob) time.Duration {
	name := client.ObjectKeyFromObject(action)
	key, held := r.holders.held(name)
	if !held {
		return 0
	}
	if seen.mayKeep(action, key) {
		r.holders.able(name)
		return 0
	}
	if left := releaseAfter - r.holders.unableFor(name, seen.now); left > 0 && !seen.mustRelease(action, key) {
		return left
	}
	if r.holders.needs(name, jobs) {
		return 0
	}
	if r.mayRecord(name, func(of place) bool { return of == key.place }) {
		return firstRetry
	}
	r.releaseJobs(ctx, name)
	return 0
}

// wakeAfterMove reconciles the other CustomActions of the place that an action has left: they may
// take its jobs now. It is called once the action is polled for in its new place. It returns how
// long to wait before the next try; zero if they were woken.
func (r *Reconciler) wakeAfterMove(ctx context.Context, action types.NamespacedName) time.Duration {
	key, moved := r.holders.leaving(action)
	if !moved {
		return 0
	}
	if r.mayRecord(action, func(of place) bool { return of == key.place }) {
		r.holders.leave(action, key)
		return firstRetry
	}
	r.wakeOthers(ctx, key.actionType, action)
	return 0
}

// mayRecord reports whether the poller may still record new jobs that an action was handed in a
// place that matters.
func (r *Reconciler) mayRecord(action types.NamespacedName, matters func(place) bool) bool {
	return r.Poller != nil && r.Poller.MayRecord(action, func(of poller.Place) bool {
		with := ""
		if of.QueryKey != "" {
			with = query(map[string]v1alpha1.QueryValue{of.QueryKey: v1alpha1.QueryValue(of.QueryValue)})
		}
		return matters(place{of.AccountID, v1alpha1.Region(of.Region), with})
	})
}

// leavePlace stops new jobs in the place that an action has left, even before it is known whether
// the action may take jobs in its new place. Otherwise, an object that is changed all the time would
// go on taking jobs for which a grant was withdrawn. It returns how long to wait before the next
// try; zero if none is needed.
func (r *Reconciler) leavePlace(ctx context.Context, action *v1alpha1.CustomAction, seen observation, jobs []v1alpha1.PipelineJob) (time.Duration, error) {
	key, held := r.holders.held(client.ObjectKeyFromObject(action))
	if !held || !seen.mustRelease(action, key) {
		return 0, nil
	}
	places, err := r.formerPlaces(ctx, action, seen.access, jobs)
	if err != nil {
		return 0, err
	}
	r.poll(action, seen.access, false, places)
	return r.giveWay(ctx, action, seen, jobs), nil
}

// mustRelease reports whether an action that holds the jobs of a key must release them immediately:
// it has moved to another place, or another CustomAction takes precedence. It is false while the
// account is not proven, because the place is not known.
func (o observation) mustRelease(action *v1alpha1.CustomAction, held jobsKey) bool {
	wrong, _ := o.wrong()
	present := keyOf(action, o.access)
	return wrong.reason == v1alpha1.ReasonActionTypeTaken || present.accountID != "" && present != held
}

// mayKeep reports whether an action that holds the jobs of a key can take them, now or after a
// temporary failure.
func (o observation) mayKeep(action *v1alpha1.CustomAction, held jobsKey) bool {
	wrong, is := o.wrong()
	unable := is && isLasting(wrong.reason, o.examined.owner)
	return !unable && !o.mustRelease(action, held)
}

// held returns the key that an action holds.
func (h *holders) held(action types.NamespacedName) (key jobsKey, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, held = h.of[action]
	return key, held
}

// able records that an action can take the jobs that it holds.
func (h *holders) able(action types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unable, action)
}

// unableFor records that an action can't take the jobs that it holds, and returns for how long
// that has been so.
func (h *holders) unableFor(action types.NamespacedName, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, known := h.unable[action]
	if !known {
		since, h.unable[action] = now, now
	}
	return now.Sub(since)
}

// ownerWaits returns a finding if the CustomAction that the tags of the action type name waits for
// the jobs that action holds. Only tags that this operator has read from AWS count: users may be
// able to write a status.
func (r *Reconciler) ownerWaits(ctx context.Context, action *v1alpha1.CustomAction, seen observation, at place) (finding, error) {
	if seen.examined.owner == v1alpha1.OwnerThis {
		return finding{}, nil
	}
	others, err := r.ofSameType(ctx, action)
	if err != nil {
		return finding{}, err
	}
	for i := range others {
		other := &others[i]
		if !other.DeletionTimestamp.IsZero() {
			continue
		}
		its, err := r.accessOf(ctx, other)
		if err != nil {
			return finding{}, err
		}
		if placeOf(other, its) == at && r.isOwner(other, its, seen.now) {
			return takenBy(client.ObjectKeyFromObject(other), action, at.region), nil
		}
	}
	return finding{}, nil
}

// isOwner reports whether an action has access, its last examination succeeded, and the tags of its
// action type name it.
func (r *Reconciler) isOwner(action *v1alpha1.CustomAction, a access, now time.Time) bool {
	if a.refused.err != nil || a.pending != "" {
		return false
	}
	found, known, _ := r.examinations.of(action, now)
	_, wrong := found.wrong()
	return known && !wrong && found.isOf(a) && found.owner == v1alpha1.OwnerThis
}
