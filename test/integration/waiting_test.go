package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// waits returns the status of a waiting container.
func waits(name, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: "work:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// endedNow returns the status of a container that has just ended with exit code 0.
func endedNow(name, reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, FinishedAt: metav1.Now(),
	}}}
}

// touch makes the operator check a Job's pod again.
func (w *world) touch(job *batchv1.Job) {
	w.T.Helper()
	pod := w.podOf(job)
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "test/touched", w.Clock.Now().String())
	w.Expect(w.Kube.Update(w.Ctx, pod)).To(Succeed())
}

// addSeenPod is AddPod with the operator's having seen the status: whatever moves the clock on
// after it finds no pod without one.
func (w *world) addSeenPod(job *batchv1.Job, status corev1.PodStatus) {
	w.T.Helper()
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
	}}})
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonUnschedulable)
	w.endPod(job, status)
	w.Await(func(g Gomega) {
		running := meta.FindStatusCondition(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionRunning)
		g.Expect(running.Reason).NotTo(Equal(v1alpha1.ReasonUnschedulable))
	})
}

// failsStopped expects that an action fails although its Job has not ended, and that
// the Job is stopped.
func (w *world) failsStopped(code string, message ...string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal(code))
		for _, part := range message {
			g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring(part))
		}
		g.Expect(w.Jobs(g)).To(BeEmpty(), "the Job is stopped")
	})
}

// TestStepOutOfMemoryWithExitCode0: the shell of a step exits with 0 after running out of memory.
// The kubelet leaves such a pod at PodInitializing forever.
func TestStepOutOfMemoryWithExitCode0(t *testing.T) {
	w, _ := begin(t)
	w.AddPod(w.RunningJob(1), corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow("work", "OOMKilled"), waits(podcontract.ContainerReport, "PodInitializing", ""),
	}})
	w.failsStopped("JobFailed", `step "work" failed: exit code 0 (OOMKilled)`)
}

// TestPodInWhichNothingRuns: the kubelet does not continue after a container, without reporting a
// reason.
func TestPodInWhichNothingRuns(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.addSeenPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"), waits("work", "PodInitializing", ""),
	}})
	w.Clock.Step(diagnosis.DefaultGracePeriods.Idle + time.Second)
	w.touch(job)
	w.failsStopped("SystemUnavailable", `has not started step "work" for 10m`, "no container runs")
}

// TestQuietStepIsNotTouched: a step runs for a day without output.
func TestQuietStepIsNotTouched(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.addSeenPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"),
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	w.Clock.Step(24 * time.Hour)
	w.touch(job)
	w.Consistently(func(g Gomega) {
		g.Expect(w.PipelineJob(g).Status.FinishedAt).To(BeNil())
		g.Expect(w.Jobs(g)).To(HaveLen(1))
	}).WithTimeout(time.Second).Should(Succeed())
}

// isRunning expects a status and reason of the condition Running, and parts of its message.
func (w *world) isRunning(is metav1.ConditionStatus, reason string, message ...string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		condition := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionRunning)
		g.Expect(condition).NotTo(BeNil())
		g.Expect(condition.Status).To(Equal(is))
		g.Expect(condition.Reason).To(Equal(reason))
		for _, part := range message {
			g.Expect(condition.Message).To(ContainSubstring(part))
		}
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
}

// table returns the lines of "kubectl get cpjob".
func (w *world) table(g Gomega) []string {
	httpClient, err := rest.HTTPClientFor(w.Config)
	g.Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(w.Ctx, http.MethodGet,
		strings.TrimSuffix(w.Config.Host, "/")+"/apis/codepipeline.pipelinejob.dev/v1alpha1/namespaces/"+w.Namespace+"/pipelinejobs", nil)
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }() // only opened for reading
	var table metav1.Table
	g.Expect(json.NewDecoder(response.Body).Decode(&table)).To(Succeed())
	return lines(table)
}

// lines returns the lines of a table as printed by kubectl.
func lines(table metav1.Table) []string {
	rows := make([]strings.Builder, len(table.Rows)+1)
	for i, column := range table.ColumnDefinitions {
		if column.Priority > 0 {
			continue
		}
		cells := []string{strings.ToUpper(column.Name)}
		for _, row := range table.Rows {
			cells = append(cells, fmt.Sprint(row.Cells[i]))
		}
		width := 0
		for _, cell := range cells {
			width = max(width, len(cell))
		}
		for j, cell := range cells {
			fmt.Fprintf(&rows[j], "%-*s", width+3, cell)
		}
	}
	var printed []string
	for i := range rows {
		printed = append(printed, strings.TrimRight(rows[i].String(), " "))
	}
	return printed
}

