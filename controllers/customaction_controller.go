package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/internal/workload"
)

// driftInterval is how often a registered action type is compared with its
// definition again.
const driftInterval = 10 * time.Minute

// lastPollEvery is how old status.lastPollTime may get before it is written
// anew: each write costs the API server.
const lastPollEvery = time.Minute

// CustomActionReconciler registers a CustomAction's type with CodePipeline and
// keeps it polled.
type CustomActionReconciler struct {
	client.Client
	// Live reads past the cache.
	Live   client.Reader
	AWS    *codepipeline.Clients
	Poller *poller.Poller
	// PollChanged brings the names of CustomActions whose polling changed.
	PollChanged <-chan event.TypedGenericEvent[types.NamespacedName]
	// ClusterID goes into the external ID with which roles are assumed.
	ClusterID string
	Clock     clock.PassiveClock

	registrations registrations
}

// SetupWithManager registers the reconciler.
func (r *CustomActionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	polls := handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName],
			queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			queue.Add(reconcile.Request{NamespacedName: e.Object})
		},
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.CustomAction{}).
		Owns(&v1alpha1.PipelineJob{}).
		WatchesRawSource(source.TypedChannel(r.PollChanged, polls)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryLast),
		}).
		Complete(r)
}

// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions/status,verbs=patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions/finalizers,verbs=update

// Reconcile checks the template, registers the action type and keeps it
// polled, or takes both back when the object is being deleted.
func (r *CustomActionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("action", req.NamespacedName))
	var action v1alpha1.CustomAction
	if err := r.Get(ctx, req.NamespacedName, &action); err != nil {
		if apierrors.IsNotFound(err) {
			r.Poller.Remove(req.NamespacedName)
			r.registrations.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	inFlight, err := r.jobsInFlight(ctx, &action)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !action.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.finalize(ctx, &action, inFlight)
	}
	if controllerutil.ContainsFinalizer(&action, v1alpha1.FinalizerCustomAction) {
		return r.keep(ctx, &action, inFlight)
	}
	before := action.DeepCopy()
	controllerutil.AddFinalizer(&action, v1alpha1.FinalizerCustomAction)
	if err := r.Patch(ctx, &action, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return ctrl.Result{}, fmt.Errorf("add the finalizer to CustomAction %s: %w", action.Name, err)
	}
	return r.keep(ctx, &action, inFlight)
}

