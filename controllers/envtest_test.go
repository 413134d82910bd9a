package controllers

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

// skewedClock is a clock that tests move ahead. Waits take their time.
type skewedClock struct {
	clock.RealClock
	ahead atomic.Int64 // time.Duration
}

func (c *skewedClock) step(by time.Duration) { c.ahead.Add(int64(by)) }

func (c *skewedClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.ahead.Load())) }

func (c *skewedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

type emulatorOptions = emulator.Options

// redispatch is when a job that was polled and is not acknowledged comes again,
// in tests that wait for it.
const redispatch = 500 * time.Millisecond

// patience is how long a test waits for anything.
const patience = 30 * time.Second

var (
	environment      = &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	startEnvironment = sync.OnceValues(func() (*rest.Config, error) { return environment.Start() })
)

func TestMain(m *testing.M) {
	logf.SetLogger(logr.Discard())
	// Tests that run at once mostly wait.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if environment.Config != nil {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// world is an API server, an emulated AWS and the operator between them. There
// is no kubelet and no Job controller: the test plays them.
type world struct {
	*WithT
	t         *testing.T
	ctx       context.Context
	kube      client.Client
	config    *rest.Config
	namespace string
	aws       *emulator.Server
	pipelines *sdk.Client
	objects   *s3.Client
	logs      *logBook
	clock     *skewedClock
	// adjust changes the operator's options.
	adjust []func(*Options)
	// endpoint is where the operator finds AWS.
	endpoint string
	// wrap stands between the operator and the API server, if it is set.
	wrap func(http.RoundTripper) http.RoundTripper
	// executionInterval is the operator's; zero: stopped executions are not noticed.
	executionInterval time.Duration
}

// newWorld makes a world with a namespace of its own. The operator is not
// started yet.
func newWorld(t *testing.T, adjust ...func(*emulatorOptions)) *world {
	w := &world{WithT: NewWithT(t), t: t, ctx: t.Context(), logs: &logBook{}, clock: &skewedClock{}}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run 'make test-unit', or set it to bin/k8s")
	}
	var err error
	w.config, err = startEnvironment()
	w.Expect(err).NotTo(HaveOccurred())
	scheme, err := NewScheme()
	w.Expect(err).NotTo(HaveOccurred())
	w.kube, err = client.New(w.config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	w.Expect(w.kube.Create(w.ctx, namespace)).To(Succeed())
	w.namespace = namespace.Name

	options := emulatorOptions{
		Buckets:           []string{"source", "artifacts"},
		ContinuationDelay: time.Millisecond, CreateOnly: true,
	}
	for _, change := range adjust {
		change(&options)
	}
	w.aws = emulator.StartT(t, options)
	w.endpoint = w.aws.URL()
	cfg, err := config.LoadDefaultConfig(w.ctx, w.cloud()...)
	w.Expect(err).NotTo(HaveOccurred())
	w.pipelines, w.objects = sdk.NewFromConfig(cfg), s3.NewFromConfig(cfg)
	return w
}

// cloud configures clients of the emulated AWS.
func (w *world) cloud() []func(*config.LoadOptions) error {
	return []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(w.endpoint), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
}

// operate starts an operator and returns how to stop it.
func (w *world) operate() (stop func()) {
	scheme, err := NewScheme()
	w.Expect(err).NotTo(HaveOccurred())
	cached, err := CacheOptions()
	w.Expect(err).NotTo(HaveOccurred())
	cached.DefaultNamespaces = map[string]cache.Config{w.namespace: {}} // other tests leave objects behind
	reached := rest.CopyConfig(w.config)
	if w.wrap != nil {
		reached.Wrap(w.wrap)
	}
	mgr, err := ctrl.NewManager(reached, ctrl.Options{
		Scheme: scheme, Cache: cached,
		Metrics: metricsserver.Options{BindAddress: "0"},
		// One operator after another in this process; a panic is a test's failure.
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(false)},
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(w.ctx)
	options := Options{
		Clock: w.clock, Workload: jobspec.Options{RunnerImage: "operator:test"}, Logs: w.logs, ExecutionInterval: w.executionInterval,
		AWS: codepipeline.NewClients(w.cloud()...), ClusterID: "here", EventQueueAWS: w.cloud(),
	}
	for _, change := range w.adjust {
		change(&options)
	}
	w.Expect(Setup(ctx, mgr, options)).To(Succeed())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		w.Expect(<-stopped).To(Succeed())
	})
	w.t.Cleanup(stop)
	return stop
}

// action is a valid CustomAction, named "work", that polls often.
func (w *world) action(changes ...func(*v1alpha1.CustomAction)) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", Namespace: w.namespace}}
	action.Spec.AWS.Region = "us-east-1"
	action.Spec.ActionType = v1alpha1.ActionType{
		Category: "Test", Provider: "work", Version: "1",
		ConfigurationProperties: []v1alpha1.ConfigurationProperty{{Name: "Target"}, {Name: "Token", Secret: true}},
		InputArtifactDetails:    v1alpha1.ArtifactDetails{MaximumCount: 1},
		OutputArtifactDetails:   v1alpha1.ArtifactDetails{MaximumCount: 1},
	}
	action.Spec.Polling.Interval = metav1.Duration{Duration: time.Second}
	action.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "work", Image: "work:1"}}
	for _, change := range changes {
		change(action)
	}
	return action
}

