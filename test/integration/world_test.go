package integration

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

func TestMain(m *testing.M) { harness.Run(m) }

// world is harness.World with the operator in it.
type world struct {
	*harness.World
	// adjust changes the operator's options.
	adjust []func(*operator.Options)
	// wrap wraps the operator's transport to the API server, if set.
	wrap func(http.RoundTripper) http.RoundTripper
	// neighbours are additional namespaces in which the operator works.
	neighbours []string
	// executionInterval is the operator's option. Zero means that stopped executions are not
	// noticed.
	executionInterval time.Duration
	// log receives the operator's log, if set.
	log logr.Logger
}

// newWorld returns a world whose operator is not started yet.
func newWorld(t *testing.T, adjust ...func(*emulator.Options)) *world {
	return &world{World: harness.New(t, adjust...)}
}

// operate starts an operator and returns a function that stops it.
func (w *world) operate() (stop func()) {
	scheme, err := operator.NewScheme()
	w.Expect(err).NotTo(HaveOccurred())
	cached, err := operator.CacheOptions()
	w.Expect(err).NotTo(HaveOccurred())
	cached.DefaultNamespaces = map[string]cache.Config{w.Namespace: {}} // other tests leave objects behind
	for _, name := range w.neighbours {
		cached.DefaultNamespaces[name] = cache.Config{}
	}
	cached.ByObject[&v1alpha1.CodePipelineAccount{}] = cache.ByObject{Label: labels.SelectorFromSet(labels.Set{harness.LabelNamespace: w.Namespace})}
	reached := rest.CopyConfig(w.Config)
	if w.wrap != nil {
		reached.Wrap(w.wrap)
	}
	mgr, err := ctrl.NewManager(reached, ctrl.Options{
		Scheme: scheme, Cache: cached, Logger: w.log,
		Metrics: metricsserver.Options{BindAddress: "0"},
		// Operators run one after another in this process. A panic must fail the test.
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(false)},
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(w.Ctx)
	options := operator.Options{
		Clock: w.Clock, JobOptions: jobspec.Options{RunnerImage: "operator:test"}, Logs: w.Logs, ExecutionInterval: w.executionInterval,
		AWSConfig: w.Cloud(), ClusterID: "here",
	}
	for _, change := range w.adjust {
		change(&options)
	}
	w.Expect(operator.Setup(ctx, mgr, options)).To(Succeed())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		w.Expect(<-stopped).To(Succeed())
	})
	w.T.Cleanup(stop)
	return stop
}
