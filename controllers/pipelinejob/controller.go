// Package pipelinejob reconciles PipelineJobs: it takes each job through the protocol in
// docs/protocol.md. Deciding on the next step is a pure function (decide); the other files
// carry out the steps.
package pipelinejob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// Reconciler takes a PipelineJob through the protocol: acknowledge, run, record, report.
// Function decide picks the next step from what is recorded. Before each external effect there
// is a write that fails if the object was read from a stale cache, and after it a write that
// records it.
type Reconciler struct {
	Options

	reads        reads
	retries      retries
	wrote        wrote
	busy         busy
	queue        queue // nil before the controller is started
	leading      sync.Once
	leadingSince time.Time
}

// New returns a Reconciler.
func New(o Options) *Reconciler { return &Reconciler{Options: o} }

// Options configure a Reconciler.
type Options struct {
	client.Client
	// Live reads from the API server instead of the cache.
	Live client.Reader
	// Logs reads progress, and results that are too large for a termination message.
	Logs PodLogs
	AWS  *codepipeline.Clients
	// Lanes run the steps that call AWS.
	Lanes *lanes.Lanes
	// NodeLanes run the steps that read logs, because a node may hang.
	NodeLanes *lanes.Lanes
	Clock     clock.PassiveClock
	Events    events.EventRecorder
	// JobOptions apply to every Kubernetes Job.
	JobOptions jobspec.Options
	// Identities resolve the identity with which calls are made.
	Identities identity.Resolver
	// Renewal is the age at which a job's credentials are renewed. Default: DefaultRenewal.
	Renewal time.Duration
	// Executions knows which jobs CodePipeline no longer waits for.
	Executions *Executions
	// ActionTimeout is how long CodePipeline waits for an action. Default: DefaultActionTimeout.
	ActionTimeout time.Duration
	// Self is the operator's own pod. Events go to it if the namespace of their object is being
	// deleted. Nil: the operator does not run in a pod.
	Self *corev1.ObjectReference
}

// conflictRetry is the wait after a write conflict: the cache needs a moment to show the newer
// version.
const conflictRetry = time.Second

// atOnce is the wait before a new decision if no event may trigger it.
const atOnce = time.Millisecond

// SetupWithManager registers the reconciler. The cache must have identity.IndexAccount.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PipelineJob{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(jobOfPod)).
		Watches(&v1alpha1.CodePipelineAccount{}, handler.EnqueueRequestsFromMapFunc(r.ofAccount), builder.WithPredicates(changesAccess)).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			r.queue = q
			return nil
		})).
		WithOptions(options).
		Complete(r)
}

// jobOfPod maps a pod to its PipelineJob.
func jobOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.LabelPipelineJob]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=pipelinejobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=pipelinejobs/status,verbs=patch
// +kubebuilder:rbac:groups=codepipeline.pipelinejob.dev,resources=pipelinejobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;update;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=pipelinejob-system,resources=leases,verbs=get;create;update
// +kubebuilder:rbac:groups="",namespace=pipelinejob-system,resources=events,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,namespace=pipelinejob-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=pipelinejob-system,resources=pods,verbs=get

// Reconcile gathers what is recorded and decides on one step. It takes the step itself, or
// submits it to the account's lane if the step calls AWS.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.busy.enter(req.NamespacedName) {
		return ctrl.Result{}, nil // see requeue
	}
	result, handOver, err := r.advanceInWorker(ctx, req.NamespacedName)
	if handOver != nil {
		handOver() // only now, because the lane may start immediately
	}
	return result, err
}

// advanceInWorker leaves busy even after a panic, which controller-runtime turns into an
// error.
func (r *Reconciler) advanceInWorker(ctx context.Context, key types.NamespacedName) (ctrl.Result, func(), error) {
	defer r.busy.leave(key)
	return r.advance(ctx, key, takerWorker)
}

