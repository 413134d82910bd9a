package customaction

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

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
