package poller

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	sdktypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// station is a poller with an emulated AWS. The test moves the clock of both.
type station struct {
	*WithT
	ctx       context.Context
	aws       *emulator.Emulator
	pipelines *sdk.Client
	clock     *clocktesting.FakeClock
	kube      client.WithWatch
	poller    *Poller
	target    Target

	mu sync.Mutex
	// creating is called before each creation of a PipelineJob, if it is set.
	creating func(context.Context, *v1alpha1.PipelineJob) error
	// patching is called before each patch, if it is set.
	patching  func() error
	published []Health
}

var action = types.NamespacedName{Namespace: "team", Name: "work"}

// deadline is how long a test waits for anything.
const deadline = 30 * time.Second

func newStation(t *testing.T, adjust ...func(*emulator.Options)) *station {
	s := &station{WithT: NewWithT(t), ctx: t.Context(), clock: clocktesting.NewFakeClock(time.Now())}
	options := emulator.Options{Clock: s.clock, Buckets: []string{"source", "artifacts"}, CreateOnly: true, ContinuationDelay: 1, MaxConcurrentExecutions: 1000}
	for _, change := range adjust {
		change(&options)
	}
	t.Setenv("AWS_CA_BUNDLE", "") // which needs real connections
	server, err := emulator.New(options)
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(server.Close)
	s.aws = server
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(inProcess{server}), config.WithBaseEndpoint("http://emulator"), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
	cfg, err := config.LoadDefaultConfig(s.ctx, load...)
	s.Expect(err).NotTo(HaveOccurred())
	s.pipelines = sdk.NewFromConfig(cfg)
	s.declare(s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }))

	scheme := runtime.NewScheme()
	s.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	s.kube = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.PipelineJob{}).WithInterceptorFuncs(interceptor.Funcs{Create: s.create, Patch: s.patch}).Build()
	s.Expect(s.kube.Create(s.ctx, &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: action.Namespace, Name: action.Name, UID: "action"}})).To(Succeed())
	s.poller = &Poller{
		Client: s.kube, Live: s.kube, AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}, load...), Clock: s.clock, Log: logr.Discard(), KeepFor: 25 * time.Hour,
		Lanes:  lanes.New(lanes.Options{Clock: clock.RealClock{}}),
		Polled: func(types.NamespacedName, int, error) {}, Changed: s.changed,
	}
	s.target = Target{
		Action: action, Identity: codepipeline.Identity{Region: "us-east-1"},
		Type:     codepipeline.ActionTypeID{Category: "Test", Provider: "work", Version: "1"},
		Interval: time.Hour, MaxConcurrent: 10,
	}
	s.start(t)
	return s
}

// inProcess calls a handler without a network. On a busy machine, a connection can break while
// an answer is read, and the jobs in that answer may never be handed out again.
type inProcess struct{ handler http.Handler }

