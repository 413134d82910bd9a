package customaction

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// indexActionType is the cache's index of CustomActions by action type.
const indexActionType = "spec.actionType"

func indexByActionType(object client.Object) []string {
	return []string{actionTypeID(object.(*v1alpha1.CustomAction)).String()}
}

// isLetGo reports whether an object is being deleted and the operator is done with it.
func isLetGo(action *v1alpha1.CustomAction) bool {
	return !action.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction)
}

// concernsOthers passes the changes of a CustomAction that concern others of the same
// action type: to its definition, that it was let go, and that it may take jobs no longer.
var concernsOthers = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := e.ObjectOld.(*v1alpha1.CustomAction), e.ObjectNew.(*v1alpha1.CustomAction)
		return isLetGo(now) && !isLetGo(before) || readiness(now).Reason != readiness(before).Reason
	},
})

// sameActionType maps a CustomAction to the others of the same action type: when
// it is deleted, another may take over.
func (r *Reconciler) sameActionType(ctx context.Context, object client.Object) []reconcile.Request {
	requests := r.requests(ctx, client.MatchingFields{indexActionType: actionTypeID(object.(*v1alpha1.CustomAction)).String()})
	return slices.DeleteFunc(requests, func(request reconcile.Request) bool {
		return request.NamespacedName == client.ObjectKeyFromObject(object)
	})
}

// requests are for the CustomActions that are listed.
func (r *Reconciler) requests(ctx context.Context, by ...client.ListOption) []reconcile.Request {
	var list v1alpha1.CustomActionList
	if err := r.List(ctx, &list, append(by, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil // the cache is not there yet, and all are reconciled once it is
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// changesAccess passes the changes of an account that concern the CustomActions which use it.
var changesAccess = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := accessStatus(e.ObjectOld), accessStatus(e.ObjectNew)
		return !equality.Semantic.DeepEqual(before, now)
	},
})

// accessStatus is the part of an account's status that decides on access, or is shown.
func accessStatus(object client.Object) v1alpha1.CodePipelineAccountStatus {
	status := object.(*v1alpha1.CodePipelineAccount).Status
	status.Actions, status.Conditions = 0, slices.Clone(status.Conditions)
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type != v1alpha1.ConditionReady })
	return status
}

// ofAccount maps an account to the CustomActions that use it, and to those that have moved to
// another one and have jobs of it that CodePipeline may hand out again: they are polled for with
// this one.
func (r *Reconciler) ofAccount(ctx context.Context, account client.Object) []reconcile.Request {
	by := client.MatchingFields{identity.IndexAccount: account.GetName()}
	found := sets.New(r.requests(ctx, by)...)
	var jobs v1alpha1.PipelineJobList
	if err := r.List(ctx, &jobs, by, client.UnsafeDisableDeepCopy); err != nil {
		return found.UnsortedList() // as for requests
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
