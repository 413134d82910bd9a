// Package customaction reconciles CustomActions: it registers their action types with
// CodePipeline, and has the poller poll for their jobs.
package customaction

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// DriftInterval is the time between two comparisons of a registered action type with its
// definition.
const DriftInterval = 10 * time.Minute

// countEvery is the shortest time between two writes of a status if only jobsInFlight and
// lastPollTime differ: they change with each job.
const countEvery = time.Minute

// Reconciler registers the action types of CustomActions with CodePipeline, and has the poller
// poll for their jobs.
type Reconciler struct {
	client.Client
	// Live reads from the API server, without the cache.
	Live client.Reader
	AWS  *codepipeline.Clients
	// Lanes run everything that calls AWS.
	Lanes  *lanes.Lanes
	Poller *poller.Poller
	// PollChanged has the names of CustomActions whose polling health changed.
	PollChanged <-chan event.TypedGenericEvent[types.NamespacedName]
	// ClusterID is part of the external ID for assuming roles, and of the tags of action types.
	ClusterID string
	Clock     clock.PassiveClock
	Events    events.EventRecorder
	// JobOptions apply to every Kubernetes Job.
	JobOptions jobspec.Options
	// Self is the operator's own pod, or nil. It gets the events that a namespace that is being
	// deleted does not accept.
	Self *corev1.ObjectReference

	examinations examinations
	holders      holders
	counts       counts
	noPodDryRun  sync.Once
	leading      sync.Once // sets leadingSince
	leadingSince time.Time
	queue        queue // nil before the controller starts
}

// queue takes CustomActions to reconcile.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager registers the reconciler and the cache index that it needs.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options controller.Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.CustomAction{}, indexActionType, indexByActionType); err != nil {
		return fmt.Errorf("index CustomActions by %s: %w", indexActionType, err)
	}
	polls := handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q queue) {
			q.Add(reconcile.Request{NamespacedName: e.Object})
		},
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.CustomAction{}).
		Owns(&v1alpha1.PipelineJob{}).
		Watches(&v1alpha1.CustomAction{}, handler.EnqueueRequestsFromMapFunc(r.sameActionType),
			builder.WithPredicates(concernsOthers)).
		Watches(&v1alpha1.CodePipelineAccount{}, handler.EnqueueRequestsFromMapFunc(r.ofAccount), builder.WithPredicates(changesAccess)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(source.TypedChannel(r.PollChanged, polls)).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			r.queue = q
			return nil
		})).
		WithOptions(options).
		Complete(r)
}

// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions/status,verbs=patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=customactions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconcile checks the template, registers the action type and has it polled. If the object is
// being deleted, it stops polling and deletes the action type if the deletion policy says so.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("action", req.NamespacedName))
	var action v1alpha1.CustomAction
	if err := r.Get(ctx, req.NamespacedName, &action); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.leading.Do(func() { r.leadingSince = r.Clock.Now() })
	jobs, err := r.mayBeHandedOut(ctx, &action)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !action.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, &action, jobs)
	}
	if err := r.addFinalizer(ctx, &action); err != nil {
		return ctrl.Result{}, err
	}
	r.recheckRefused(&action, jobs)
	return r.keep(ctx, &action, jobs)
}

// forget drops everything that the operator keeps for an action.
func (r *Reconciler) forget(ctx context.Context, action types.NamespacedName) {
	r.Poller.Forget(action)
	r.examinations.forget(action)
	r.counts.forget(action)
	metrics.Forget(action)
	r.releaseJobs(ctx, action)
}

// inFlight returns the number of jobs that are not settled.
func inFlight(jobs []v1alpha1.PipelineJob) (count int32) {
	for i := range jobs {
		if !jobs[i].Settled() {
			count++
		}
	}
	return count
}

func (r *Reconciler) addFinalizer(ctx context.Context, action *v1alpha1.CustomAction) error {
	if controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		return nil
	}
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, action, bounds.Adds(v1alpha1.FinalizerCustomAction)); err != nil {
		return fmt.Errorf("add the finalizer to CustomAction %s: %w", action.Name, err)
	}
	bounds.TrimAction(action) // the response has the whole object
	return nil
}

