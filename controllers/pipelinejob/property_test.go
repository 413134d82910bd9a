package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// play is an emulated AWS, an in-memory Kubernetes, and an operator between them whose steps a
// test takes one at a time. The play itself records jobs in place of the poller.
type play struct {
	*WithT
	ctx       context.Context
	clock     *clocktesting.FakeClock
	aws       *emulator.Server
	pipelines *sdk.Client
	kube      client.WithWatch
	operator  *Reconciler

	executions []string
	// theirs are action executions that another worker claimed.
	theirs map[string]bool
	// made counts the Jobs that were created, by name.
	made map[string]int
	// secrets are the existing Secrets.
	secrets secretStore
	// givenUp are action executions whose PipelineJob was deleted without a report to
	// CodePipeline, and with an event that says so.
	givenUp map[string]bool
	// failing is how the next write to a PipelineJob or Job fails.
	failing writeFault
}

// writeFault is how a write fails.
type writeFault string

const (
	notWritten writeFault = "not written"
	answerLost writeFault = "written, and the answer lost"
)

var workerType = codepipeline.ActionTypeID{Category: "Test", Provider: "work", Version: "1"}

func newPlay(t *testing.T, adjust ...func(*emulator.Options)) *play {
	p := &play{
		WithT: NewWithT(t), ctx: t.Context(), clock: clocktesting.NewFakeClock(time.Now()),
		theirs: map[string]bool{}, made: map[string]int{}, secrets: secretStore{}, givenUp: map[string]bool{},
	}
	var err error
	options := emulator.Options{Clock: p.clock, Buckets: []string{"source", "artifacts"}, CreateOnly: true}
	for _, change := range adjust {
		change(&options)
	}
	p.aws, err = emulator.Start("127.0.0.1:0", options)
	p.Expect(err).NotTo(HaveOccurred())
	scheme := harness.NewScheme(p)
	account := harness.NewAccount("team", func(a *v1alpha1.CodePipelineAccount) {
		a.Spec.Regions = append(a.Spec.Regions, "xx-hole-1")
		harness.InUse(a, "team", "neighbour")
	})
	p.kube = fake.NewClientBuilder().WithScheme(scheme).WithObjects(account).WithIndex(&corev1.Pod{}, IndexJob, ByJob).
		WithIndex(&corev1.Event{}, "involvedObject.kind", func(o client.Object) []string { return []string{o.(*corev1.Event).InvolvedObject.Kind} }).
		WithIndex(&corev1.Event{}, "involvedObject.name", func(o client.Object) []string { return []string{o.(*corev1.Event).InvolvedObject.Name} }).
		WithStatusSubresource(&v1alpha1.PipelineJob{}, &batchv1.Job{}, &corev1.Pod{}).WithInterceptorFuncs(p.interceptor()).Build()
	p.declare()
	p.restart()
	return p
}

func (p *play) cloud() []func(*config.LoadOptions) error {
	return []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(p.aws.URL()), config.WithRegion("us-east-1"), config.WithRetryMaxAttempts(1),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
}

