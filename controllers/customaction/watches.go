package customaction

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// indexActionType is the name of the cache's index of CustomActions by action type.
const indexActionType = "spec.actionType"

func indexByActionType(object client.Object) []string {
	return []string{actionTypeID(object.(*v1alpha1.CustomAction)).String()}
}

// isLetGo reports whether an object is being deleted and the operator has removed its finalizer.
func isLetGo(action *v1alpha1.CustomAction) bool {
	return !action.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction)
}

// concernsOthers passes changes of a CustomAction that affect others of the same action type: a
// change of its spec, the removal of its finalizer, and a change of its readiness.
var concernsOthers = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := e.ObjectOld.(*v1alpha1.CustomAction), e.ObjectNew.(*v1alpha1.CustomAction)
		return isLetGo(now) && !isLetGo(before) || readiness(now).Reason != readiness(before).Reason
	},
})

// sameActionType maps a CustomAction to the others of the same action type: one of them may take
// over when it is deleted.
func (r *Reconciler) sameActionType(ctx context.Context, object client.Object) []reconcile.Request {
	return r.others(ctx, actionTypeID(object.(*v1alpha1.CustomAction)).String(), client.ObjectKeyFromObject(object))
}

// others returns a request for each CustomAction of an action type but one.
func (r *Reconciler) others(ctx context.Context, actionType string, but types.NamespacedName) []reconcile.Request {
	requests := r.requests(ctx, client.MatchingFields{indexActionType: actionType})
	return slices.DeleteFunc(requests, func(request reconcile.Request) bool { return request.NamespacedName == but })
}

// requests returns a request for each CustomAction that the options list.
func (r *Reconciler) requests(ctx context.Context, by ...client.ListOption) []reconcile.Request {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, append(by, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil // there is no cache yet; all are reconciled once there is
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// changesAccess passes changes of an account that affect the CustomActions that use it.
var changesAccess = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := accessStatus(e.ObjectOld), accessStatus(e.ObjectNew)
		return !equality.Semantic.DeepEqual(before, now)
	},
})

// accessStatus returns the part of an account's status that decides access, or that messages of
// CustomActions contain.
func accessStatus(object client.Object) v1alpha1.CodePipelineAccountStatus {
	status := object.(*v1alpha1.CodePipelineAccount).Status
	status.Actions, status.Conditions = 0, slices.Clone(status.Conditions)
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type != v1alpha1.ConditionReady })
	return status
}

// ofAccount maps an account to the CustomActions that use it, and to those that have moved to
// another account and left jobs that CodePipeline may hand out again: such jobs are polled for
// with the previous account.
func (r *Reconciler) ofAccount(ctx context.Context, account client.Object) []reconcile.Request {
	by := client.MatchingFields{identity.IndexAccount: account.GetName()}
	found := sets.New(r.requests(ctx, by)...)
	var jobs v1alpha1.PipelineJobList
	if err := r.List(ctx, &jobs, by, client.UnsafeDisableDeepCopy); err != nil {
		return found.UnsortedList() // there is no cache yet, as in requests
	}
	for i := range jobs.Items {
		found.Insert(reconcile.Request{NamespacedName: naming.ActionOf(&jobs.Items[i])})
	}
	return found.UnsortedList()
}

// ofNamespace maps a namespace to its CustomActions: grants may select it by its labels.
func (r *Reconciler) ofNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(namespace.GetName()))
}
