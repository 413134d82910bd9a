package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

func (p *play) withProgress(every time.Duration) {
	action := &v1alpha1.CustomAction{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKey{Namespace: "team", Name: "work"}, action)).To(Succeed())
	action.Spec.Progress = &v1alpha1.Progress{Interval: metav1.Duration{Duration: every}}
	p.Expect(p.kube.Update(p.ctx, action)).To(Succeed())
}

// runningPod creates the pod of a run, whose progress container is running.
func (p *play) runningPod(job *batchv1.Job) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-pod", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name}}}
	p.Expect(controllerutil.SetControllerReference(job, pod, p.kube.Scheme())).To(Succeed())
	p.Expect(p.kube.Create(p.ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{
		{Name: podcontract.ContainerProgress, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}}
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	return pod
}

// TestCredentialsAreRenewedWhateverTheProgress has a progress interval of 30m (1h is allowed)
// and no new progress. The wait after a read must still end in time for the next renewal.
func TestCredentialsAreRenewedWhateverTheProgress(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.withProgress(30 * time.Minute)
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.runningPod(&p.running()[0])
	p.operator.Logs = quiet{}
	name := p.pipelineJob().Name
	oldest := time.Duration(0)
	for until := p.clock.Now().Add(100 * time.Minute); p.clock.Now().Before(until); {
		before := p.pipelineJob().ResourceVersion
		result, err := advance(p, p.operator, name)
		p.Expect(err).NotTo(HaveOccurred())
		if p.pipelineJob().ResourceVersion != before {
			continue // the watch triggers a reconcile immediately
		}
		p.Expect(result.RequeueAfter).NotTo(BeZero(), "nothing would wake it")
		p.clock.Step(result.RequeueAfter)
		oldest = max(oldest, p.clock.Since(p.pipelineJob().Status.Protocol.Secret.RenewedAt.Time))
	}
	p.Expect(oldest).To(BeNumerically("<", 15*time.Minute), "credentials are valid for about 15 minutes")
}

// TestDeletedWorkIsNotStartedAgain deletes a PipelineJob whose progress was reported and whose
// result log can't be read. AWS can be reached all the time, and hands out the continuation
// after 8 minutes.
func TestDeletedWorkIsNotStartedAgain(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.withProgress(10 * time.Second)
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	run := p.running()[0]
	pod := p.runningPod(&run)
	logs := &fixedLog{text: mustProgress()}
	p.operator.Logs = logs
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.AwaitsContinuation() })
	logs.err = errors.New("the node is cut off")
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: podcontract.ContainerReport, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Message: `{"log":{"size":10,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}`}},
	}}}
	p.Expect(p.kube.Status().Update(p.ctx, pod)).To(Succeed())
	run.Status.Conditions = append(run.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue})
	p.Expect(p.kube.Status().Update(p.ctx, &run)).To(Succeed())

	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	for range 8 * 12 {
		if len(p.pipelineJobs()) > 0 {
			p.tryStep(job.Name)
		}
		p.clock.Step(5 * time.Second)
	}
	gone := len(p.pipelineJobs()) == 0
	p.collectGarbage()
	p.poll(nil) // brings the continuation, before it is overdue
	p.Expect(p.pipelineJobs()).NotTo(BeEmpty())
	for range 5 {
		p.tryStep(job.Name)
	}
	made := p.made
	if gone {
		p.Expect(made).To(HaveLen(0), "released before the continuation is overdue, and the deleted work was started again: spec %+v run %+v",
			p.pipelineJob().Spec.CodePipelineJob, p.pipelineJob().Status.Run)
	}
}

// collectGarbage deletes what the PipelineJobs owned, as Kubernetes does.
func (p *play) collectGarbage() {
	if len(p.pipelineJobs()) > 0 {
		return
	}
	p.Expect(p.kube.DeleteAllOf(p.ctx, &corev1.Pod{}, client.InNamespace("team"))).To(Succeed())
	p.Expect(p.kube.DeleteAllOf(p.ctx, &batchv1.Job{}, client.InNamespace("team"))).To(Succeed())
	p.made = map[string]int{}
}