// declare creates the CustomAction, its action type and a pipeline that uses it.
func (p *play) declare() {
	// Faults are meant for the operator: the test's own calls are retried.
	cfg, err := config.LoadDefaultConfig(p.ctx, append(p.cloud(), config.WithRetryMaxAttempts(retry.DefaultMaxAttempts))...)
	p.Expect(err).NotTo(HaveOccurred())
	p.pipelines = sdk.NewFromConfig(cfg)
	_, err = s3.NewFromConfig(cfg).PutObject(p.ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	p.Expect(err).NotTo(HaveOccurred())
	none := &types.ArtifactDetails{MaximumCount: 1}
	_, err = p.pipelines.CreateCustomActionType(p.ctx, &sdk.CreateCustomActionTypeInput{
		Category: "Test", Provider: aws.String("work"), Version: aws.String("1"), InputArtifactDetails: none, OutputArtifactDetails: none,
	})
	p.Expect(err).NotTo(HaveOccurred())
	_, err = p.pipelines.CreatePipeline(p.ctx, harness.ParallelPipeline())
	p.Expect(err).NotTo(HaveOccurred())
	action := harness.NewAction("team")
	p.Expect(p.kube.Create(p.ctx, action)).To(Succeed())
}

var errWrite = errors.New("the API server did not answer")

// interceptor makes writes fail, and keeps Secrets by their UIDs.
func (p *play) interceptor() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return p.write(func() error {
				if secret, ok := object.(*corev1.Secret); ok {
					return p.secrets.create(secret)
				}
				object.SetUID(k8stypes.UID("uid-" + object.GetName())) // as the API server does
				err := c.Create(ctx, object, options...)
				if job, ok := object.(*batchv1.Job); ok && err == nil {
					p.made[job.Name]++
				}
				return err
			})
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return p.write(func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return p.write(func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			if secret, ok := object.(*corev1.Secret); ok {
				return p.secrets.delete(secret, options...)
			}
			return c.Delete(ctx, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return p.write(func() error {
				if secret, ok := object.(*corev1.Secret); ok {
					return p.secrets.replace(secret)
				}
				return c.Update(ctx, object, options...)
			})
		},
	}
}

func (p *play) write(do func() error) error {
	failing := p.failing
	p.failing = ""
	switch failing {
	case notWritten:
		return errWrite
	case answerLost:
		return errors.Join(do(), errWrite)
	default:
		return do()
	}
}

// restart makes another operator take over.
func (p *play) restart() { p.operator = p.newOperator(p.cloud()...) }

func (p *play) newOperator(cloud ...codepipeline.LoadOption) *Reconciler {
	clients := codepipeline.NewClients(codepipeline.ClientsOptions{}, cloud...)
	o := Options{
		Client: p.cached(), Live: p.kube, AWS: clients, Clock: p.clock, Events: noEvents{givenUp: p.givenUp},
		Lanes: lanes.New(lanes.Options{Clock: clock.RealClock{}}), NodeLanes: lanes.New(lanes.Options{Clock: clock.RealClock{}}), Logs: &harness.LogBook{}, JobOptions: jobspec.Options{RunnerImage: "operator:test"},
		Identities: identity.Resolver{Reader: p.kube},
	}
	o.Executions = NewExecutions(ExecutionsOptions{
		Reader: p.kube, Unsettled: client.InNamespace(""), AWS: clients, Lanes: o.Lanes, Interval: time.Minute, Clock: p.clock,
		Identities: o.Identities, Events: o.Events, Over: func(k8stypes.NamespacedName) {},
	})
	return New(o)
}

// cached returns a client that reads what a cache has: trimmed objects.
func (p *play) cached() client.Client {
	return interceptor.NewClient(p.kube, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			defer func() { trim(object) }()
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			defer func() {
				p.Expect(meta.EachListItem(list, func(o runtime.Object) error { trim(o); return nil })).To(Succeed())
			}()
			return c.List(ctx, list, options...)
		},
	})
}

func trim(object any) {
	Trim(object)
	diagnosis.Trim(object)
}

// noEvents drops events, but remembers what was given up.
type noEvents struct {
	events.EventRecorder
	givenUp map[string]bool
}

func (e noEvents) Eventf(about, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	if job, ok := about.(*v1alpha1.PipelineJob); ok && reason == v1alpha1.ReasonNotReported {
		e.givenUp[job.Spec.Pipeline.ActionExecutionID] = true
	}
}