// Do implements aws.HTTPClient.
func (c inProcess) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil { // as in a server
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.RequestURI, r.Host = r.URL.RequestURI(), cmp.Or(r.Host, r.URL.Host)
	r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// declare creates an action type, and a pipeline that runs its executions in parallel.
func (s *station) declare(objects *s3.Client) {
	_, err := s.pipelines.CreateCustomActionType(s.ctx, &sdk.CreateCustomActionTypeInput{
		Category: "Test", Provider: aws.String("work"), Version: aws.String("1"),
		InputArtifactDetails:  &sdktypes.ArtifactDetails{MaximumCount: 1},
		OutputArtifactDetails: &sdktypes.ArtifactDetails{},
	})
	s.Expect(err).NotTo(HaveOccurred())
	_, err = objects.PutObject(s.ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.pipelines.CreatePipeline(s.ctx, pipeline.New("p", "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", pipeline.NewAction("work", pipeline.CustomType("Test", "work", "1")).Inputs("source")).
		Mode(sdktypes.ExecutionModeParallel).CreateInput())
	s.Expect(err).NotTo(HaveOccurred())
}

// start starts the poller, with a watch in place of the informer.
func (s *station) start(t *testing.T) {
	ctx, stop := context.WithCancel(s.ctx)
	events, err := s.kube.Watch(ctx, &v1alpha1.PipelineJobList{})
	s.Expect(err).NotTo(HaveOccurred())
	var group sync.WaitGroup
	group.Go(func() {
		for event := range events.ResultChan() {
			if job := event.Object.(*v1alpha1.PipelineJob); event.Type == watch.Deleted {
				s.poller.react(job, s.poller.capacity.gone(job))
			} else {
				s.poller.jobChanged(job)
			}
		}
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.poller.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		s.Expect(<-stopped).To(Succeed())
		events.Stop()
		group.Wait()
	})
}

func (s *station) create(ctx context.Context, kube client.WithWatch, object client.Object, options ...client.CreateOption) error {
	s.mu.Lock()
	before := s.creating
	s.mu.Unlock()
	if job, ok := object.(*v1alpha1.PipelineJob); ok && before != nil {
		if err := before(ctx, job); err != nil {
			return err
		}
	}
	return kube.Create(ctx, object, options...)
}

func (s *station) patch(ctx context.Context, kube client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	s.mu.Lock()
	before := s.patching
	s.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return kube.Patch(ctx, object, patch, options...)
}

// onPatch sets a function that is called before each patch.
func (s *station) onPatch(do func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patching = do
}

// onCreate sets a function that is called before each creation of a PipelineJob.
func (s *station) onCreate(do func(context.Context, *v1alpha1.PipelineJob) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creating = do
}

func (s *station) changed(action types.NamespacedName) {
	health := s.poller.Health(action)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, health)
}

// queue starts executions of the pipeline.
func (s *station) queue(executions int) {
	for range executions {
		_, err := s.pipelines.StartPipelineExecution(s.ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
		s.Expect(err).NotTo(HaveOccurred())
	}
}

// jobs returns the PipelineJobs by name.
func (s *station) jobs(g Gomega) map[string]*v1alpha1.PipelineJob {
	var list v1alpha1.PipelineJobList
	g.Expect(s.kube.List(s.ctx, &list)).To(Succeed())
	found := map[string]*v1alpha1.PipelineJob{}
	for i := range list.Items {
		found[list.Items[i].Name] = &list.Items[i]
	}
	return found
}

// await polls check until it succeeds.
func (s *station) await(check func(Gomega)) {
	s.Eventually(check).WithTimeout(deadline).WithPolling(5 * time.Millisecond).Should(Succeed())
}

// awaitJobs waits until there are count PipelineJobs. It moves the clock far enough for polls
// that directly follow each other.
func (s *station) awaitJobs(count int) {
	s.await(func(g Gomega) {
		s.clock.Step(gatherFor)
		g.Expect(s.jobs(g)).To(HaveLen(count))
	})
}

// status changes the status of a PipelineJob, as the reconciler does.
func (s *station) status(name string, change func(*v1alpha1.PipelineJob)) {
	s.Expect(retry.RetryOnConflict(retry.DefaultBackoff, func() error { // the poller may write in the meantime
		job := &v1alpha1.PipelineJob{}
		if err := s.kube.Get(s.ctx, client.ObjectKey{Namespace: action.Namespace, Name: name}, job); err != nil {
			return err
		}
		change(job)
		return s.kube.Status().Update(s.ctx, job)
	})).To(Succeed())
}

// settle records that a PipelineJob has ended.
func (s *station) settle(name string) {
	s.status(name, func(job *v1alpha1.PipelineJob) {
		job.Settle(metav1.NewTime(s.clock.Now()))
	})
}

// finish claims a PipelineJob's job, reports it and settles it.
func (s *station) finish(name string) {
	s.report(name, nil)
	s.settle(name)
}

func (s *station) report(name string, token *string) {
	is := s.jobs(s)[name].Spec.CodePipelineJob
	_, err := s.pipelines.AcknowledgeJob(s.ctx, &sdk.AcknowledgeJobInput{JobId: &is.ID, Nonce: &is.Nonce})
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.pipelines.PutJobSuccessResult(s.ctx, &sdk.PutJobSuccessResultInput{JobId: &is.ID, ContinuationToken: token})
	s.Expect(err).NotTo(HaveOccurred())
}

// continueJob claims a PipelineJob's job, and reports it with a continuation token.
func (s *station) continueJob(name string) {
	s.report(name, aws.String("token"))
	s.status(name, func(job *v1alpha1.PipelineJob) {
		is := job.Spec.CodePipelineJob
		job.Status.ContinuationToken, job.Status.Protocol.ReportedJobID = "token", is.ID
		job.Status.Protocol.AcknowledgedJobID, job.Status.Protocol.AcknowledgedNonce = is.ID, is.Nonce
	})
}

func (s *station) polls() int { return len(s.aws.Journal("PollForJobs")) }

// pass lets time pass, a second at a time, while the loops wait for it.
func (s *station) pass(d time.Duration) {
	for range int(d / time.Second) {
		s.atRest()
		s.clock.Step(time.Second)
	}
	s.atRest()
}

// atRest waits until the loops wait for the clock.
func (s *station) atRest() {
	s.Eventually(s.clock.HasWaiters).WithTimeout(deadline).WithPolling(time.Millisecond).Should(BeTrue())
}

// redispatches returns times until an unclaimed job is handed out again. The service's own
// time is not documented.
func redispatches() map[string]time.Duration {
	return map[string]time.Duration{"1ms": time.Millisecond, "500ms": 500 * time.Millisecond, "1m": time.Minute, "never": emulator.RedispatchNever}
}

// eachRedispatch runs a test with each of redispatches.
func eachRedispatch(t *testing.T, test func(*testing.T, *station)) {
	for name, after := range redispatches() {
		t.Run(fmt.Sprintf("re-dispatch %s", name), func(t *testing.T) {
			test(t, newStation(t, func(o *emulator.Options) { o.RedispatchAfter = after }))
		})
	}
}
