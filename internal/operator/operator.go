// Package operator wires the manager, the controllers, the poller, the event queue
// and the metrics together.
package operator

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/account"
	"github.com/pipelinejob/pipelinejob-operator/controllers/customaction"
	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/compact"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/eventqueue"
	"github.com/pipelinejob/pipelinejob-operator/internal/fairqueue"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/logs"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/internal/scope"
)

// Options configure the operator.
type Options struct {
	Clock clock.Clock
	// JobOptions are used for every Kubernetes Job.
	JobOptions jobspec.Options
	// ClusterID is part of the external ID with which roles are assumed. Empty means the UID of the
	// namespace kube-system.
	ClusterID string
	// ActionTimeout is how long CodePipeline waits for an action, from its first claim. Zero means
	// pipelinejob.DefaultActionTimeout.
	ActionTimeout time.Duration
	// ExecutionInterval is the time between two checks whether a pipeline execution was stopped.
	// Zero means no checks.
	ExecutionInterval time.Duration
	// CredentialsRenewal is the age at which the credentials of a job's artifacts are renewed. Zero
	// means DefaultRenewal.
	CredentialsRenewal time.Duration
	// MaxConcurrentJobs is the maximum number of jobs in flight of all actions together. Zero means
	// that only the limits of each action apply.
	MaxConcurrentJobs int32
	// Workers is the number of objects of a kind that are reconciled concurrently. Zero means
	// DefaultWorkers.
	Workers int
	// AWSTimeouts limit each call to CodePipeline. Zero values mean the defaults.
	AWSTimeouts codepipeline.Timeouts
	// LaneOptions limit the calls to each account and region. Setup sets the clock and the
	// log.
	LaneOptions lanes.Options
	// AllowedRoles are as in codepipeline.ClientsOptions.AllowedRoles.
	AllowedRoles []string
	// EventQueueURL is the URL of an SQS queue with CodePipeline's events, if there is one.
	EventQueueURL string
	// Metrics registers the metrics that are read from the cache. Nil means that there are none.
	Metrics prometheus.Registerer
	// Logs reads the logs of pods. Nil means the cluster's.
	Logs pipelinejob.PodLogs
	// Self is the operator's own pod, or nil if it does not run in a pod.
	Self *corev1.ObjectReference
	// AWSConfig configures the AWS clients, in addition to the environment.
	AWSConfig []codepipeline.LoadOption
	// Scope has the namespaces of the operator. The manager's cache must have the same.
	Scope scope.Scope
	// Restart ends the operator, so that it is restarted when it can work in another
	// namespace of its scope.
	Restart func()
}

// NewScheme returns a scheme with all types that the operator handles.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, v1alpha1.AddToScheme(scheme)
}

// CacheOptions returns options for a cache of the given namespaces, where none means all. It keeps
// only the Jobs and pods of PipelineJobs in memory, and only the fields that are read.
func CacheOptions(namespaces ...string) (cache.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelPipelineJob, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	selected := cache.ByObject{Label: labels.NewSelector().Add(*ours), Transform: trimmedBy(diagnosis.Trim)}
	options := cache.Options{
		NewInformer:      compact.NewInformer,
		DefaultTransform: trimmedBy(pipelinejob.Trim),
		ByObject:         map[client.Object]cache.ByObject{&batchv1.Job{}: selected, &corev1.Pod{}: selected},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options, nil
}

func trimmedBy(trim func(any)) toolscache.TransformFunc {
	return func(object any) (any, error) {
		trim(object)
		return compact.Of(object), nil
	}
}

// pollChanges is the number of changes of polling that can wait for the reconciler.
const pollChanges = 1024

// Setup adds the poller, both reconcilers and, with a queue, the reader of
// CodePipeline's events to a manager.
//
// Without a namespace to work in, it only waits for one.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := addWaiter(mgr, o); err != nil {
		return err
	}
	if !o.Scope.All() && len(o.Scope.Open) == 0 {
		return nil
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	var err error
	if o.ClusterID, err = clusterID(ctx, o.ClusterID, mgr.GetAPIReader()); err != nil {
		return err
	}
	if o.Logs == nil {
		pods, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return fmt.Errorf("create a client for pod logs: %w", err)
		}
		o.Logs = logs.NewCluster(pods)
	}
	calls, err := addLanes(mgr, o.LaneOptions)
	if err != nil {
		return err
	}
	aws := codepipeline.NewClients(codepipeline.ClientsOptions{
		AllowedRoles: o.AllowedRoles, Observe: observer(calls), Timeouts: o.AWSTimeouts,
	}, o.AWSConfig...)
	changed := make(chan event.TypedGenericEvent[types.NamespacedName], pollChanges)
	polls, err := addPoller(ctx, mgr, aws, calls, o, changed)
	if err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder("pipelinejob-operator")
	actions := &customaction.Reconciler{
		Client:      mgr.GetClient(),
		Live:        mgr.GetAPIReader(),
		AWS:         aws,
		Lanes:       calls,
		Poller:      polls,
		PollChanged: changed,
		ClusterID:   o.ClusterID,
		Clock:       o.Clock,
		Events:      recorder,
		JobOptions:  o.JobOptions,
		Self:        o.Self,
	}
	if err := actions.SetupWithManager(ctx, mgr, controllerOptions(o.Workers)); err != nil {
		return fmt.Errorf("set up the CustomAction controller: %w", err)
	}
	if err := addAccounts(mgr, aws, calls, o, recorder); err != nil {
		return err
	}
	if err := addJobs(mgr, aws, calls, o, recorder); err != nil {
		return err
	}
	if err := addCollector(mgr, calls, o); err != nil {
		return err
	}
	return addEventQueue(ctx, mgr, aws, o, polls)
}

