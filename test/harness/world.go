// Package harness is the basis for tests of the reconcilers: an API server (envtest), an emulated
// AWS, and functions that act as the kubelet and the Job controller. Package integration starts the
// operator.
package harness

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimescheme "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

var (
	environment = &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join(repository(), "config", "crd", "bases")}, ErrorIfCRDPathMissing: true,
	}
	startEnvironment = sync.OnceValues(func() (*rest.Config, error) { return environment.Start() })
)

// repository is the root of the source tree.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Run is for TestMain. It runs the tests, several concurrently because they mostly wait, and stops
// the API server.
func Run(m *testing.M) {
	logf.SetLogger(logr.Discard())
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

// NewScheme returns a scheme with Kubernetes' own types and the operator's.
func NewScheme(g Gomega) *runtimescheme.Scheme {
	scheme := runtimescheme.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	return scheme
}

// World is an API server with a namespace for the test, and an emulated AWS. There is no kubelet
// and no Job controller: the test acts as both.
type World struct {
	*WithT
	T         *testing.T
	Ctx       context.Context
	Kube      client.Client
	Config    *rest.Config
	Namespace string
	AWS       *emulator.Server
	Pipelines *sdk.Client
	Objects   *s3.Client
	Logs      *LogBook
	Clock     *Clock
	// Endpoint is the operator's AWS endpoint.
	Endpoint string
}

// New returns a World.
func New(t *testing.T, adjust ...func(*emulator.Options)) *World {
	w := &World{WithT: NewWithT(t), T: t, Ctx: t.Context(), Logs: &LogBook{}, Clock: &Clock{}}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run 'make test-unit', or set it to bin/k8s")
	}
	var err error
	w.Config, err = startEnvironment()
	w.Expect(err).NotTo(HaveOccurred())
	scheme := NewScheme(w)
	w.Kube, err = client.New(w.Config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	w.Expect(w.Kube.Create(w.Ctx, namespace)).To(Succeed())
	w.Namespace = namespace.Name
	w.Expect(w.Kube.Create(w.Ctx, NewAccount(w.Namespace))).To(Succeed())

	options := emulator.Options{
		Buckets:           []string{"source", "artifacts"},
		ContinuationDelay: time.Millisecond, CreateOnly: true,
	}
	for _, change := range adjust {
		change(&options)
	}
	w.AWS = emulator.StartT(t, options)
	w.Endpoint = w.AWS.URL()
	cfg, err := config.LoadDefaultConfig(w.Ctx, w.Cloud()...)
	w.Expect(err).NotTo(HaveOccurred())
	w.Pipelines, w.Objects = sdk.NewFromConfig(cfg), s3.NewFromConfig(cfg)
	return w
}

// Clock is a clock that tests can move ahead. Waits take real time.
type Clock struct {
	clock.RealClock
	ahead  atomic.Int64 // time.Duration
	frozen atomic.Pointer[time.Time]
}

// Freeze stops the clock. Only Step moves it afterwards.
func (c *Clock) Freeze() {
	now := time.Now()
	c.frozen.Store(&now)
}

// Step moves the clock ahead.
func (c *Clock) Step(by time.Duration) { c.ahead.Add(int64(by)) }

// Now returns the time of this clock.
func (c *Clock) Now() time.Time {
	now := c.RealClock.Now()
	if frozen := c.frozen.Load(); frozen != nil {
		now = *frozen
	}
	return now.Add(time.Duration(c.ahead.Load()))
}

// Since returns the time since t by this clock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Redispatch is when a job that was polled but not acknowledged is handed out again, in tests that
// wait for it.
const Redispatch = 3 * time.Second

// Timeout is when a test gives up waiting.
const Timeout = 2 * time.Minute

// Cloud returns the configuration for clients of the emulated AWS.
func (w *World) Cloud() []func(*config.LoadOptions) error {
	return []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(w.Endpoint), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
}

// LabelNamespace has the namespace of a World on its CodePipelineAccounts. They are cluster-scoped,
// and operators of other tests must ignore them.
const LabelNamespace = "test/namespace"

// NewAccount returns a CodePipelineAccount with the name of a namespace, which grants this
// namespace full access.
func NewAccount(namespace string, changes ...func(*v1alpha1.CodePipelineAccount)) *v1alpha1.CodePipelineAccount {
	account := &v1alpha1.CodePipelineAccount{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{LabelNamespace: namespace}}}
	account.Spec.Regions = []v1alpha1.Region{"us-east-1"}
	account.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{namespace}}, MayRegister: true}}
	for _, change := range changes {
		change(account)
	}
	return account
}

// InUse sets the status of an account with which the operator makes calls for namespaces.
func InUse(account *v1alpha1.CodePipelineAccount, namespaces ...string) {
	account.Status.AccountID, account.Status.ProvenRoleARN = "111122223333", account.Spec.RoleARN
	account.Status.Namespaces, account.Status.Regions = namespaces, account.Spec.Regions
}

// Action returns a valid CustomAction "work" that polls often.
func (w *World) Action(changes ...func(*v1alpha1.CustomAction)) *v1alpha1.CustomAction {
	return NewAction(w.Namespace, changes...)
}

