// Command manager is the operator: it runs the reconcilers and the poller.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/internal/workload"
)

type options struct {
	metricsAddress string
	healthAddress  string
	leaderElect    bool
	runnerImage    string
	clusterID      string
	log            zap.Options
}

func parse() (options, error) {
	var o options
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "Address that serves /metrics; 0 turns it off.")
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "Address that serves /healthz and /readyz.")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "Let one of several replicas work at a time.")
	flag.StringVar(&o.runnerImage, "runner-image", os.Getenv("RUNNER_IMAGE"), "Image with /runner for the pods of jobs: this program's own image (default $RUNNER_IMAGE).")
	flag.StringVar(&o.clusterID, "cluster-id", "", "Name of this cluster in the external ID (CLUSTER-ID/NAMESPACE) with which spec.aws.roleARN is assumed.")
	o.log.BindFlags(flag.CommandLine)
	flag.Parse()
	if o.runnerImage == "" {
		return o, fmt.Errorf("--runner-image is missing: set it, or $RUNNER_IMAGE, to the image that this program runs from")
	}
	return o, nil
}

func main() {
	o, err := parse()
	if err == nil {
		ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx := ctrl.SetupSignalHandler()
	mgr, err := newManager(o)
	if err != nil {
		return err
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.PipelineJob{}, poller.IndexAction, poller.IndexByAction); err != nil {
		return fmt.Errorf("index PipelineJobs: %w", err)
	}
	pods, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("make a client for pod logs: %w", err)
	}
	aws := &codepipeline.Clients{}
	changed := make(chan event.TypedGenericEvent[types.NamespacedName], 1024)
	polls := &poller.Poller{
		Client: mgr.GetClient(),
		Live:   mgr.GetAPIReader(),
		AWS:    aws,
		Clock:  clock.RealClock{},
		Changed: func(action types.NamespacedName) {
			changed <- event.TypedGenericEvent[types.NamespacedName]{Object: action}
		},
		Log: mgr.GetLogger().WithName("poller"),
	}
	if err := mgr.Add(polls); err != nil {
		return fmt.Errorf("add the poller: %w", err)
	}
	if err := (&controllers.CustomActionReconciler{
		Client:      mgr.GetClient(),
		AWS:         aws,
		Poller:      polls,
		PollChanged: changed,
		ClusterID:   o.clusterID,
	}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the CustomAction controller: %w", err)
	}
	if err := (&controllers.PipelineJobReconciler{
		Client:    mgr.GetClient(),
		Live:      mgr.GetAPIReader(),
		Pods:      pods,
		AWS:       aws,
		Clock:     clock.RealClock{},
		Events:    mgr.GetEventRecorder("pipelinejob-operator"),
		Workload:  workload.Options{RunnerImage: o.runnerImage, RunnerEnv: runnerEnv()},
		ClusterID: o.clusterID,
		Wake:      polls.Wake,
	}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the PipelineJob controller: %w", err)
	}
	return mgr.Start(ctx)
}

func newManager(o options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	ours, err := labels.Parse(v1alpha1.LabelPipelineJob)
	if err != nil {
		return nil, err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	stop := 30 * time.Second
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "pipelinejob-operator.codepipeline.pipelinejob.dev",
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &stop,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&batchv1.Job{}: {Label: ours},
				&corev1.Pod{}:  {Label: ours},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

// runnerEnv hands the SDK's endpoint settings on to the product's containers
// in jobs' pods, which talk to the same AWS.
func runnerEnv() []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	return env
}