// TestWaitingIsShown: a run waits for a node and then for an image. The condition Running shows it
// immediately, is not written again without a change, and becomes True again when the pod runs.
func TestWaitingIsShown(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available: 3 Insufficient cpu.",
	}}})
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonUnschedulable, job.Name+"-pod", "3 Insufficient cpu")

	pulls := func(reason, message string) {
		w.endPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
			endedNow(podcontract.ContainerFetch, "Completed"), waits("work", reason, message),
		}})
	}
	pulls("ErrImagePull", "not found")
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonImagePullBackOff, `image "work:1" of step "work" can't be pulled: ErrImagePull: not found`)
	shown := w.table(w)
	w.Expect(shown).To(HaveLen(2))
	w.Expect(shown[0]).To(MatchRegexp(`^NAME +PIPELINE +STAGE +PHASE +REASON +PERCENT +AGE$`))
	w.Expect(shown[1]).To(MatchRegexp(`^work-[0-9a-f-]{36} +p +Work +Running +ImagePullBackOff +`))
	for _, line := range shown {
		w.Expect(len(line)).To(BeNumerically("<=", 120), line)
	}

	written := w.PipelineJob(w).ResourceVersion
	pulls("ImagePullBackOff", "Back-off pulling image")
	w.Consistently(func(g Gomega) { g.Expect(w.PipelineJob(g).ResourceVersion).To(Equal(written)) }).WithTimeout(time.Second).
		Should(Succeed(), "the kubelet alternates between two reasons")

	w.endPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"),
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	w.isRunning(metav1.ConditionTrue, v1alpha1.ReasonJobStarted)
}

// TestSuspendedJobIsShown: Kueue suspends a Job.
func TestSuspendedJobIsShown(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	job.Labels["kueue.x-k8s.io/queue-name"] = "team-a"
	job.Spec.Suspend = ptr.To(true)
	w.Expect(w.Kube.Update(w.Ctx, job)).To(Succeed())
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonSuspended, "Kueue", "team-a")
	job.Spec.Suspend = ptr.To(false)
	w.Expect(w.Kube.Update(w.Ctx, job)).To(Succeed())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}})
	w.isRunning(metav1.ConditionTrue, v1alpha1.ReasonJobStarted)
}

// TestQuotaIsShown: a quota refuses the pod of a Job. The Job does not change, and only an event
// shows it.
func TestQuotaIsShown(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	now := metav1.Now()
	w.Expect(w.Kube.Create(w.Ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "refused", Namespace: w.Namespace},
		InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: w.Namespace, Name: job.Name},
		Reason:         "FailedCreate", Message: `Error creating: pods "` + job.Name + `-x7k2p" is forbidden: exceeded quota: team, requested: cpu=4`,
		FirstTimestamp: now, LastTimestamp: now, Count: 3, Type: corev1.EventTypeWarning,
	})).To(Succeed())
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonQuotaExceeded, "exceeded quota: team")
}

// TestQuotaIsWaitedForLong: a quota refuses the pod of a Job for an hour, and the run continues to
// wait.
func TestQuotaIsWaitedForLong(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	refused := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "refused", Namespace: w.Namespace},
		InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: w.Namespace, Name: job.Name},
		Reason:         "FailedCreate", Message: `Error creating: pods "x" is forbidden: exceeded quota: team, requested: cpu=4`,
		FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Count: 3, Type: corev1.EventTypeWarning,
	}
	w.Expect(w.Kube.Create(w.Ctx, refused)).To(Succeed())
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonQuotaExceeded, "exceeded quota: team, requested: cpu=4")
	w.Clock.Step(time.Hour)
	metav1.SetMetaDataAnnotation(&job.ObjectMeta, "test/touched", "true")
	w.Expect(w.Kube.Update(w.Ctx, job)).To(Succeed())
	w.Consistently(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.FinishedAt).To(BeNil()) }).WithTimeout(time.Second).Should(Succeed())
}

// TestGracePeriodOfAnAction: an action fails as soon as its own grace period is over.
func TestGracePeriodOfAnAction(t *testing.T) {
	w := newWorld(t)
	w.work(func(a *v1alpha1.CustomAction) {
		a.Spec.GracePeriods = &v1alpha1.GracePeriods{ImagePull: &metav1.Duration{Duration: 30 * time.Minute}}
	})
	job := w.RunningJob(1)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
		endedNow(podcontract.ContainerFetch, "Completed"), waits("work", "ErrImagePull", "not found"),
	}})
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonImagePullBackOff)
	w.Clock.Step(29 * time.Minute)
	w.touch(job)
	w.Consistently(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.FinishedAt).To(BeNil()) }).WithTimeout(time.Second).Should(Succeed())
	w.Clock.Step(2 * time.Minute)
	w.touch(job)
	w.failsStopped("ConfigurationError", `the image "work:1" of step "work" can't be used`)
}