// NewAction is like World.Action, for a given namespace.
func NewAction(namespace string, changes ...func(*v1alpha1.CustomAction)) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", Namespace: namespace}}
	action.Spec.AccountRef.Name = namespace
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

// StartPipeline creates a pipeline source → work with the action type of the CustomAction "work",
// and starts it.
func (w *World) StartPipeline(configuration map[string]string) { w.Start(pipelineOf(configuration)) }

// StartPipelineWithoutArtifacts is StartPipeline without artifacts of the action "work".
func (w *World) StartPipelineWithoutArtifacts() {
	w.Start(PipelineWith("p", pipeline.NewAction("work", WorkType())))
}

// Start creates a pipeline "p" and starts it.
func (w *World) Start(p pipeline.Pipeline) {
	_, err := w.Objects.PutObject(w.Ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.Pipelines.CreatePipeline(w.Ctx, p.CreateInput())
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
}

// WorkState returns CodePipeline's state of the action "work".
func (w *World) WorkState(g Gomega) *types.ActionExecution {
	state, err := w.Pipelines.GetPipelineState(w.Ctx, &sdk.GetPipelineStateInput{Name: aws.String("p")})
	g.Expect(err).NotTo(HaveOccurred())
	latest := state.StageStates[1].ActionStates[0].LatestExecution
	g.Expect(latest).NotTo(BeNil())
	return latest
}

// Await polls check until it succeeds.
func (w *World) Await(check func(Gomega)) {
	w.T.Helper()
	w.Eventually(check).WithTimeout(Timeout).WithPolling(20 * time.Millisecond).Should(Succeed())
}

// PipelineJob returns the only PipelineJob of the namespace.
func (w *World) PipelineJob(g Gomega) *v1alpha1.PipelineJob {
	var jobs v1alpha1.PipelineJobList
	g.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace))).To(Succeed())
	g.Expect(jobs.Items).To(HaveLen(1))
	return &jobs.Items[0]
}

// Jobs returns the Kubernetes Jobs of the namespace.
func (w *World) Jobs(g Gomega) []batchv1.Job {
	var jobs batchv1.JobList
	g.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace))).To(Succeed())
	return jobs.Items
}

// RunningJob waits for the Kubernetes Job of a run.
func (w *World) RunningJob(run int) *batchv1.Job {
	w.T.Helper()
	var job *batchv1.Job
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(pj.Status.Run.Number).To(BeEquivalentTo(run))
		jobs := w.Jobs(g)
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

// Succeed acts as the kubelet and the Job controller: the pod of a Job has a result, and the Job
// completes.
func (w *World) Succeed(job *batchv1.Job, given podcontract.Result) {
	w.T.Helper()
	w.GiveBack(job, podcontract.RunResult{Result: given})
}

// GiveBack is Succeed with further findings of the report container.
func (w *World) GiveBack(job *batchv1.Job, given podcontract.RunResult) {
	w.T.Helper()
	message, err := json.Marshal(podcontract.Envelope{Result: &given})
	w.Expect(err).NotTo(HaveOccurred())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
		Terminated(podcontract.ContainerReport, 0, string(message)),
	}})
	w.EndJob(job, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
}

// FailStep does the same for a failed step.
func (w *World) FailStep(job *batchv1.Job, lastLines string) {
	w.T.Helper()
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{
		Terminated("work", 3, lastLines),
	}})
	w.EndJob(job, batchv1.JobFailureTarget, batchv1.JobFailed)
}

// Terminated returns the status of an ended container.
func Terminated(name string, code int32, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message,
	}}}
}

// AddPod creates a pod of a Job with a status, like the Job controller, or updates the status of an
// existing one. If the clock was moved before the status is written, the pod briefly looks as if no
// scheduler had handled it for that time.
func (w *World) AddPod(job *batchv1.Job, status corev1.PodStatus) {
	w.T.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}},
		Spec:       job.Spec.Template.Spec,
	}
	w.Expect(controllerutil.SetControllerReference(job, pod, w.Kube.Scheme())).To(Succeed())
	for key, value := range job.Spec.Template.Labels {
		pod.Labels[key] = value
	}
	err := w.Kube.Create(w.Ctx, pod)
	if apierrors.IsAlreadyExists(err) {
		err = w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(pod), pod)
	}
	w.Expect(err).NotTo(HaveOccurred())
	pod.Status = status
	w.Expect(w.Kube.Status().Update(w.Ctx, pod)).To(Succeed())
}

// EndJob adds conditions to a Job, like the Job controller.
func (w *World) EndJob(job *batchv1.Job, conditions ...batchv1.JobConditionType) {
	w.T.Helper()
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
	w.Expect(w.Kube.Status().Update(w.Ctx, job)).To(Succeed())
}

// Calls returns the number of an operation's calls that CodePipeline received.
func (w *World) Calls(operation string) int {
	count := 0
	for _, call := range w.AWS.Journal() {
		if call.Operation == operation && call.Error == "" {
			count++
		}
	}
	return count
}
