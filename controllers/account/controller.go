// Package account reconciles CodePipelineAccounts: it determines the ID of the AWS account,
// and the namespaces for which the operator makes calls with it.
package account

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

const (
	// lookAgain is how often an account is reconciled without a change, to check whether it is
	// throttled and whether the last job of a namespace is reported.
	lookAgain = 30 * time.Second
	// countEvery is the shortest time between two writes of a status in which only the
	// number of actions differs.
	countEvery = time.Minute
)

// Reconciler maintains the status of CodePipelineAccounts, and keeps those that are in use.
type Reconciler struct {
	client.Client
	AWS   *codepipeline.Clients
	Lanes *lanes.Lanes
	// ClusterID is part of the external ID with which roles are assumed.
	ClusterID string
	// Namespace is the operator's namespace. It is part of the external ID for calls about the
	// account itself.
	Namespace string
	// ActionTimeout is how long CodePipeline waits for an action.
	ActionTimeout time.Duration
	Clock         clock.PassiveClock
	Events        events.EventRecorder

	proofs proofs
	counts counts
	queue  queue // nil before the controller is started
}

// queue takes accounts to reconcile.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager registers the reconciler. The cache must have identity.IndexAccount.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.CodePipelineAccount{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.CustomAction{}, handler.EnqueueRequestsFromMapFunc(accountOf),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			r.queue = q
			return nil
		})).
		WithOptions(options).
		Complete(r)
}

func accountOf(_ context.Context, action client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: action.(*v1alpha1.CustomAction).Spec.AccountRef.Name}}}
}