// advance takes one step. If the step is for another taker, it returns handOver, which submits
// it.
func (r *Reconciler) advance(ctx context.Context, key types.NamespacedName, by taker) (_ ctrl.Result, handOver func(), _ error) {
	var job v1alpha1.PipelineJob
	if err := r.Get(ctx, key, &job); err != nil {
		if apierrors.IsNotFound(err) {
			r.retries.forget(key)
			r.wrote.forget(key)
		}
		return ctrl.Result{}, nil, client.IgnoreNotFound(err)
	}
	if r.wrote.isOutdated(&job, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: Takeover}, nil, nil // the cache shows the newer version before that
	}
	outer := ctx
	log := logf.FromContext(ctx).WithValues("pipelineJob", key, "jobID", job.Spec.CodePipelineJob.ID,
		"action", types.NamespacedName{Namespace: job.Namespace, Name: job.Spec.ActionRef.Name})
	ctx = logf.IntoContext(ctx, log)

	s, action, err := r.gather(ctx, &job)
	if err != nil {
		return ctrl.Result{}, nil, err
	}
	next, wait := decide(s)
	this := attempt{next, job.Generation}
	if next != stepWait {
		wait = r.retries.wait(key, this, s.now)
	}
	switch {
	case next == stepWait, wait > 0:
		r.withdraw(key, s)
		return ctrl.Result{RequeueAfter: wait}, nil, nil
	case takerOf(next, s) > by:
		return ctrl.Result{RequeueAfter: s.lookAgainIn()}, func() { r.handOver(outer, key, next, s) }, nil
	}
	r.withdraw(key, s)
	log.V(1).Info("Next step", "step", next)
	result, err := r.settle(key, this, r.takeSafely(ctx, next, s, action))
	return result, nil, err
}

// settle remembers how a step went.
func (r *Reconciler) settle(key types.NamespacedName, this attempt, err error) (ctrl.Result, error) {
	var called calledError
	switch {
	case apierrors.IsConflict(err):
		if errors.As(err, &called) {
			r.retries.fail(key, this, err, r.Clock.Now())
		}
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // the object was read from a stale cache
	case err != nil:
		r.retries.fail(key, this, err, r.Clock.Now())
		return ctrl.Result{}, err
	}
	r.retries.succeed(key, this.step)
	if this.step == stepReadProgress || this.step == stepAskExecution {
		return ctrl.Result{RequeueAfter: atOnce}, nil // if nothing was new, no event triggers the next step
	}
	return ctrl.Result{}, nil
}

// gather reads everything that decide needs. The action is nil if it is gone.
func (r *Reconciler) gather(ctx context.Context, job *v1alpha1.PipelineJob) (state, *v1alpha1.CustomAction, error) {
	s := state{job: job, now: r.Clock.Now(), ttl: ptr.To(longestTTL), renewal: r.Renewal, longest: cmp.Or(r.ActionTimeout, DefaultActionTimeout) + timeoutMargin}
	if job.Settled() {
		r.Executions.forgetJob(job.UID)
	} else if job.Status.AcknowledgedAt != nil {
		s.answered = r.Executions.lastAnswer(job.UID)
	}
	r.leading.Do(func() { r.leadingSince = s.now })
	s.leadingSince = r.leadingSince
	s.failing = r.retries.failing(client.ObjectKeyFromObject(job), s.now)
	var noAccess *identity.NoAccessError
	id, err := r.Identities.OfJob(ctx, job)
	if err != nil && !errors.As(err, &noAccess) {
		return s, nil, err
	}
	if err == nil {
		r.retries.regain(client.ObjectKeyFromObject(job), s.now)
	}
	s.identity = id
	if s.deleting() {
		s.silentFor = r.Lanes.SilentFor(r.laneOf(s))
	}
	action := &v1alpha1.CustomAction{}
	err = r.Get(ctx, types.NamespacedName{Namespace: job.Namespace, Name: job.Spec.ActionRef.Name}, action)
	switch {
	case apierrors.IsNotFound(err):
		action = nil
	case err != nil:
		return s, nil, fmt.Errorf("read the CustomAction: %w", err)
	default:
		s.follow(action)
	}
	s.gracePeriods = gracePeriodsOf(action, cmp.Or(r.ActionTimeout, DefaultActionTimeout))
	if s.account, err = r.accountOf(ctx, job); err != nil {
		return s, nil, err
	}
	s.logRule = logRuleOf(action, s.account)
	s.closed = r.closed(s)
	if job.Status.Run == nil {
		return s, action, nil
	}
	if s.run, err = r.jobOfRun(ctx, job); err != nil || s.run == nil || job.Settled() {
		return s, action, err
	}
	pods, err := r.podsOfRun(ctx, job, s.run)
	if err != nil {
		return s, nil, err
	}
	s.pods, s.progressRead = pods, r.reads.of(job.UID)
	evidence := diagnosis.Evidence{
		Job: s.run, Pods: pods, Now: s.now, GracePeriods: s.gracePeriods, Secrets: len(job.Spec.SecretConfiguration) > 0,
		LogsStay: s.logRule.rule != v1alpha1.FailureLogAlways,
	}
	// If the end of the work is already decided, events would add nothing, and an error would
	// delay it.
	if !s.deleting() && !job.Status.HasResult() && diagnosis.NeedsEvents(evidence) {
		if evidence.Events, err = r.eventsOfRun(ctx, s.run, pods); err != nil {
			return s, nil, err
		}
		if evidence.Template, err = r.templateOf(ctx, evidence); err != nil {
			return s, nil, err
		}
	}
	s.outcome = diagnosis.Observe(evidence)
	s.recheck = soonest(s.recheck, s.outcome.Recheck)
	return s, action, nil
}

