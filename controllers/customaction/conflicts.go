package customaction

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
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

// sharer is another CustomAction of the same action type and region.
type sharer struct {
	v1alpha1.CustomAction
	// account tells if it is of the same account; why is the reason if that is unclear.
	account relation
	why     string
}

// sharing lists the other CustomActions of the same action type and region that are, or
// may be, of the same account, from the oldest to the newest, of those that matter. One
// that was let go does not, though a finalizer of another controller keeps it.
func (r *Reconciler) sharing(ctx context.Context, action *v1alpha1.CustomAction, matters func(*v1alpha1.CustomAction) bool) ([]sharer, error) {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, client.MatchingFields{indexActionType: actionTypeKey(action)}); err != nil {
		return nil, fmt.Errorf("list CustomActions of the same action type: %w", err)
	}
	var others []sharer
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID == action.UID || isLetGo(other) || !matters(other) {
			continue
		}
		if account, why := r.compareAccounts(ctx, action, other); account != otherAccount {
			others = append(others, sharer{*other, account, why})
		}
	}
	slices.SortFunc(others, func(a, b sharer) int {
		if isOlder(&a.CustomAction, &b.CustomAction) {
			return -1
		}
		return 1
	})
	return others, nil
}

// isOlder orders objects by their age; of two of one second the UID decides.
func isOlder(one, other *v1alpha1.CustomAction) bool {
	if one.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return one.UID < other.UID
	}
	return one.CreationTimestamp.Before(&other.CreationTimestamp)
}

// precedence finds out whether an older object takes, or may take, the same jobs: two
// that poll for the same would each get some of them, and one the continuations of the
// other's. asking is what AWS is being asked for, before that is known.
func (r *Reconciler) precedence(ctx context.Context, action *v1alpha1.CustomAction) (taken finding, asking string, err error) {
	older, err := r.sharing(ctx, action, func(other *v1alpha1.CustomAction) bool {
		return isOlder(other, action) && query(other) == query(action)
	})
	if err != nil {
		return finding{}, "", err
	}
	for _, account := range []relation{sameAccount, unclearAccount, askedAccount} {
		i := slices.IndexFunc(older, func(other sharer) bool { return other.account == account })
		switch {
		case i < 0:
		case account == askedAccount:
			return finding{}, fmt.Sprintf("AWS is being asked whether CustomAction %s/%s, which is older and has the same action type, is of the same account",
				older[i].Namespace, older[i].Name), nil
		default:
			return takenBy(&older[i], action), "", nil
		}
	}
	return finding{}, "", nil
}

// query is spec.polling.queryParam as a text.
func query(action *v1alpha1.CustomAction) string {
	for key, value := range action.Spec.Polling.QueryParam { // one at most
		return key + "=" + string(value)
	}
	return ""
}

func takenBy(older *sharer, action *v1alpha1.CustomAction) finding {
	jobs := "the jobs of action type " + actionTypeID(action).String()
	if value := query(action); value != "" {
		jobs += " with " + value
	}
	if older.account == unclearAccount {
		err := fmt.Errorf("CustomAction %s/%s, which is older, may take %s in %s: it is not known whether both are of one account, because GetCallerIdentity failed: %s",
			older.Namespace, older.Name, jobs, action.Spec.AWS.Region, older.why)
		return finding{reason: v1alpha1.ReasonAccountUnknown, message: err.Error(), err: err, retry: true}
	}
	err := fmt.Errorf("CustomAction %s/%s, which is older, takes %s in %s: delete one of the two, or give this one another version or queryParam",
		older.Namespace, older.Name, jobs, action.Spec.AWS.Region)
	return finding{reason: v1alpha1.ReasonActionTypeTaken, message: err.Error(), err: err}
}

// isLetGo reports whether an object is being deleted and the operator is done with it.
func isLetGo(action *v1alpha1.CustomAction) bool {
	return !action.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction)
}

// concernsOthers passes the changes of a CustomAction that concern others of the same
// action type: to its definition, and that it was let go.
var concernsOthers = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return isLetGo(e.ObjectNew.(*v1alpha1.CustomAction)) && !isLetGo(e.ObjectOld.(*v1alpha1.CustomAction))
	},
})

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