// all returns requests for all accounts, because grants select namespaces by their labels.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.CodePipelineAccountList
	if err := r.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil // there is no cache yet; all accounts are reconciled when there is one
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=codepipelineaccounts,verbs=list;watch;patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=codepipelineaccounts/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconcile lists the users of an account, requests its ID from AWS, and writes both to the
// status. An account that is being deleted is kept while it is used.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("account", req.Name))
	var account v1alpha1.CodePipelineAccount
	if err := r.Get(ctx, req.NamespacedName, &account); err != nil {
		if apierrors.IsNotFound(err) {
			r.proofs.forget(req.Name)
			r.counts.forget(req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	used, err := r.usage(ctx, &account)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !account.DeletionTimestamp.IsZero() && len(used.actions)+len(used.jobs) == 0 {
		return ctrl.Result{}, r.release(ctx, &account)
	}
	if err := r.addFinalizer(ctx, &account); err != nil {
		return ctrl.Result{}, err
	}
	proven, wait := r.proofs.of(&account, r.Clock.Now())
	if wait <= 0 {
		r.proveInLane(ctx, &account)
		wait = lookAgain // it is reconciled when there is a response
	}
	if err := r.writeStatus(ctx, &account, used, proven); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: min(wait, lookAgain)}, nil
}

// addFinalizer adds the finalizer, unless the object is being deleted.
func (r *Reconciler) addFinalizer(ctx context.Context, account *v1alpha1.CodePipelineAccount) error {
	before := account.DeepCopy()
	if !account.DeletionTimestamp.IsZero() || !controllerutil.AddFinalizer(account, v1alpha1.FinalizerAccount) {
		return nil
	}
	if err := r.Patch(ctx, account, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("add the finalizer to CodePipelineAccount %s: %w", account.Name, err)
	}
	return nil
}

// release removes the finalizer.
func (r *Reconciler) release(ctx context.Context, account *v1alpha1.CodePipelineAccount) error {
	before := account.DeepCopy()
	if !controllerutil.RemoveFinalizer(account, v1alpha1.FinalizerAccount) {
		return nil
	}
	if err := r.Patch(ctx, account, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release CodePipelineAccount %s: %w", account.Name, err))
	}
	return nil
}

// usage lists the users of an account.
func (r *Reconciler) usage(ctx context.Context, account *v1alpha1.CodePipelineAccount) (usage, error) {
	by := client.MatchingFields{identity.IndexAccount: account.Name}
	var actions v1alpha1.CustomActionList
	if err := r.List(ctx, &actions, by, client.UnsafeDisableDeepCopy); err != nil {
		return usage{}, fmt.Errorf("list the CustomActions of CodePipelineAccount %s: %w", account.Name, err)
	}
	var jobs v1alpha1.PipelineJobList
	if err := r.List(ctx, &jobs, by, client.UnsafeDisableDeepCopy); err != nil {
		return usage{}, fmt.Errorf("list the PipelineJobs of CodePipelineAccount %s: %w", account.Name, err)
	}
	jobs.Items = r.mayBeHandedOut(jobs.Items)
	labels := map[string]map[string]string{}
	for _, name := range namespacesOf(actions.Items, jobs.Items) {
		namespace := &corev1.Namespace{}
		if err := r.Get(ctx, client.ObjectKey{Name: name}, namespace); client.IgnoreNotFound(err) != nil {
			return usage{}, fmt.Errorf("read namespace %s: %w", name, err)
		}
		labels[name] = namespace.Labels
	}
	return usageOf(account, actions.Items, jobs.Items, labels), nil
}

// mayBeHandedOut returns the jobs for which calls may still be due, including settled jobs that
// CodePipeline may hand out again.
func (r *Reconciler) mayBeHandedOut(jobs []v1alpha1.PipelineJob) (found []v1alpha1.PipelineJob) {
	for i := range jobs {
		if jobs[i].MayBeHandedOutAt(r.Clock.Now(), r.ActionTimeout) {
			found = append(found, jobs[i])
		}
	}
	return found
}

// writeStatus writes the status of an account. It is the only place that sets the conditions.
func (r *Reconciler) writeStatus(ctx context.Context, account *v1alpha1.CodePipelineAccount, used usage, proven proof) error {
	before, now := account.DeepCopy(), r.Clock.Now()
	status := &account.Status
	status.ObservedGeneration = account.Generation
	if proven.accountID != "" {
		status.AccountID, status.ProvenRoleARN = proven.accountID, proven.roleARN
	}
	status.Namespaces, status.Regions = used.namespaces(), used.regions(account)
	ready := readyCondition(account, used, proven)
	for _, condition := range []conditionOf{ready, throttledCondition(r.throttledAt(account), now)} {
		condition.ObservedGeneration = account.Generation
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	changed := !equality.Semantic.DeepEqual(before.Status, account.Status)
	status.Actions = int32(len(used.actions)) //nolint:gosec // the API server holds fewer
	if before.Status.Actions == status.Actions && !changed || !changed && r.counts.wait(account.Name, now) > 0 {
		return nil
	}
	if err := r.Status().Patch(ctx, account, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write the status of CodePipelineAccount %s: %w", account.Name, err)
	}
	r.counts.written(account.Name, now)
	r.eventOnReadiness(account, before, ready)
	return nil
}

// eventOnReadiness records an event when the object becomes ready or stops being ready.
func (r *Reconciler) eventOnReadiness(account, before *v1alpha1.CodePipelineAccount, ready conditionOf) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady)
	if ready.Status == unknown || was != nil && was.Status == ready.Status && was.Reason == ready.Reason {
		return
	}
	kind := corev1.EventTypeNormal
	if ready.Status != isTrue {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(account, nil, kind, ready.Reason, "Reconcile", "%s", limits.CutBytes(ready.Message, limits.EventNote))
}

// throttledAt returns when a call with the account was last throttled, in any of its regions.
func (r *Reconciler) throttledAt(account *v1alpha1.CodePipelineAccount) (last time.Time) {
	for _, region := range account.Spec.Regions {
		at := r.Lanes.ThrottledAt(lanes.Of(r.identity(account, region)))
		if at.After(last) {
			last = at
		}
	}
	return last
}

// identity returns the identity for calls about the account itself.
func (r *Reconciler) identity(account *v1alpha1.CodePipelineAccount, region v1alpha1.Region) codepipeline.Identity {
	return identity.Of(account, r.ClusterID, identity.Caller{Region: region, Namespace: r.Namespace})
}