// tryStep is step without the wait that follows an error.
func (p *play) tryStep(name string) { _, _ = advance(p, p.operator, name) }

// TestRefusedCancellationIsPublished has CodePipeline refuse the failure of a PipelineJob that
// is being deleted, so that the action hangs. The namespace accepts no events.
func TestRefusedCancellationIsPublished(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	told := &selfEvents{}
	p.operator.Events = told
	p.operator.Self = &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "pipelinejob-system", Name: "manager-1"}
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationFailure, Kind: emulator.ModelledError, Code: "ValidationException", Probability: 1})).To(Succeed())
	job := p.pipelineJob()
	p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
	p.awaitRelease(job)
	for _, action := range p.actions() {
		p.Expect(string(action.Status)).To(Equal("InProgress"), "the action hangs")
	}
	p.Expect(told.self).NotTo(BeEmpty(), "only an event in the deleted namespace says that the cancellation was not reported; all events: %v", told.all)
}

// TestStaleReadingDoesNotExpire has a settled PipelineJob expire by a stale cache. The newest
// version has a new nonce.
func TestStaleReadingDoesNotExpire(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	action := &v1alpha1.CustomAction{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKey{Namespace: "team", Name: "work"}, action)).To(Succeed())
	ttl := int32(600)
	action.Spec.TTLSecondsAfterFinished = &ttl
	p.Expect(p.kube.Update(p.ctx, action)).To(Succeed())
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.end(&p.running()[0], `{"result":{"continuationToken":"later"}}`)
	p.until(func(job *v1alpha1.PipelineJob) bool {
		return job.Spec.CodePipelineJob.ID != job.Status.Protocol.AcknowledgedJobID
	})
	// Another worker polls the continuation and never claims it: our nonce is outdated.
	p.clock.Step(3 * time.Minute)
	p.otherPoll()
	name := p.pipelineJob().Name
	p.until(func(*v1alpha1.PipelineJob) bool { p.tryStep(name); return p.pipelineJob().Settled() })
	for p.pipelineJob().Status.Protocol.Secret != nil {
		p.tryStep(name)
	}
	stale := p.pipelineJob()
	p.clock.Step(11 * time.Minute)
	p.poll(nil) // it is handed out again and recorded; the cache is stale
	p.Expect(p.pipelineJob().Settled()).To(BeFalse())
	inner := p.operator.Client
	p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if job, ok := o.(*v1alpha1.PipelineJob); ok {
				stale.DeepCopyInto(job)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	p.tryStep(name)
	p.operator.Client = inner
	p.Expect(p.pipelineJob().DeletionTimestamp).To(BeNil())
	for range 10 {
		p.tryStep(name)
	}
	for _, action := range p.actions() {
		p.Expect(string(action.Status)).NotTo(Equal("Failed"))
	}
}

func (p *play) otherPoll() {
	api, err := p.operator.AWS.For(p.ctx, codepipeline.Identity{Region: "us-east-1"})
	p.Expect(err).NotTo(HaveOccurred())
	jobs, err := api.PollForJobs(p.ctx, workerType, nil, 2)
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(jobs).To(HaveLen(1))
}

type quiet struct{}

func (quiet) Open(context.Context, string, string, string, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

type fixedLog struct {
	text string
	err  error
}

func (f *fixedLog) Open(context.Context, string, string, string, int64) (io.ReadCloser, error) {
	if f.err != nil {
		return nil, f.err
	}
	return io.NopCloser(strings.NewReader(f.text)), nil
}

func mustProgress() string { return `codepipeline-progress {"summary":"half"}` + "\n" }

type selfEvents struct {
	events.EventRecorder
	self, all []string
}

func (e *selfEvents) Eventf(about, _ runtime.Object, kind, reason, _, note string, args ...any) {
	text := fmt.Sprintf("%T %s: ", about, reason) + fmt.Sprintf(note, args...)
	if _, ok := about.(*corev1.ObjectReference); ok {
		e.self = append(e.self, text)
	}
	if kind == corev1.EventTypeWarning {
		e.all = append(e.all, text)
	}
}