// addWaiter adds the waiter for namespaces in which the operator can't work yet.
func addWaiter(mgr ctrl.Manager, o Options) error {
	if len(o.Scope.Waiting) == 0 {
		return nil
	}
	kube, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("create a client to wait for namespaces: %w", err)
	}
	waiter := &scope.Waiter{Kube: kube, Clock: o.Clock, Log: mgr.GetLogger().WithName("namespaces"), Waiting: o.Scope.Waiting, Restart: o.Restart}
	if err := mgr.Add(waiter); err != nil {
		return fmt.Errorf("add the waiter for namespaces: %w", err)
	}
	return nil
}

// logsInFlight is the number of logs that are read concurrently per node.
const logsInFlight = 8

// addLanes adds the lanes of all calls to AWS, or of other calls that may hang.
func addLanes(mgr ctrl.Manager, o lanes.Options) (*lanes.Lanes, error) {
	// The limits of AWS depend on real time, not on Options.Clock of a test.
	o.Clock, o.Log = clock.RealClock{}, mgr.GetLogger().WithName("lanes")
	calls := lanes.New(o)
	if err := mgr.Add(calls); err != nil {
		return nil, fmt.Errorf("add the lanes: %w", err)
	}
	return calls, nil
}

// addAccounts adds the controller of CodePipelineAccounts.
func addAccounts(mgr ctrl.Manager, aws *codepipeline.Clients, calls *lanes.Lanes, o Options, recorder events.EventRecorder) error {
	accounts := &account.Reconciler{
		Client: mgr.GetClient(), AWS: aws, Lanes: calls, ClusterID: o.ClusterID, Namespace: namespaceOf(o.Self), Clock: o.Clock, Events: recorder,
		ActionTimeout: actionTimeout(o),
	}
	if err := accounts.SetupWithManager(mgr, controllerOptions(o.Workers)); err != nil {
		return fmt.Errorf("set up the CodePipelineAccount controller: %w", err)
	}
	return nil
}

// namespaceOf returns the operator's namespace, even if it runs outside a cluster.
func namespaceOf(self *corev1.ObjectReference) string {
	if self == nil {
		return defaultNamespace
	}
	return self.Namespace
}

// defaultNamespace is the namespace in which config/default installs the operator.
const defaultNamespace = "pipelinejob-system"

// addJobs adds the controller of PipelineJobs, and the watcher of stopped executions.
func addJobs(mgr ctrl.Manager, aws *codepipeline.Clients, calls *lanes.Lanes, o Options, recorder events.EventRecorder) error {
	nodes, err := addLanes(mgr, lanes.Options{InFlight: logsInFlight})
	if err != nil {
		return err
	}
	identities := identity.Resolver{Reader: mgr.GetClient(), ClusterID: o.ClusterID}
	var jobs *pipelinejob.Reconciler
	executions := pipelinejob.NewExecutions(pipelinejob.ExecutionsOptions{
		Reader:     mgr.GetClient(),
		Unsettled:  client.MatchingFields{poller.IndexInFlight: poller.OfAnyAction},
		AWS:        aws,
		Lanes:      calls,
		Interval:   executionInterval(o),
		Clock:      o.Clock,
		Identities: identities,
		Events:     recorder,
		Log:        mgr.GetLogger().WithName("executions"),
		Over:       func(job types.NamespacedName) { jobs.Again(job) },
	})
	jobs = pipelinejob.New(pipelinejob.Options{
		Client:     mgr.GetClient(),
		Live:       mgr.GetAPIReader(),
		AWS:        aws,
		Lanes:      calls,
		NodeLanes:  nodes,
		Clock:      o.Clock,
		Events:     recorder,
		JobOptions: o.JobOptions,
		Identities: identities,
		Logs:       o.Logs,
		Renewal:    o.CredentialsRenewal,
		Executions: executions,
		Self:       o.Self,

		ActionTimeout: o.ActionTimeout,
	})
	if err := mgr.Add(executions); err != nil {
		return fmt.Errorf("add the watcher of stopped executions: %w", err)
	}
	if err := jobs.SetupWithManager(mgr, controllerOptions(o.Workers)); err != nil {
		return fmt.Errorf("set up the PipelineJob controller: %w", err)
	}
	return nil
}

