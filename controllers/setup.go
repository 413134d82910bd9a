package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/internal/workload"
)

// Options are what the operator needs beside a manager.
type Options struct {
	Clock clock.WithTicker
	// Workload says how Jobs are made.
	Workload workload.Options
	// ClusterID goes into the external ID with which roles are assumed.
	ClusterID string
	// ExecutionInterval is the time between two looks at a pipeline execution, to
	// notice that it was stopped; zero: none.
	ExecutionInterval time.Duration
	// Logs are those of pods; nil for the cluster's.
	Logs PodLogs
	// AWS makes the clients of CodePipeline; nil for ones that are configured by
	// the environment.
	AWS *codepipeline.Clients
}

// NewScheme knows all types that the operator handles.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, v1alpha1.AddToScheme(scheme)
}

// CacheOptions keep only the Jobs and Pods of PipelineJobs in memory, and of
// no object who manages which field.
func CacheOptions() (cache.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelPipelineJob, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	selected := cache.ByObject{Label: labels.NewSelector().Add(*ours)}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         map[client.Object]cache.ByObject{&batchv1.Job{}: selected, &corev1.Pod{}: selected},
	}, nil
}

// pollChanges is room for as many changes of polling as may come up before the
// reconciler takes them.
const pollChanges = 1024

// Setup adds the poller and both reconcilers to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.PipelineJob{}, poller.IndexAction, poller.IndexByAction); err != nil {
		return fmt.Errorf("index PipelineJobs: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.CustomAction{}, indexActionType, indexByActionType); err != nil {
		return fmt.Errorf("index CustomActions: %w", err)
	}
	if o.Logs == nil {
		pods, err := kubernetes.NewForConfig(mgr.GetConfig())
		if err != nil {
			return fmt.Errorf("make a client for pod logs: %w", err)
		}
		o.Logs = clusterLogs{pods}
	}
	aws := o.AWS
	if aws == nil {
		aws = codepipeline.NewClients()
	}
	changed := make(chan event.TypedGenericEvent[types.NamespacedName], pollChanges)
	polls := &poller.Poller{
		Client: mgr.GetClient(),
		Live:   mgr.GetAPIReader(),
		AWS:    aws,
		Clock:  o.Clock,
		Changed: func(action types.NamespacedName) {
			select {
			case changed <- event.TypedGenericEvent[types.NamespacedName]{Object: action}:
			case <-ctx.Done():
			}
		},
		Log: mgr.GetLogger().WithName("poller"),
	}
	if err := mgr.Add(polls); err != nil {
		return fmt.Errorf("add the poller: %w", err)
	}
	recorder := mgr.GetEventRecorder("pipelinejob-operator")
	actions := &CustomActionReconciler{
		Client:      mgr.GetClient(),
		Live:        mgr.GetAPIReader(),
		AWS:         aws,
		Poller:      polls,
		PollChanged: changed,
		ClusterID:   o.ClusterID,
		Clock:       o.Clock,
		Events:      recorder,
		Workload:    o.Workload,
	}
	if err := actions.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the CustomAction controller: %w", err)
	}
	jobs := &PipelineJobReconciler{
		Client:     mgr.GetClient(),
		Live:       mgr.GetAPIReader(),
		AWS:        aws,
		Clock:      o.Clock,
		Events:     recorder,
		Workload:   o.Workload,
		ClusterID:  o.ClusterID,
		Logs:       o.Logs,
		Wake:       polls.Wake,
		Executions: &executions{aws: aws, interval: o.ExecutionInterval, clock: o.Clock},
	}
	if err := jobs.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the PipelineJob controller: %w", err)
	}
	return nil
}