func (p *play) start(*rapid.T) {
	started, err := p.pipelines.StartPipelineExecution(p.ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
	p.Expect(err).NotTo(HaveOccurred())
	p.executions = append(p.executions, *started.PipelineExecutionId)
}

// poll records jobs as the poller does.
func (p *play) poll(*rapid.T) {
	api, err := p.operator.AWS.For(p.ctx, codepipeline.Identity{Region: "us-east-1"})
	p.Expect(err).NotTo(HaveOccurred())
	jobs, err := api.PollForJobs(p.ctx, workerType, nil, 2)
	if err != nil {
		return // polls are retried
	}
	for _, polled := range jobs {
		p.record(polled)
	}
}

func (p *play) record(polled codepipeline.Job) {
	now := metav1.NewTime(p.clock.Now())
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: naming.PipelineJobName("work", polled.Pipeline.ActionExecutionID, polled.ID), Finalizers: []string{v1alpha1.FinalizerPipelineJob},
		Generation: 1,
	}}
	job.Spec = v1alpha1.PipelineJobSpec{
		ActionRef: v1alpha1.ActionReference{Name: "work"}, AccountRef: v1alpha1.AccountReference{Name: "team"}, Region: "us-east-1",
		Pipeline: v1alpha1.PipelineContext{
			Name: polled.Pipeline.Name, ExecutionID: polled.Pipeline.ExecutionID, ActionExecutionID: polled.Pipeline.ActionExecutionID,
		},
		InputArtifacts:  []v1alpha1.Artifact{{Name: "source", S3Location: v1alpha1.S3Location{BucketName: "b", ObjectKey: "k"}}},
		CodePipelineJob: v1alpha1.CodePipelineJob{ID: polled.ID, Nonce: polled.Nonce, ContinuationToken: polled.ContinuationToken, PolledAt: &now},
	}
	err := p.kube.Create(p.ctx, job)
	if !apierrors.IsAlreadyExists(err) {
		return // recorded, or lost until it is handed out again
	}
	known := &v1alpha1.PipelineJob{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKeyFromObject(job), known)).To(Succeed())
	p.failing = "" // meant for the operator's writes
	before := known.DeepCopy()
	known.Spec.CodePipelineJob = job.Spec.CodePipelineJob
	known.Generation++ // as the API server does
	p.Expect(p.kube.Patch(p.ctx, known, client.MergeFrom(before))).To(Succeed())
}

func (p *play) pipelineJobs() []v1alpha1.PipelineJob {
	var list v1alpha1.PipelineJobList
	p.Expect(p.kube.List(p.ctx, &list)).To(Succeed())
	return list.Items
}

func (p *play) reconcile(t *rapid.T) {
	if names := p.names(); len(names) > 0 {
		p.step(rapid.SampledFrom(names).Draw(t, "job"))
	}
}

func (p *play) names() (names []string) {
	for _, job := range p.pipelineJobs() {
		names = append(names, job.Name)
	}
	return names
}

// step takes one step. If it fails, the clock moves on by a minute, so that it can be retried.
func (p *play) step(name string) {
	_, err := advance(p, p.operator, name)
	if err != nil {
		p.clock.Step(lastRetry)
	}
}

// advance takes the next step as a lane's goroutine does: it may call AWS.
func advance(p *play, operator *Reconciler, name string) (ctrl.Result, error) {
	return operator.advanceInLane(p.ctx, requestFor(name).NamespacedName, takerAccount)
}

func requestFor(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: k8stypes.NamespacedName{Namespace: "team", Name: name}}
}

func (p *play) fault(t *rapid.T) {
	operation := rapid.SampledFrom([]string{"AcknowledgeJob", "PutJobSuccessResult", "PutJobFailureResult", "GetJobDetails", "PollForJobs"}).Draw(t, "operation")
	// Throttling would slow the test down, as it does the operator.
	kind := rapid.SampledFrom([]emulator.FaultKind{emulator.ServerError, emulator.ServerErrorAfter, emulator.ResetBefore, emulator.ResetAfter, emulator.AccessDenied}).Draw(t, "kind")
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operation, Kind: kind})).To(Succeed())
}

func (p *play) failWrite(t *rapid.T) {
	p.failing = rapid.SampledFrom([]writeFault{notWritten, answerLost}).Draw(t, "moment")
}

// running returns the Jobs that have not ended.
func (p *play) running() []batchv1.Job {
	var list batchv1.JobList
	p.Expect(p.kube.List(p.ctx, &list)).To(Succeed())
	return slices.DeleteFunc(list.Items, func(job batchv1.Job) bool { return diagnosis.Finished(&job) })
}

func (p *play) endRun(t *rapid.T) {
	jobs := p.running()
	if len(jobs) == 0 {
		return
	}
	message := rapid.SampledFrom([]string{`{"result":{"summary":"done"}}`, `{"result":{"continuationToken":"later"}}`, ""}).Draw(t, "result")
	p.end(&jobs[0], message)
}