// keep registers the action type, polls for it, and says so in the status.
func (r *CustomActionReconciler) keep(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(action)
	seen := observation{invalid: workload.Validate(action)}
	if codepipeline.KindOf(r.Poller.Health(name).Err) == codepipeline.ActionTypeNotFound {
		r.registrations.forget(name) // somebody has deleted it
	}
	if seen.invalid == nil {
		seen.registration = r.registrations.of(action, r.Clock.Now(), func() registration { return r.register(ctx, action) })
	}
	if seen.mayPoll(action) {
		r.Poller.Ensure(r.target(action))
		seen.poll = r.Poller.Health(name)
	} else {
		r.Poller.Remove(name)
	}
	err := r.writeStatus(ctx, action, func(status *v1alpha1.CustomActionStatus) {
		status.JobsInFlight = inFlight
		if last := seen.poll.LastPoll; status.LastPollTime == nil && !last.IsZero() ||
			status.LastPollTime != nil && last.Sub(status.LastPollTime.Time) >= lastPollEvery {
			status.LastPollTime = &metav1.Time{Time: last}
		}
		for _, condition := range conditionsOf(action, seen) {
			setActionCondition(status, condition)
		}
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.registration.retry {
		return ctrl.Result{}, seen.registration.err
	}
	return ctrl.Result{RequeueAfter: driftInterval}, nil
}

func (r *CustomActionReconciler) target(action *v1alpha1.CustomAction) poller.Target {
	target := poller.Target{
		Action:        client.ObjectKeyFromObject(action),
		Identity:      identity(action.Spec.AWS, r.ClusterID, action.Namespace),
		Type:          actionTypeID(action),
		Interval:      action.Spec.Polling.Interval.Duration,
		MaxConcurrent: action.Spec.Polling.MaxConcurrentJobs,
	}
	for key, value := range action.Spec.Polling.QueryParam { // one at most
		target.QueryKey, target.QueryValue = key, string(value)
	}
	return target
}

// finalize stops polling, lets running jobs finish, and only then takes the
// action type back, if it was told to.
func (r *CustomActionReconciler) finalize(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) error {
	if !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		return nil
	}
	if inFlight > 0 {
		return r.drain(ctx, action, inFlight)
	}
	r.Poller.Remove(client.ObjectKeyFromObject(action))
	if action.Spec.DeletionPolicy == v1alpha1.DeletionDelete && action.Spec.Registration == v1alpha1.RegistrationManaged {
		api, err := r.AWS.For(ctx, identity(action.Spec.AWS, r.ClusterID, action.Namespace))
		if err != nil {
			return err
		}
		// From a stale reading the type may be another object's by now.
		if err := mustBeNewest(ctx, r.Live, action, &v1alpha1.CustomAction{}); err != nil {
			return client.IgnoreNotFound(err)
		}
		if err := api.DeleteActionType(ctx, actionTypeID(action)); err != nil {
			return errors.Join(err, r.sayDeleting(ctx, action, inFlight, "being deleted: "+err.Error()))
		}
	}
	before := action.DeepCopy()
	controllerutil.RemoveFinalizer(action, v1alpha1.FinalizerCustomAction)
	if err := r.Patch(ctx, action, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release CustomAction %s: %w", action.Name, err))
	}
	return nil
}

// drain says that the object waits for its jobs. Jobs that will be handed out
// again, because their last run ended with a continuation token, can come back
// only through a poll: as long as there are such, polling goes on.
func (r *CustomActionReconciler) drain(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) error {
	continuing, err := r.continuing(ctx, action)
	if err != nil {
		return err
	}
	if continuing {
		target := r.target(action)
		target.MaxConcurrent = 0 // for new jobs
		r.Poller.Ensure(target)
	} else {
		r.Poller.Remove(client.ObjectKeyFromObject(action))
	}
	return r.sayDeleting(ctx, action, inFlight, fmt.Sprintf("being deleted: waiting for %d jobs to finish", inFlight))
}

func (r *CustomActionReconciler) sayDeleting(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32, message string) error {
	return r.writeStatus(ctx, action, func(status *v1alpha1.CustomActionStatus) {
		status.JobsInFlight = inFlight
		setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionFalse,
			Reason: v1alpha1.ReasonDeleting, Message: message})
		setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse,
			Reason: v1alpha1.ReasonDeleting, Message: message})
	})
}

func (r *CustomActionReconciler) jobs(ctx context.Context, action *v1alpha1.CustomAction) ([]v1alpha1.PipelineJob, error) {
	var jobs v1alpha1.PipelineJobList
	err := r.List(ctx, &jobs, client.InNamespace(action.Namespace),
		client.MatchingFields{poller.IndexAction: action.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list the PipelineJobs of CustomAction %s: %w", action.Name, err)
	}
	return jobs.Items, nil
}

func (r *CustomActionReconciler) jobsInFlight(ctx context.Context, action *v1alpha1.CustomAction) (int32, error) {
	jobs, err := r.jobs(ctx, action)
	inFlight := int32(0)
	for i := range jobs {
		if !jobs[i].Settled() {
			inFlight++
		}
	}
	return inFlight, err
}

func (r *CustomActionReconciler) continuing(ctx context.Context, action *v1alpha1.CustomAction) (bool, error) {
	jobs, err := r.jobs(ctx, action)
	for i := range jobs {
		if jobs[i].Status.ContinuationToken != "" && !jobs[i].Settled() {
			return true, err
		}
	}
	return false, err
}

// writeStatus is the one place that writes the status of a CustomAction.
func (r *CustomActionReconciler) writeStatus(ctx context.Context, action *v1alpha1.CustomAction, change func(*v1alpha1.CustomActionStatus)) error {
	before := action.DeepCopy()
	change(&action.Status)
	action.Status.ObservedGeneration = action.Generation
	for i := range action.Status.Conditions {
		action.Status.Conditions[i].ObservedGeneration = action.Generation
	}
	if equality.Semantic.DeepEqual(before.Status, action.Status) {
		return nil
	}
	if err := r.Status().Patch(ctx, action, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write the status of CustomAction %s: %w", action.Name, err)
	}
	return nil
}