// withEvents is the factor by which the interval between checks of executions is extended if events
// report stopped executions.
const withEvents = 10

func executionInterval(o Options) time.Duration {
	if o.EventQueueURL != "" {
		return withEvents * o.ExecutionInterval
	}
	return o.ExecutionInterval
}

// Delays of retries after errors, from a second to a minute. The number of retries is not limited,
// because an action stays open in CodePipeline for a day or longer.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

// DefaultWorkers is the number of objects of a kind that are reconciled concurrently. Workers wait
// only for the API server, which waits for etcd.
const DefaultWorkers = 50

func controllerOptions(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: cmp.Or(workers, DefaultWorkers),
		NewQueue:                fairqueue.New,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryLast),
	}
}

func actionTimeout(o Options) time.Duration {
	return cmp.Or(o.ActionTimeout, pipelinejob.DefaultActionTimeout)
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		object  client.Object
		field   string
		extract client.IndexerFunc
	}{
		{&v1alpha1.PipelineJob{}, poller.IndexInFlight, poller.IndexByAction},
		{&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut},
		{&v1alpha1.PipelineJob{}, indexActionExecution, indexByActionExecution},
		{&corev1.Pod{}, pipelinejob.IndexJob, pipelinejob.ByJob},
		{&v1alpha1.CustomAction{}, identity.IndexAccount, identity.ByAccount},
		{&v1alpha1.PipelineJob{}, identity.IndexAccount, identity.ByAccount},
	} {
		if err := indexer.IndexField(ctx, index.object, index.field, index.extract); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.object, index.field, err)
		}
	}
	return nil
}

func addPoller(ctx context.Context, mgr ctrl.Manager, aws *codepipeline.Clients, calls *lanes.Lanes, o Options, changed chan<- event.TypedGenericEvent[types.NamespacedName]) (*poller.Poller, error) {
	polls := &poller.Poller{
		Client:        mgr.GetClient(),
		Live:          mgr.GetAPIReader(),
		AWS:           aws,
		Lanes:         calls,
		Clock:         o.Clock,
		MaxConcurrent: o.MaxConcurrentJobs,
		KeepFor:       actionTimeout(o),
		Polled:        metrics.Poll,
		Changed: func(action types.NamespacedName) {
			select {
			case changed <- event.TypedGenericEvent[types.NamespacedName]{Object: action}:
			case <-ctx.Done():
			}
		},
		Log: mgr.GetLogger().WithName("poller"),
	}
	jobs, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.PipelineJob{})
	if err != nil {
		return nil, fmt.Errorf("get the informer of PipelineJobs: %w", err)
	}
	if err := polls.Watch(jobs); err != nil {
		return nil, err
	}
	if err := mgr.Add(polls); err != nil {
		return nil, fmt.Errorf("add the poller: %w", err)
	}
	return polls, nil
}

func addCollector(mgr ctrl.Manager, calls *lanes.Lanes, o Options) error {
	if o.Metrics == nil {
		return nil
	}
	err := o.Metrics.Register(collector{reader: mgr.GetClient(), clock: o.Clock, elected: mgr.Elected(), log: mgr.GetLogger().WithName("metrics")})
	if err != nil {
		return fmt.Errorf("register the metrics of jobs: %w", err)
	}
	if err := o.Metrics.Register(laneCollector{calls}); err != nil {
		return fmt.Errorf("register the metrics of lanes: %w", err)
	}
	return nil
}

func addEventQueue(ctx context.Context, mgr ctrl.Manager, aws *codepipeline.Clients, o Options, polls *poller.Poller) error {
	if o.EventQueueURL == "" {
		return nil
	}
	log := mgr.GetLogger().WithName("events")
	queue, err := eventqueue.New(ctx, eventqueue.Options{
		URL: o.EventQueueURL, Clock: o.Clock, Log: log, Observe: observeCall, Count: metrics.Message,
		Handler: &eventHandler{Client: mgr.GetClient(), poller: polls, log: log},
	}, aws)
	if err != nil {
		return err
	}
	if err := mgr.Add(queue); err != nil {
		return fmt.Errorf("add the reader of the event queue: %w", err)
	}
	return nil
}