// end ends a Job, with a result or with a failed step.
func (p *play) end(job *batchv1.Job, message string) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}}}
	condition := batchv1.JobComplete
	if message == "" {
		condition = batchv1.JobFailed
		pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{harness.Terminated("work", 3, "broken")}}
	} else {
		pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{harness.Terminated(podcontract.ContainerReport, 0, message)}}
	}
	p.failing = ""
	p.Expect(controllerutil.SetControllerReference(job, pod, p.kube.Scheme())).To(Succeed())
	status := pod.Status
	p.Expect(p.kube.Create(p.ctx, pod)).To(Succeed())
	pod.Status = status
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue})
	p.Expect(p.kube.Status().Update(p.ctx, job)).To(Succeed())
}

// deleteJob deletes a Job as a user would. It leaves Jobs whose creation is not recorded yet:
// the operator would not know that they existed, and would create them again.
func (p *play) deleteJob(*rapid.T) {
	recorded := map[string]bool{}
	for _, job := range p.pipelineJobs() {
		if run := job.Status.Run; run != nil && run.JobUID != "" {
			recorded[run.JobName] = true
		}
	}
	for _, job := range p.running() {
		if recorded[job.Name] {
			p.Expect(p.kube.Delete(p.ctx, &job)).To(Succeed())
			return
		}
	}
}

func (p *play) deletePipelineJob(t *rapid.T) {
	if names := p.names(); len(names) > 0 {
		job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: rapid.SampledFrom(names).Draw(t, "job")}}
		p.Expect(client.IgnoreNotFound(p.kube.Delete(p.ctx, job))).To(Succeed())
	}
}

func (p *play) abandon(t *rapid.T) {
	if len(p.executions) == 0 {
		return
	}
	id := rapid.SampledFrom(p.executions).Draw(t, "execution")
	_, _ = p.pipelines.StopPipelineExecution(p.ctx, &sdk.StopPipelineExecutionInput{ // it may be over
		PipelineName: aws.String("p"), PipelineExecutionId: &id, Abandon: true,
	})
}