// longestTTL is the maximum of spec.ttlSecondsAfterFinished. It applies to objects from before
// the API server enforced it, and to PipelineJobs without a CustomAction.
const longestTTL = 30 * 24 * time.Hour

// follow applies the CustomAction's settings for its jobs.
func (s *state) follow(action *v1alpha1.CustomAction) {
	if seconds := action.Spec.TTLSecondsAfterFinished; seconds != nil {
		s.ttl = ptr.To(min(time.Duration(*seconds)*time.Second, longestTTL))
	}
	if progress := action.Spec.Progress; progress != nil {
		s.progressEvery = progress.Interval.Duration
	}
}

// closed returns why CodePipeline no longer waits for the job. It is empty if CodePipeline
// waits or if that is unknown, in which case the work continues.
func (r *Reconciler) closed(s state) string {
	switch {
	case s.job.Settled() || s.mustAcknowledge():
		return ""
	case s.job.Annotations[v1alpha1.AnnotationAbandoned] == v1alpha1.AbandonedByStop:
		return closedByAbandon
	case s.job.Annotations[v1alpha1.AnnotationAbandoned] == v1alpha1.AbandonedByUpdate:
		return closedByUpdate
	default:
		return r.Executions.closed(s.job)
	}
}

// templateOf reads the spec of a run's pods from the API server, because the cache has a
// trimmed one. It returns nil if the diagnosis does not need it.
func (r *Reconciler) templateOf(ctx context.Context, e diagnosis.Evidence) (*corev1.PodSpec, error) {
	if !diagnosis.NeedsTemplate(e) {
		return nil, nil
	}
	whole := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(e.Job), whole); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Job %s: %w", e.Job.Name, err)
	}
	return &whole.Spec.Template.Spec, nil
}

// podsOfRun lists the pods that a run's Job controls. If the Job has ended, the result is in a
// pod, and the cache may show the Job's end before the pods' end. The pods are then read from
// the API server, unless the Job succeeded and the cache shows the end of all of its pods.
func (r *Reconciler) podsOfRun(ctx context.Context, job *v1alpha1.PipelineJob, run *batchv1.Job) ([]corev1.Pod, error) {
	pods, err := r.listPods(ctx, r.Client, run, client.MatchingFields{IndexJob: naming.Group(string(run.UID))}, client.UnsafeDisableDeepCopy)
	resultIsDue := diagnosis.Finished(run) && job.Status.Run.FinishedAt == nil
	if err != nil || !resultIsDue || showsEnd(run, pods) {
		return pods, err
	}
	return r.listPods(ctx, r.Live, run, client.MatchingLabels{batchv1.JobNameLabel: run.Name})
}

// showsEnd reports whether pods show the end of a Job that succeeded. It can't tell for a Job
// that failed, because pods that its podFailurePolicy ignores are not counted.
func showsEnd(run *batchv1.Job, pods []corev1.Pod) bool {
	var succeeded, failed int32
	for i := range pods {
		switch pods[i].Status.Phase {
		case corev1.PodSucceeded:
			succeeded++
		case corev1.PodFailed:
			failed++
		default:
			return false
		}
	}
	return succeeded > 0 && succeeded >= run.Status.Succeeded && failed >= run.Status.Failed
}

// IndexJob is the cache's index of pods by the Job that controls them: the group of its UID.
const IndexJob = "controller.job"

// ByJob is the indexer for IndexJob.
func ByJob(pod client.Object) []string {
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "Job" {
		return []string{naming.Group(string(owner.UID))}
	}
	return nil
}

// listPods lists the pods that a run's Job controls, out of those that the options select. The
// caller must not change them.
func (r *Reconciler) listPods(ctx context.Context, reader client.Reader, run *batchv1.Job, which ...client.ListOption) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := reader.List(ctx, &pods, append(which, client.InNamespace(run.Namespace))...)
	if err != nil {
		return nil, fmt.Errorf("list the pods of Job %s: %w", run.Name, err)
	}
	// Anyone who may create pods can give them the label.
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !metav1.IsControlledBy(&pod, run) }), nil
}

