package customaction

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// indexActionType is the cache's index of CustomActions by region and action type.
const indexActionType = "spec.actionType"

func indexByActionType(object client.Object) []string {
	return []string{actionTypeKey(object.(*v1alpha1.CustomAction))}
}

func actionTypeKey(action *v1alpha1.CustomAction) string {
	return action.Spec.AWS.Region + "/" + actionTypeID(action).String()
}

// sharing lists the other CustomActions of the same action type in the same account and
// region, from the oldest to the newest, of those that matter. known is false while AWS
// is being asked for accounts.
func (r *Reconciler) sharing(ctx context.Context, action *v1alpha1.CustomAction, matters func(*v1alpha1.CustomAction) bool) (others []v1alpha1.CustomAction, known bool, err error) {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, client.MatchingFields{indexActionType: actionTypeKey(action)}); err != nil {
		return nil, false, fmt.Errorf("list CustomActions of the same action type: %w", err)
	}
	known = true
	others = slices.DeleteFunc(list.Items, func(other v1alpha1.CustomAction) bool {
		if other.UID == action.UID || !matters(&other) {
			return true
		}
		same, told := r.sameAccount(ctx, action, &other)
		known = known && told
		return !same
	})
	slices.SortFunc(others, func(a, b v1alpha1.CustomAction) int {
		if isOlder(&a, &b) {
			return -1
		}
		return 1
	})
	return others, known, nil
}

// isOlder orders objects by their age; of two of one second the UID decides.
func isOlder(one, other *v1alpha1.CustomAction) bool {
	if one.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return one.UID < other.UID
	}
	return one.CreationTimestamp.Before(&other.CreationTimestamp)
}

// precedence finds out whether an older object takes the same jobs: two that
// poll for the same would each get some of them, and one the continuations of
// the other's. known is false while AWS is being asked for accounts.
func (r *Reconciler) precedence(ctx context.Context, action *v1alpha1.CustomAction) (taken finding, known bool, err error) {
	older, known, err := r.sharing(ctx, action, func(other *v1alpha1.CustomAction) bool {
		return isOlder(other, action) && query(other) == query(action)
	})
	if err != nil || len(older) == 0 {
		return finding{}, known, err
	}
	return takenBy(&older[0], action), true, nil
}

// query is spec.polling.queryParam as a text.
func query(action *v1alpha1.CustomAction) string {
	for key, value := range action.Spec.Polling.QueryParam { // one at most
		return key + "=" + string(value)
	}
	return ""
}

func takenBy(older, action *v1alpha1.CustomAction) finding {
	with := ""
	if value := query(action); value != "" {
		with = " with " + value
	}
	err := fmt.Errorf("CustomAction %s/%s, which is older, takes the jobs of action type %s%s in %s: delete one of the two, or give this one another version or queryParam",
		older.Namespace, older.Name, actionTypeID(action), with, action.Spec.AWS.Region)
	return finding{reason: v1alpha1.ReasonActionTypeTaken, message: err.Error(), err: err}
}

// sameActionType maps a CustomAction to the others of the same action type: when
// it is deleted, another may take over.
func (r *Reconciler) sameActionType(ctx context.Context, object client.Object) []reconcile.Request {
	action := object.(*v1alpha1.CustomAction)
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, client.MatchingFields{indexActionType: actionTypeKey(action)}); err != nil {
		return nil // the cache is not there yet, and all are reconciled once it is
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if list.Items[i].UID != action.UID {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