func (p *play) wait(t *rapid.T) {
	p.clock.Step(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
	p.look()
}

// look makes the operator look for stopped executions.
func (p *play) look() {
	defer p.withoutFaults()() // meant for other calls
	p.Expect(p.operator.Executions.round(p.ctx)).To(Succeed())
	p.operator.Executions.rounds.Wait()
}

// otherWorker polls as another worker, which claims the job or drops it.
func (p *play) otherWorker(t *rapid.T) {
	defer p.withoutFaults()() // meant for the operator
	polled, err := p.pipelines.PollForJobs(p.ctx, &sdk.PollForJobsInput{ActionTypeId: harness.WorkType()})
	if err != nil || len(polled.Jobs) == 0 || !rapid.Bool().Draw(t, "claims") {
		return
	}
	job := polled.Jobs[0]
	if _, err := p.pipelines.AcknowledgeJob(p.ctx, &sdk.AcknowledgeJobInput{JobId: job.Id, Nonce: job.Nonce}); err == nil {
		p.theirs[*job.Data.PipelineContext.Action.ActionExecutionId] = true
	}
}

func (p *play) withoutFaults() (again func()) {
	faults := p.aws.Faults()
	p.aws.ClearFaults()
	return func() {
		for _, fault := range faults {
			p.Expect(p.aws.Inject(fault)).To(Succeed())
		}
	}
}

// invariants checks what must hold after each step.
func (p *play) invariants(t *rapid.T) {
	for name, times := range p.made {
		if times > 1 && !p.wasGivenUp(name) {
			t.Fatalf("Job %s was created %d times", name, times)
		}
	}
}

// wasGivenUp reports whether a Job belongs to an action execution that was given up. If that
// is handed out again, it is new work.
func (p *play) wasGivenUp(jobName string) bool {
	for id := range p.givenUp {
		if strings.Contains(jobName, id) {
			return true
		}
	}
	return false
}

// settle runs everything, without faults, until nothing is left to do, or for longer than
// anything may take.
func (p *play) settle() {
	p.aws.ClearFaults()
	p.failing = ""
	p.restart()
	for round := range 40 {
		p.clock.Step(2 * time.Minute)
		p.look()
		p.poll(nil)
		for range 12 {
			for _, job := range p.pipelineJobs() {
				p.step(job.Name)
			}
		}
		for _, job := range p.running() {
			p.end(&job, `{"result":{"summary":"done"}}`)
		}
		if p.unended() == "" {
			return
		}
		if round%8 == 7 {
			p.restart() // it has no waits for retries
		}
	}
}

// actions returns the work actions of all executions, by ID.
func (p *play) actions() map[string]types.ActionExecutionDetail {
	actions := map[string]types.ActionExecutionDetail{}
	pages := sdk.NewListActionExecutionsPaginator(p.pipelines, &sdk.ListActionExecutionsInput{PipelineName: aws.String("p")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		p.Expect(err).NotTo(HaveOccurred())
		for _, action := range page.ActionExecutionDetails {
			if *action.ActionName == "work" {
				actions[*action.ActionExecutionId] = action
			}
		}
	}
	return actions
}

// statusOf returns the PipelineJob of an action, for messages.
func (p *play) statusOf(action string) string {
	for _, job := range p.pipelineJobs() {
		if job.Spec.Pipeline.ActionExecutionID == action {
			return fmt.Sprintf("PipelineJob %s: %+v %+v", job.Name, job.Spec.CodePipelineJob, job.Status)
		}
	}
	return "it has no PipelineJob"
}

// unended describes what has not ended, or was left behind. It is empty if there is nothing.
func (p *play) unended() string {
	for id, action := range p.actions() {
		if action.Status == types.ActionExecutionStatusInProgress && !p.theirs[id] && !p.givenUp[id] {
			return fmt.Sprintf("action %s is still in progress: %s", id, p.statusOf(id))
		}
	}
	for _, job := range p.pipelineJobs() {
		// A continuation that another worker has taken is given up after a day.
		if !job.Settled() && !p.theirs[job.Spec.Pipeline.ActionExecutionID] {
			return fmt.Sprintf("PipelineJob %s is blocked: %+v", job.Name, job.Status)
		}
	}
	if len(p.secrets) > 0 {
		return fmt.Sprintf("Secrets were not deleted: %v", p.secrets)
	}
	if left := p.running(); len(left) > 0 {
		return fmt.Sprintf("Job %s is still running", left[0].Name)
	}
	return ""
}

// expectTruth expects that the objects agree with CodePipeline.
func (p *play) expectTruth(t *rapid.T) {
	actions := p.actions()
	for _, job := range p.pipelineJobs() {
		action := actions[job.Spec.Pipeline.ActionExecutionID]
		switch {
		case p.givenUp[*action.ActionExecutionId]:
		case p.theirs[*action.ActionExecutionId]: // both may have worked on it: CodePipeline does not fence workers
		case action.Status == types.ActionExecutionStatusAbandoned:
			// The stop may have come before or after a report whose answer was lost.
		case job.Status.Phase == v1alpha1.PhaseSucceeded && action.Status != types.ActionExecutionStatusSucceeded,
			job.Status.Phase == v1alpha1.PhaseFailed && action.Status != types.ActionExecutionStatusFailed:
			t.Fatalf("PipelineJob %s is %s, but the action is %s", job.Name, job.Status.Phase, action.Status)
		}
	}
}

// TestProtocolHolds tries random sequences of what may happen to jobs. No job may be lost, no
// run may be created twice, no object may be blocked, and the objects must agree with
// CodePipeline.
func TestProtocolHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlay(t)
		defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
		p.start(rt)
		p.poll(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"start": p.start, "poll": p.poll, "reconcile": p.reconcile, "reconcile again": p.reconcile, "and again": p.reconcile,
			"fault": p.fault, "failWrite": p.failWrite, "restart": func(*rapid.T) { p.restart() },
			"endRun": p.endRun, "deleteJob": p.deleteJob, "deletePipelineJob": p.deletePipelineJob,
			"abandon": p.abandon, "wait": p.wait, "otherWorker": p.otherWorker, "": p.invariants,
		})
		p.settle()
		if left := p.unended(); left != "" {
			rt.Fatal(left)
		}
		p.expectTruth(rt)
	})
}
