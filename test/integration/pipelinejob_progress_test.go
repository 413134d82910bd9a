package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// progressEvery is the shortest allowed interval.
const progressEvery = 10 * time.Second

// progressing enables progress with the shortest interval.
func progressing(a *v1alpha1.CustomAction) {
	a.Spec.Progress = &v1alpha1.Progress{Interval: metav1.Duration{Duration: progressEvery}}
	a.Spec.Polling.MaxConcurrentJobs = 1
}

// follow creates a running pod for a Job.
func (w *world) follow(job *batchv1.Job) {
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{
		Name: podcontract.ContainerProgress, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}})
}

// tell writes progress as a step would, and lets the interval pass.
func (w *world) tell(job *batchv1.Job, percent int32, summary string) {
	w.Logs.Write(job.Name+"-pod", podcontract.ContainerProgress, string(podcontract.ProgressLine(podcontract.Progress{PercentComplete: &percent, Summary: summary})))
	w.Clock.Step(progressEvery)
	pod := w.podOf(job)
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "test/told", summary) // triggers a reconciliation
	w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
}

func (w *world) podOf(job *batchv1.Job) *corev1.Pod {
	pod := &corev1.Pod{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: job.Namespace, Name: job.Name + "-pod"}, pod)).To(Succeed())
	return pod
}

// endPod ends the pod that AddPod created.
func (w *world) endPod(job *batchv1.Job, status corev1.PodStatus) {
	pod := w.podOf(job)
	pod.Status = status
	w.Expect(w.Kube.Status().Update(w.Ctx, pod)).To(Succeed())
}

func TestProgressOfARunThatGoesOn(t *testing.T) {
	w := newWorld(t)
	w.work(progressing)
	job := w.RunningJob(1)
	w.follow(job)
	first := w.PipelineJob(w).Spec.CodePipelineJob.ID
	w.tell(job, 40, "unit tests")
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusInProgress))
		g.Expect(aws.ToInt32(state.PercentComplete)).To(BeEquivalentTo(40))
		g.Expect(aws.ToString(state.Summary)).To(Equal("unit tests"))
		pj := w.PipelineJob(g)
		g.Expect(pj.Spec.CodePipelineJob.ID).NotTo(Equal(first))
		g.Expect(pj.Status.Protocol.AcknowledgedJobID).To(Equal(pj.Spec.CodePipelineJob.ID))
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(pj.Status.Protocol.Progress.Updates).To(BeEquivalentTo(1))
		g.Expect(pj.Status.Protocol.Progress.ContinuationToken).To(BeEmpty())
		g.Expect(pj.Status.Run.Number).To(BeEquivalentTo(1))
	})
	message := `{"result":{"summary":"all passed","outputVariables":{"TESTS":"12"}}}`
	w.endPod(job, corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{harness.Terminated(podcontract.ContainerReport, 0, message)}})
	w.EndJob(job, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(aws.ToString(state.Summary)).To(Equal("all passed"))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(1), "no second run was started")
	w.Expect(w.Calls("PutJobSuccessResult")).To(Equal(2))
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(2))
}

// TestSuccessIsComplete: the last percentage of a step is 90.
func TestSuccessIsComplete(t *testing.T) {
	w, _ := begin(t)
	w.Succeed(w.RunningJob(1), podcontract.Result{PercentComplete: ptr.To[int32](90)})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(aws.ToInt32(state.PercentComplete)).To(BeEquivalentTo(100))
		g.Expect(w.PipelineJob(g).Status.ExecutionDetails.PercentComplete).To(HaveValue(BeEquivalentTo(100)))
	})
}

// TestResultThatIsReadyBeforeTheContinuedJob ends a run before CodePipeline hands out the job that
// continues it.
func TestResultThatIsReadyBeforeTheContinuedJob(t *testing.T) {
	w := newWorld(t)
	w.work(progressing)
	job := w.RunningJob(1)
	w.follow(job)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.Throttle, Probability: 1})).To(Succeed())
	w.tell(job, 90, "nearly")
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).AwaitsContinuation()).To(BeTrue()) })
	w.endPod(job, corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{harness.Terminated("work", 3, "broken")}})
	w.EndJob(job, batchv1.JobFailureTarget, batchv1.JobFailed)
	w.Await(func(g Gomega) {
		g.Expect(meta.IsStatusConditionTrue(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionFailed)).To(BeTrue())
	})
	w.Expect(w.Calls("PutJobFailureResult")).To(BeZero())
	w.Expect(w.WorkState(w).Status).To(Equal(types.ActionExecutionStatusInProgress))
	w.AWS.ClearFaults()
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseFailed))
	})
	w.Expect(w.Calls("PutJobFailureResult")).To(Equal(1))
	w.Expect(w.Jobs(w)).To(HaveLen(1))
}

func TestStoppedExecutionIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.executionInterval = 300 * time.Millisecond
	w.work()
	job := w.RunningJob(1)
	pj := w.PipelineJob(w)
	_, err := w.Pipelines.StopPipelineExecution(w.Ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &pj.Spec.Pipeline.ExecutionID, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
		reported := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionReported)
		g.Expect(reported.Reason).To(Equal(v1alpha1.ReasonJobNoLongerOpen))
		g.Expect(reported.Message).To(ContainSubstring("stopped"))
		g.Expect(client.IgnoreNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job))).To(Succeed())
		g.Expect(w.Jobs(g)).To(BeEmpty(), "the Job is stopped")
	})
	w.Expect(w.Calls("PutJobSuccessResult") + w.Calls("PutJobFailureResult")).To(BeZero())
}

func TestMissingPermissionToNoticeStopsIsSaidOnce(t *testing.T) {
	w := newWorld(t)
	w.executionInterval = 100 * time.Millisecond
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "ListActionExecutions", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	w.work()
	job := w.RunningJob(1)
	w.Await(func(g Gomega) {
		var list eventsv1.EventList
		g.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(w.Namespace))).To(Succeed())
		g.Expect(list.Items).To(ContainElement(And(
			HaveField("Regarding.Kind", "CustomAction"), HaveField("Note", ContainSubstring("codepipeline:ListActionExecutions")))))
	})
	w.Succeed(job, podcontract.Result{PercentComplete: ptr.To[int32](100)})
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded)) })
	asked := 0
	for _, call := range w.AWS.Journal() {
		if call.Operation == "ListActionExecutions" {
			asked++
		}
	}
	w.Expect(asked).To(Equal(1))
}

func TestPreviousRunsAreBounded(t *testing.T) {
	w, _ := begin(t)
	const runs = pipelinejob.MaxPreviousRuns + 2
	for run := 1; run < runs; run++ {
		w.Succeed(w.RunningJob(run), podcontract.Result{ContinuationToken: fmt.Sprintf("token-%d", run)})
	}
	w.Succeed(w.RunningJob(runs), podcontract.Result{})
	w.Await(func(g Gomega) {
		status := w.PipelineJob(g).Status
		g.Expect(status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
		g.Expect(status.PreviousRuns).To(HaveLen(pipelinejob.MaxPreviousRuns))
		g.Expect(status.PreviousRuns[0].Number).To(BeEquivalentTo(2))
		g.Expect(status.Run.ContinuationToken).To(Equal(fmt.Sprintf("token-%d", runs-1)))
	})
}