// jobOfRun reads the Kubernetes Job of the current run. It returns nil if there is none that
// this PipelineJob controls. A Job that the cache does not show may be too new for it.
func (r *Reconciler) jobOfRun(ctx context.Context, job *v1alpha1.PipelineJob) (*batchv1.Job, error) {
	key := types.NamespacedName{Namespace: job.Namespace, Name: job.Status.Run.JobName}
	run := &batchv1.Job{}
	err := r.Get(ctx, key, run)
	if apierrors.IsNotFound(err) && job.Status.Run.JobUID != "" && job.Status.Run.FinishedAt == nil {
		err = r.Live.Get(ctx, key, run)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Job %s: %w", key.Name, err)
	}
	// The name and the UID come from the status, which may have been edited by hand.
	if !metav1.IsControlledBy(run, job) || string(run.UID) != job.Status.Run.JobUID && job.Status.Run.JobUID != "" {
		return nil, nil
	}
	return run, nil
}

// takeSafely turns a panic into an error, so that the step is retried later.
func (r *Reconciler) takeSafely(ctx context.Context, next step, s state, action *v1alpha1.CustomAction) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
		}
	}()
	return r.take(ctx, next, s, action)
}

func (r *Reconciler) take(ctx context.Context, next step, s state, action *v1alpha1.CustomAction) error {
	switch next {
	case stepAcknowledge:
		return r.acknowledge(ctx, s)
	case stepPlanRun:
		return r.planRun(ctx, s.job)
	case stepRenewSecret:
		return r.renewSecret(ctx, s)
	case stepCreateJob:
		return r.createJob(ctx, s, action)
	case stepNoteRunning:
		return r.noteRunning(ctx, s.job, s.outcome)
	case stepReadProgress:
		return r.readProgress(ctx, s)
	case stepSaveProgress:
		return r.saveProgress(ctx, s)
	case stepReportProgress:
		return r.reportProgress(ctx, s.job)
	case stepAskExecution:
		return r.askExecution(ctx, s.job)
	case stepRecordClosed:
		return r.recordClosed(ctx, s)
	case stepNoteOverdue:
		return r.noteOverdue(ctx, s.job)
	case stepRecordResult:
		return r.recordResult(ctx, s)
	case stepRecordLost:
		return r.recordFailure(ctx, s, v1alpha1.FailureSystemUnavailable, lost(s.job))
	case stepCancel:
		return r.cancel(ctx, s)
	case stepStopRun:
		return r.stopRun(ctx, s)
	case stepReport:
		return r.report(ctx, s)
	case stepDropSecret:
		return r.dropSecret(ctx, s.job)
	case stepExpire:
		return r.expire(ctx, s.job)
	case stepGiveUp:
		return r.giveUp(ctx, s.job)
	case stepRelease:
		return r.release(ctx, s)
	default:
		return fmt.Errorf("unknown step %s", next)
	}
}

// expire deletes a PipelineJob whose time to live is over, unless it has changed: the action
// may have been handed out again.
func (r *Reconciler) expire(ctx context.Context, job *v1alpha1.PipelineJob) error {
	err := r.Delete(ctx, job, client.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete PipelineJob %s: %w", job.Name, err)
	}
	return nil
}

// lost describes a run whose Kubernetes Job is gone. The operator itself stopped the Job if it
// had recorded an end that resume took back.
func lost(job *v1alpha1.PipelineJob) string {
	running := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionRunning)
	if running != nil && running.Reason == v1alpha1.ReasonJobFinished {
		return fmt.Sprintf("the Kubernetes Job %s was stopped because CodePipeline no longer accepted reports for the action, and then CodePipeline handed the action out again. Retry the action", job.Status.Run.JobName)
	}
	when := "while it was running"
	if meta.IsStatusConditionFalse(job.Status.Conditions, v1alpha1.ConditionComplete) { // Retrying
		when = "before its result could be read"
	}
	return fmt.Sprintf("the Kubernetes Job %s was deleted %s, and not by the operator. Retry the action", job.Status.Run.JobName, when)
}

// codePipeline returns the client for a job's account and region.
func (r *Reconciler) codePipeline(ctx context.Context, job *v1alpha1.PipelineJob) (*codepipeline.Client, error) {
	id, err := r.Identities.OfJob(ctx, job)
	if err != nil {
		return nil, err
	}
	return r.AWS.For(ctx, id)
}
