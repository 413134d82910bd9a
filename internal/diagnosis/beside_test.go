package diagnosis

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// foreign adds the status of a regular container that a webhook has added.
func foreign(state corev1.ContainerState) podChange {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: "istio-proxy", Image: "proxy:1", State: state})
	}
}

var (
	atWorkState = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}}
	failedState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}
	noImage     = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}
)

// TestForeignContainer: a webhook has added a regular container. The run ends when the report
// container ends.
func TestForeignContainer(t *testing.T) {
	done := Outcome{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}}
	gave := reported(podcontract.Envelope{Result: done.Result})
	deadline := jobFailed(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []corev1.Pod
		want Outcome
	}{
		"goes on after the result":       {jobWith(""), pods(scheduledOn("node-a", 0), gave, foreign(atWorkState)), done},
		"goes on after a large result":   {jobWith(""), pods(scheduledOn("node-a", 0), reported(podcontract.Envelope{Log: &podcontract.LogPointer{Size: 9, SHA256: digest64}}), foreign(atWorkState)), Outcome{Log: &LogResult{Pod: "pod-1", Pointer: podcontract.LogPointer{Size: 9, SHA256: digest64}}}},
		"was never started":              {jobWith(""), pods(scheduledOn("node-a", 0), gave, foreign(noImage)), done},
		"fails after the result":         {jobFailed(batchv1.JobReasonBackoffLimitExceeded, ""), pods(failedPhase, gave, foreign(failedState)), done},
		"runs until the deadline":        {deadline, pods(deleted(0), gave, foreign(atWorkState)), done},
		"is there while a step works":    {jobWith(""), pods(scheduledOn("node-a", 0), running("unit", 0), foreign(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}})), Outcome{Working: true}},
		"can't be pulled beside a step":  {jobWith(""), pods(scheduledOn("node-a", 0), running("unit", 0), foreign(noImage)), Outcome{Working: true}},
		"works while the report is made": {jobWith(""), pods(scheduledOn("node-a", 0), running(podcontract.ContainerReport, 0), foreign(atWorkState)), Outcome{Working: true}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(observeTrimmed(evidence(c.job, c.pods))).To(Equal(c.want))
		})
	}
}

func TestForeignContainerHidesNoFailure(t *testing.T) {
	failure := podcontract.Envelope{Failure: &podcontract.Failure{Type: "PermissionError", Message: "access denied"}}
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []corev1.Pod
		kind v1alpha1.FailureType
		says string
	}{
		"the upload fails":     {jobWith(""), pods(scheduledOn("node-a", 0), ours(podcontract.ContainerReport, failure), foreign(atWorkState)), v1alpha1.FailurePermissionError, "access denied"},
		"it is lost meanwhile": {jobFailed(batchv1.JobReasonBackoffLimitExceeded, ""), pods(failedPhase, because("Evicted", "node pressure"), running(podcontract.ContainerReport, -time.Minute), foreign(failedState)), v1alpha1.FailureSystemUnavailable, "the pod pod-1 was lost in the operator's container codepipeline-report"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := observeTrimmed(evidence(c.job, c.pods)).Failure
			g.Expect(got).NotTo(BeNil())
			g.Expect(got.Type).To(Equal(c.kind))
			g.Expect(got.Message).To(ContainSubstring(c.says))
			g.Expect(got.Message).NotTo(ContainSubstring(`step "istio-proxy"`))
		})
	}
}

func TestForeignContainerIsNoStep(t *testing.T) {
	g := NewWithT(t)
	pod := made(0, foreign(atWorkState))
	g.Expect(nameIn(pod, "istio-proxy")).To(Equal(`container "istio-proxy", which is not of the CustomAction`))
	g.Expect(nameIn(pod, "unit")).To(Equal(`step "unit"`))
}

func TestSaidLast(t *testing.T) {
	said := podcontract.Progress{Summary: "3 of 120 tests failed", ExternalExecutionID: "398"}
	follower := func(envelope podcontract.Envelope) podChange { return ours(podcontract.ContainerProgress, envelope) }
	failed := jobFailed(batchv1.JobReasonBackoffLimitExceeded, "")
	for name, c := range map[string]struct {
		pods []corev1.Pod
		want *podcontract.Progress
	}{
		"before a step failed":            {pods(failedPhase, follower(podcontract.Envelope{Progress: &said}), terminated("unit", 1, "Error", "")), &said},
		"before a step ran out of memory": {pods(failedPhase, follower(podcontract.Envelope{Progress: &said}), terminated("unit", 137, "OOMKilled", "")), &said},
		"nothing":                         {pods(failedPhase, terminated(podcontract.ContainerProgress, 0, "Completed", ""), terminated("unit", 1, "Error", "")), nil},
		"by a step that forges it":        {pods(failedPhase, terminated("unit", 1, "Error", `{"progress":{"summary":"forged"}}`)), nil},
		"by the newest pod": {[]corev1.Pod{
			made(-time.Hour, named("old"), failedPhase, follower(podcontract.Envelope{Progress: &podcontract.Progress{Summary: "old"}})),
			made(0, failedPhase, follower(podcontract.Envelope{Progress: &said}), terminated("unit", 1, "Error", "")),
		}, &said},
	} {
		t.Run(name, func(t *testing.T) {
			got := observeTrimmed(evidence(failed, c.pods))
			NewWithT(t).Expect(got.Said).To(Equal(c.want))
		})
	}
}

func TestWithSummary(t *testing.T) {
	g := NewWithT(t)
	g.Expect(WithSummary("step failed.\nlog", "3 tests\nfailed: \x1b[31mlogin\x1b[0m ")).To(Equal("3 tests failed: login\nstep failed.\nlog"))
	g.Expect(WithSummary("step failed", " ")).To(Equal("step failed"))
	long := WithSummary("what. Way out\n"+strings.Repeat("line\n", 10_000)+"the end", strings.Repeat("x", 2048))
	g.Expect(utf8.RuneCountInString(long)).To(BeNumerically("<=", limits.FailureMessage))
	g.Expect(strings.Split(long, "\n")[0]).To(Equal(strings.Repeat("x", 499) + "…"))
	g.Expect(long).To(ContainSubstring("\nwhat. Way out\n"))
	g.Expect(long).To(HaveSuffix("\nthe end"))
}