// startPipeline makes a pipeline source → work, whose action is that of the
// CustomAction "work", and starts it.
func (w *world) startPipeline(configuration map[string]string) {
	_, err := w.objects.PutObject(w.ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())
	work := pipeline.NewAction("work", pipeline.CustomType("Test", "work", "1")).Inputs("source")
	for property, value := range configuration {
		work = work.Configure(property, value)
	}
	_, err = w.pipelines.CreatePipeline(w.ctx, pipeline.New("p", "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", work).CreateInput())
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.pipelines.StartPipelineExecution(w.ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
}

// workState is the state of the action "work" as CodePipeline tells it.
func (w *world) workState(g Gomega) *types.ActionExecution {
	state, err := w.pipelines.GetPipelineState(w.ctx, &sdk.GetPipelineStateInput{Name: aws.String("p")})
	g.Expect(err).NotTo(HaveOccurred())
	latest := state.StageStates[1].ActionStates[0].LatestExecution
	g.Expect(latest).NotTo(BeNil())
	return latest
}

// eventually polls check until it holds.
func (w *world) eventually(check func(Gomega)) {
	w.t.Helper()
	w.Eventually(check).WithTimeout(patience).WithPolling(20 * time.Millisecond).Should(Succeed())
}

// pipelineJob is the one PipelineJob of the namespace.
func (w *world) pipelineJob(g Gomega) *v1alpha1.PipelineJob {
	var jobs v1alpha1.PipelineJobList
	g.Expect(w.kube.List(w.ctx, &jobs, client.InNamespace(w.namespace))).To(Succeed())
	g.Expect(jobs.Items).To(HaveLen(1))
	return &jobs.Items[0]
}

// jobs are the Kubernetes Jobs of the namespace.
func (w *world) jobs(g Gomega) []batchv1.Job {
	var jobs batchv1.JobList
	g.Expect(w.kube.List(w.ctx, &jobs, client.InNamespace(w.namespace))).To(Succeed())
	return jobs.Items
}

// runningJob waits for the Kubernetes Job of a run.
func (w *world) runningJob(run int) *batchv1.Job {
	w.t.Helper()
	var job *batchv1.Job
	w.eventually(func(g Gomega) {
		pj := w.pipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(pj.Status.Run.Number).To(BeEquivalentTo(run))
		jobs := w.jobs(g)
		g.Expect(jobs).To(HaveLen(run))
		for i := range jobs {
			if jobs[i].Name == pj.Status.Run.JobName {
				job = &jobs[i]
			}
		}
		g.Expect(job).NotTo(BeNil())
	})
	return job
}

// succeed plays the kubelet and the Job controller: the pod of a Job gave a
// result, and the Job is complete.
func (w *world) succeed(job *batchv1.Job, given result.Result) {
	w.t.Helper()
	message, err := json.Marshal(result.Envelope{Result: &given})
	w.Expect(err).NotTo(HaveOccurred())
	w.addPod(job, corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
		terminated(contract.ContainerReport, 0, string(message)),
	}})
	w.endJob(job, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
}

// failStep plays the same for a step that failed.
func (w *world) failStep(job *batchv1.Job, lastLines string) {
	w.t.Helper()
	w.addPod(job, corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{
		terminated("work", 3, lastLines),
	}})
	w.endJob(job, batchv1.JobFailureTarget, batchv1.JobFailed)
}

func terminated(name string, code int32, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message,
	}}}
}

func (w *world) addPod(job *batchv1.Job, status corev1.PodStatus) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}},
		Spec:       job.Spec.Template.Spec,
	}
	for key, value := range job.Spec.Template.Labels {
		pod.Labels[key] = value
	}
	w.Expect(w.kube.Create(w.ctx, pod)).To(Succeed())
	pod.Status = status
	w.Expect(w.kube.Status().Update(w.ctx, pod)).To(Succeed())
}

func (w *world) endJob(job *batchv1.Job, conditions ...batchv1.JobConditionType) {
	w.t.Helper()
	now := metav1.Now()
	job.Status.StartTime = &now
	for _, condition := range conditions {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now, LastProbeTime: now,
		})
		if condition == batchv1.JobComplete {
			job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		}
	}
	w.Expect(w.kube.Status().Update(w.ctx, job)).To(Succeed())
}

// calls counts the calls of an operation that CodePipeline took.
func (w *world) calls(operation string) int {
	count := 0
	for _, call := range w.aws.Journal() {
		if call.Operation == operation && call.Error == "" {
			count++
		}
	}
	return count
}
