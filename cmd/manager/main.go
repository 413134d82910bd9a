// Command manager is the operator: it runs the reconcilers and the poller.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/scope"
)

// gracePeriod is how long running work may take to end on shutdown.
const gracePeriod = 30 * time.Second

func main() {
	o, err := parse()
	if err == nil {
		ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
		limitMemory()
		err = run(ctrl.SetupSignalHandler(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

// memoryShare is the part of the container's memory limit that Go may use. The kernel would kill
// the operator at the limit itself.
const memoryShare = 0.9

// garbageShare is how much garbage triggers a collection, in percent of the live heap. Most of the
// operator's heap is long-lived: with Go's default of 100, half of its memory would be garbage.
const garbageShare = 50

// limitMemory sets the memory limit of the Go runtime, unless $GOMEMLIMIT does or the container has
// no limit, and the garbage collection target, unless $GOGC does.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
	log := ctrl.Log.WithName("setup")
	limit, err := memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
	if err != nil {
		log.Info("Memory is not limited", "reason", err.Error())
		return
	}
	log.Info("Memory limit", "bytes", limit)
}

func run(ctx context.Context, o options) error {
	env, err := o.runner.env(ctrl.Log.WithName("setup"))
	if err != nil {
		return err
	}
	artifactArgs, err := o.artifacts.args()
	if err != nil {
		return err
	}
	mgr, where, err := newManager(ctx, o)
	if err != nil {
		return err
	}
	ctx, restart := context.WithCancel(ctx) // the Deployment restarts the operator after it ends
	defer restart()
	pod := self()
	image, err := o.runnerImageOf(ctx, mgr, pod)
	if err != nil {
		return err
	}
	err = operator.Setup(ctx, mgr, operator.Options{
		Clock: clock.RealClock{},
		JobOptions: jobspec.Options{
			RunnerImage: image, Runner: o.runner.options(env), ArtifactArgs: artifactArgs, WorkspaceSizeLimit: o.workspaceSizeLimit.Quantity,
		},
		ClusterID:          o.clusterID,
		ExecutionInterval:  o.executionInterval,
		ActionTimeout:      o.actionTimeout,
		CredentialsRenewal: o.renewal,
		MaxConcurrentJobs:  int32(o.maxConcurrentJobs), //nolint:gosec // parse has checked it
		LaneOptions:        o.lanes,
		Workers:            o.workers,
		AllowedRoles:       o.allowedRoles,
		EventQueueURL:      o.eventQueueURL,
		Metrics:            metrics.Registry,
		Self:               pod,
		Scope:              where,
		Restart:            restart,
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newManager returns a manager without controllers, and the scope of its cache.
func newManager(ctx context.Context, o options) (ctrl.Manager, scope.Scope, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, scope.Scope{}, fmt.Errorf("find the cluster: %w", err)
	}
	where, err := o.namespaces.examine(ctx, config)
	if err != nil {
		return nil, scope.Scope{}, err
	}
	mgr, err := managerOf(config, where, o)
	return mgr, where, err
}

func managerOf(config *rest.Config, where scope.Scope, o options) (ctrl.Manager, error) {
	scheme, err := operator.NewScheme()
	if err != nil {
		return nil, err
	}
	cached, err := operator.CacheOptions(where.Cached()...)
	if err != nil {
		return nil, err
	}
	managed := ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cached,
		Metrics:                 o.metrics.Server(),
		HealthProbeBindAddress:  o.healthAddress,
		GracefulShutdownTimeout: ptr.To(gracePeriod),
	}
	o.leader.apply(&managed)
	mgr, err := ctrl.NewManager(config, managed)
	if err != nil {
		return nil, fmt.Errorf("create the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}
