// Package customaction reconciles CustomActions: it registers their action types
// with CodePipeline and keeps them polled.
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

// DriftInterval is how often a registered action type is compared with its
// definition again.
const DriftInterval = 10 * time.Minute

// countEvery is the shortest time between two writes of a status in which only
// jobsInFlight and lastPollTime differ: they change with each job.
const countEvery = time.Minute

// Reconciler registers a CustomAction's type with CodePipeline and
// keeps it polled.
type Reconciler struct {
	client.Client
	// Live reads past the cache.
	Live client.Reader
	AWS  *codepipeline.Clients
	// Lanes do what calls AWS.
	Lanes  *lanes.Lanes
	Poller *poller.Poller
	// PollChanged brings the names of CustomActions whose polling changed.
	PollChanged <-chan event.TypedGenericEvent[types.NamespacedName]
	// ClusterID goes into the external ID with which roles are assumed, and into the tags of
	// action types.
	ClusterID string
	Clock     clock.PassiveClock
	Events    events.EventRecorder
	// JobOptions are what every Kubernetes Job is made with.
	JobOptions jobspec.Options
	// Self is the operator's own pod: what can't be told in a namespace that is being
	// deleted is told in an event about it. It may be nil.
	Self *corev1.ObjectReference

	examinations examinations
	holders      holders
	counts       counts
	noPodDryRun  sync.Once
	leading      sync.Once // makes leadingSince
	leadingSince time.Time
	queue        queue // nil before the controller is started
}

// queue is where a CustomAction is put to be reconciled.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager registers the reconciler and the index of the cache that it
// needs.
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

// Reconcile checks the template, registers the action type and keeps it
// polled, or takes both back when the object is being deleted.
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

// forget has nothing be done for an action any longer.
func (r *Reconciler) forget(ctx context.Context, action types.NamespacedName) {
	r.Poller.Remove(action)
	r.examinations.forget(action)
	r.counts.forget(action)
	metrics.Forget(action)
	r.releaseJobs(ctx, action)
}

// inFlight counts the jobs that are not settled.
func inFlight(jobs []v1alpha1.PipelineJob) (count int32) {
	for i := range jobs {
		if !jobs[i].Settled() {
			count++
		}
	}
	return count
}

// addFinalizer adds the finalizer.
func (r *Reconciler) addFinalizer(ctx context.Context, action *v1alpha1.CustomAction) error {
	if controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		return nil
	}
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, action, bounds.Adds(v1alpha1.FinalizerCustomAction)); err != nil {
		return fmt.Errorf("add the finalizer to CustomAction %s: %w", action.Name, err)
	}
	bounds.TrimAction(action) // the answer has all of it
	return nil
}

// keep registers the action type, polls for it, and says so in the status.
func (r *Reconciler) keep(ctx context.Context, action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) (ctrl.Result, error) {
	seen, wait, err := r.observe(ctx, action, jobs)
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.pending != "" {
		if err := r.leavePlace(ctx, action, seen, jobs); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, r.sayPending(ctx, action, inFlight(jobs), seen.pending)
	}
	places, err := r.formerPlaces(ctx, action, seen.access, jobs)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.poll(action, seen.access, seen.mayPoll(action), places)
	seen.former = r.tellFormer(places)
	left := r.giveWay(ctx, action, seen, jobs)
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
	for _, sooner := range []time.Duration{wait, left} {
		if sooner > 0 {
			again = min(again, sooner)
		}
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// observe finds out whether the action may be polled for, as far as that is known, and
// how long it is until it is to be examined again: zero while it is being examined.
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
	if known && !found.isOf(allowed) { // it was elsewhere: the account has moved, or the spec
		known, wait = false, 0
	}
	if wait <= 0 {
		r.examineInLane(ctx, action, allowed)
		wait = 0
	}
	if !known {
		seen.pending = "CodePipeline is being asked for the action type"
		return seen, wait, nil
	}
	seen.examined = found
	if _, wrong := found.wrong(); wrong {
		return seen, wait, nil
	}
	if seen.taken, err = r.hold(ctx, action, seen, jobs); seen.taken.err != nil {
		wait = lastRetry // unless a change of the other comes before that
	}
	return seen, wait, err
}

// recorded is what the status has of an action that is not examined now.
func recorded(action *v1alpha1.CustomAction) examined {
	status := &action.Status
	return examined{accountID: status.AccountID, region: status.Region, arn: status.ActionTypeARN, tagKeys: status.TagKeys, owner: status.ActionTypeOwner}
}

// recordedOf is what the status has of an action type that is about to be looked for: nothing
// if that was elsewhere before.
func recordedOf(action *v1alpha1.CustomAction, a access) examined {
	if known := recorded(action); known.isOf(a) {
		return known
	}
	return examined{accountID: a.accountID(), region: a.region}
}

// record writes what was found. What is known of an action type counts in its account and region
// alone, so that all of it is written together.
func (e examined) record(status *v1alpha1.CustomActionStatus) {
	status.AccountID, status.Region = e.accountID, e.region
	status.ActionTypeARN, status.TagKeys, status.ActionTypeOwner = e.arn, e.tagKeys, e.owner
}

// poll has an action's jobs polled for, unless no call may be made for its namespace, and those
// that are awaited in former places.
func (r *Reconciler) poll(action *v1alpha1.CustomAction, a access, newJobs bool, places []former) {
	if !a.works(action.Namespace) {
		r.Poller.Remove(client.ObjectKeyFromObject(action), polled(places)...)
		return
	}
	r.Poller.Ensure(r.target(action, a, newJobs), polled(places)...)
}

// sayPending says what a new object waits for. One whose definition has changed is
// polled for as it was until the answer is there.
func (r *Reconciler) sayPending(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32, asked string) error {
	if readiness(action).Type != "" {
		return nil
	}
	_, err := r.writeStatus(ctx, action, tally{inFlight: inFlight}, func(status *v1alpha1.CustomActionStatus) {
		for _, kind := range []string{v1alpha1.ConditionRegistered, v1alpha1.ConditionPolling, v1alpha1.ConditionReady} {
			setActionCondition(status, metav1.Condition{Type: kind, Status: metav1.ConditionUnknown,
				Reason: v1alpha1.ReasonRegistering, Message: asked})
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

// eventOnReadiness records an event when the object becomes ready or stops being
// ready.
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

// target is what the poller is to ask for. Whether or not new jobs may be taken, it
// polls while a job is awaited: the result of that would stay unreported otherwise.
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
	for key, value := range action.Spec.Polling.QueryParam { // one at most
		target.QueryKey, target.QueryValue = key, string(value)
	}
	return target
}

// mayBeHandedOut lists the jobs of an action that CodePipeline may hand out: those that are not
// reported yet, and those of which it confirmed neither the claim nor a report.
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

// writeStatus writes the status of a CustomAction, and alone sets its conditions. It returns
// when it is to be called again though nothing changes until then.
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
		return 0, fmt.Errorf("write the status of CustomAction %s: %w", action.Name, err)
	}
	r.counts.written(name, now)
	return DriftInterval, nil
}