// keep registers the action type, has it polled, and writes the status.
func (r *Reconciler) keep(ctx context.Context, action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) (ctrl.Result, error) {
	seen, wait, err := r.observe(ctx, action, jobs)
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.pending != "" {
		left, err := r.leavePlace(ctx, action, seen, jobs)
		if err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{RequeueAfter: left}, r.sayPending(ctx, action, inFlight(jobs), seen.pending)
	}
	places, err := r.formerPlaces(ctx, action, seen.access, jobs)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.poll(action, seen.access, seen.mayPoll(action), places)
	seen.former = r.tellFormer(places)
	moved, left := r.wakeAfterMove(ctx, client.ObjectKeyFromObject(action)), r.giveWay(ctx, action, seen, jobs)
	if seen.mayPoll(action) {
		seen.poll = r.Poller.Health(client.ObjectKeyFromObject(action))
	}
	before := readiness(action)
	again, err := r.writeStatus(ctx, action, tally{inFlight(jobs), seen.poll.LastPoll}, func(status *v1alpha1.CustomActionStatus) {
		seen.examined.record(status)
		setActionConditions(status, action, seen)
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	r.eventOnReadiness(action, before)
	for _, sooner := range []time.Duration{wait, moved, left} {
		if sooner > 0 {
			again = min(again, sooner)
		}
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// observe determines whether the action may be polled, as far as that is known, and how long to
// wait until it is examined again: zero while it is being examined.
func (r *Reconciler) observe(ctx context.Context, action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) (observation, time.Duration, error) {
	now, name := r.Clock.Now(), client.ObjectKeyFromObject(action)
	seen := observation{now: now, examined: recorded(action)}
	allowed, err := r.accessOf(ctx, action)
	if seen.access, seen.pending = allowed, allowed.pending; err != nil || allowed.pending != "" || allowed.refused.err != nil {
		return seen, 0, err
	}
	if health := r.Poller.Health(name); codepipeline.KindOf(health.Err) == codepipeline.ActionTypeNotFound {
		r.examinations.recheck(name, health.FailingSince, now, 0) // the type was deleted
	}
	found, known, wait := r.examinations.of(action, now)
	if known && !found.isOf(allowed) { // the account or the spec has moved to another place since
		known, wait = false, 0
	}
	if wait <= 0 {
		r.examineInLane(ctx, action, allowed)
		wait = 0
	}
	if !known {
		seen.pending = "waiting for CodePipeline to list its action types"
		return seen, wait, nil
	}
	seen.examined = found
	if _, wrong := found.wrong(); wrong {
		return seen, wait, nil
	}
	if seen.taken, err = r.hold(ctx, action, seen, jobs); seen.taken.err != nil {
		wait = lastRetry // at the latest: a change of the other CustomAction starts a check, too
	}
	return seen, wait, err
}

// recorded returns the result of the last examination from the status.
func recorded(action *v1alpha1.CustomAction) examined {
	status := &action.Status
	return examined{accountID: status.AccountID, region: status.Region, arn: status.ActionTypeARN, tagKeys: status.TagKeys, owner: status.ActionTypeOwner}
}

// recordedOf returns what the status has about the action type in the account and region of a. It
// is empty if the last examination was in another place.
func recordedOf(action *v1alpha1.CustomAction, a access) examined {
	if known := recorded(action); known.isOf(a) {
		return known
	}
	return examined{accountID: a.accountID(), region: a.region}
}

// record writes the result to a status. An ARN, tags and an owner are valid only in their account
// and region, so all of them are written together.
func (e examined) record(status *v1alpha1.CustomActionStatus) {
	status.AccountID, status.Region = e.accountID, e.region
	status.ActionTypeARN, status.TagKeys, status.ActionTypeOwner = e.arn, e.tagKeys, e.owner
}

// poll has the poller poll for an action's jobs, unless no calls may be made for its namespace,
// and for its jobs in former places.
func (r *Reconciler) poll(action *v1alpha1.CustomAction, a access, newJobs bool, places []former) {
	if !a.works(action.Namespace) {
		r.Poller.Remove(client.ObjectKeyFromObject(action), polled(places)...)
		return
	}
	r.Poller.Ensure(r.target(action, a, newJobs), polled(places)...)
}

// sayPending writes what a new object waits for to its status. An object whose definition has
// changed keeps its conditions, and is polled as before, until there is a response.
func (r *Reconciler) sayPending(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32, message string) error {
	if readiness(action).Type != "" {
		return nil
	}
	_, err := r.writeStatus(ctx, action, tally{inFlight: inFlight}, func(status *v1alpha1.CustomActionStatus) {
		for _, kind := range []string{v1alpha1.ConditionRegistered, v1alpha1.ConditionPolling, v1alpha1.ConditionReady} {
			setActionCondition(status, metav1.Condition{Type: kind, Status: metav1.ConditionUnknown,
				Reason: v1alpha1.ReasonRegistering, Message: message})
		}
	})
	return err
}

func readiness(action *v1alpha1.CustomAction) metav1.Condition {
	if ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// eventOnReadiness records an event if the status or the reason of the condition Ready changed.
func (r *Reconciler) eventOnReadiness(action *v1alpha1.CustomAction, before metav1.Condition) {
	now := readiness(action)
	if now.Status == before.Status && now.Reason == before.Reason || now.Status == metav1.ConditionUnknown {
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	r.event(action, kind, now.Reason, "Reconcile", now.Message)
}

func (r *Reconciler) event(action *v1alpha1.CustomAction, kind, reason, did, note string) {
	r.Events.Eventf(action, nil, kind, reason, did, "%s", limits.CutBytes(note, limits.EventNote))
}

// target returns what the poller polls for. If no new jobs may be taken, the poller still polls
// for jobs that CodePipeline may hand out again: otherwise, their results would not be reported.
func (r *Reconciler) target(action *v1alpha1.CustomAction, a access, newJobs bool) poller.Target {
	target := poller.Target{
		Action:  client.ObjectKeyFromObject(action),
		Account: a.account.Name, AccountID: a.accountID(),
		Identity: r.identity(a, action),
		Type:     actionTypeID(action),
		Interval: action.Spec.Polling.Interval.Duration,
	}
	if newJobs {
		target.MaxConcurrent = action.Spec.Polling.MaxConcurrentJobs
	}
	for key, value := range action.Spec.Polling.QueryParam { // at most one
		target.QueryKey, target.QueryValue = key, string(value)
	}
	return target
}

// mayBeHandedOut lists the jobs of an action that CodePipeline may hand out: jobs that are not
// reported yet, and jobs for which it confirmed neither the claim nor a report.
func (r *Reconciler) mayBeHandedOut(ctx context.Context, action *v1alpha1.CustomAction) ([]v1alpha1.PipelineJob, error) {
	var jobs v1alpha1.PipelineJobList
	err := r.List(ctx, &jobs, client.InNamespace(action.Namespace),
		client.MatchingFields{poller.IndexMayBeHandedOut: action.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list the PipelineJobs of CustomAction %s: %w", action.Name, err)
	}
	now := r.Clock.Now()
	return slices.DeleteFunc(jobs.Items, func(job v1alpha1.PipelineJob) bool { return !job.MayBeHandedOutAt(now, r.Poller.KeepFor) }), nil
}

// writeStatus writes the status of a CustomAction; nothing else writes it. It returns how long to
// wait before the next call if nothing changes.
func (r *Reconciler) writeStatus(ctx context.Context, action *v1alpha1.CustomAction, current tally, change func(*v1alpha1.CustomActionStatus)) (time.Duration, error) {
	before, now, name := action.DeepCopy(), r.Clock.Now(), client.ObjectKeyFromObject(action)
	change(&action.Status)
	action.Status.ObservedGeneration = action.Generation
	for i := range action.Status.Conditions {
		action.Status.Conditions[i].ObservedGeneration = action.Generation
	}
	changed := !equality.Semantic.DeepEqual(before.Status, action.Status)
	current.set(&action.Status)
	if equality.Semantic.DeepEqual(before.Status, action.Status) {
		return DriftInterval, nil
	}
	if wait := r.counts.wait(name, now); !changed && wait > 0 {
		action.Status = before.Status
		return wait, nil
	}
	if err := r.Status().Patch(ctx, action, client.MergeFrom(before)); err != nil {
		if apierrors.IsForbidden(err) { // a policy does not name this operator, or a role is missing
			r.event(action, corev1.EventTypeWarning, v1alpha1.ReasonStatusRefused, "WriteStatus", err.Error())
		}
		return 0, fmt.Errorf("write the status of CustomAction %s: %w", action.Name, err)
	}
	r.counts.written(name, now)
	return DriftInterval, nil
}
