package pipelinejob

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/grants"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// changesAccess passes the account updates that can change which calls may be made for the
// account's jobs.
var changesAccess = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := e.ObjectOld.(*v1alpha1.CodePipelineAccount), e.ObjectNew.(*v1alpha1.CodePipelineAccount)
		return before.Spec.RoleARN != now.Spec.RoleARN ||
			before.Status.AccountID != now.Status.AccountID || before.Status.ProvenRoleARN != now.Status.ProvenRoleARN ||
			!slices.Equal(before.Status.Namespaces, now.Status.Namespaces) || !slices.Equal(before.Status.Regions, now.Status.Regions)
	},
}

// ofAccount maps an account to its unsettled jobs.
func (r *Reconciler) ofAccount(ctx context.Context, account client.Object) []reconcile.Request {
	var jobs v1alpha1.PipelineJobList
	if err := r.List(ctx, &jobs, client.MatchingFields{identity.IndexAccount: account.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache has not started; every job is reconciled when it has
	}
	var requests []reconcile.Request
	for i := range jobs.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
	}
	return requests
}

// accountOf reads the CodePipelineAccount that a job names. It returns nil if there is none.
func (r *Reconciler) accountOf(ctx context.Context, job *v1alpha1.PipelineJob) (*v1alpha1.CodePipelineAccount, error) {
	account := &v1alpha1.CodePipelineAccount{}
	err := r.Get(ctx, client.ObjectKey{Name: job.Spec.AccountRef.Name}, account)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read CodePipelineAccount %s: %w", job.Spec.AccountRef.Name, err)
	default:
		return account, nil
	}
}

// jobOptions returns the operator's options, with the account's rules for pods. A withdrawn
// grant no longer counts: the work starts without what it allowed, or does not start.
func (r *Reconciler) jobOptions(ctx context.Context, account *v1alpha1.CodePipelineAccount, action *v1alpha1.CustomAction) (jobspec.Options, error) {
	options := r.JobOptions
	if account == nil {
		options.FailureLog = v1alpha1.FailureLogNever
		return options, nil
	}
	namespace := &corev1.Namespace{}
	if err := r.Get(ctx, client.ObjectKey{Name: action.Namespace}, namespace); client.IgnoreNotFound(err) != nil {
		return options, fmt.Errorf("read namespace %s: %w", action.Namespace, err)
	}
	given := grants.Of(account, grants.Namespace{Name: action.Namespace, Labels: namespace.Labels}, &action.Spec)
	options.FailureLog, options.AllowReferencesIn = account.Spec.FailureLog, given.ReferencesIn
	return options, nil
}
