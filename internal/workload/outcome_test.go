package workload

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestObserve(t *testing.T) {
	cases := map[string]struct {
		job  *batchv1.Job
		pods []corev1.Pod
		want Outcome
	}{
		"no pod yet":      {job: jobWith(""), want: Outcome{}},
		"a step runs":     {job: jobWith(""), pods: pods(waiting("work", "PodInitializing")), want: Outcome{}},
		"a small result":  {job: jobWith(batchv1.JobComplete), pods: pods(reported(result.Envelope{Result: &result.Result{Summary: "done"}})), want: Outcome{Result: &result.Result{Summary: "done"}}},
		"a large result":  {job: jobWith(batchv1.JobComplete), pods: pods(reported(result.Envelope{Log: &result.LogPointer{Size: 9, SHA256: digest64}})), want: Outcome{Log: &LogResult{Pod: "pod-1", Pointer: result.LogPointer{Size: 9, SHA256: digest64}}}},
		"its pod is gone": {job: jobWith(batchv1.JobComplete), want: systemUnavailable("the Job completed, but the pod that holds its result is gone: retry the action")},
		"a step exits with 3, and its last lines": {
			job: jobWith(batchv1.JobFailed), pods: pods(terminated("ok", 0, "Completed", ""), terminated("unit", 3, "Error", "assertion failed\n")),
			want: failure(v1alpha1.FailureJobFailed, "step \"unit\" failed: exit code 3\nassertion failed"),
		},
		"a step runs out of memory": {
			job: jobWith(batchv1.JobFailed), pods: pods(terminated("unit", 137, "OOMKilled", "")),
			want: failure(v1alpha1.FailureJobFailed, `step "unit" failed: exit code 137 (OOMKilled)`),
		},
		"a step's command is not there": {
			job: jobWith(batchv1.JobFailed), pods: pods(terminated("unit", 128, "StartError", "exec: \"nope\": not found")),
			want: failure(v1alpha1.FailureConfigurationError, "step \"unit\" failed: exit code 128 (StartError)\nexec: \"nope\": not found"),
		},
		"the fetch container says why": {
			job: jobWith(batchv1.JobFailed), pods: pods(ours(contract.ContainerFetch, result.Envelope{Failure: &result.Failure{Type: "RevisionUnavailable", Message: "input artifact \"source\": no such key"}})),
			want: failure(v1alpha1.FailureRevisionUnavailable, `input artifact "source": no such key`),
		},
		"the fetch container does not say why": {
			job: jobWith(batchv1.JobFailed), pods: pods(terminated(contract.ContainerFetch, 137, "OOMKilled", "")),
			want: failure(v1alpha1.FailureSystemUnavailable, "the container codepipeline-fetch ended without saying why: exit code 137 (OOMKilled)"),
		},
		"a sidecar's exit code does not count": {
			job: jobWith(batchv1.JobFailed), pods: pods(withSidecar(terminated("db", 143, "Error", ""), terminated("unit", 1, "Error", ""))),
			want: failure(v1alpha1.FailureJobFailed, `step "unit" failed: exit code 1`),
		},
		"the deadline": {
			job: jobFailed(batchv1.JobReasonDeadlineExceeded, ""), pods: pods(terminated("unit", 143, "Error", "")),
			want: failure(v1alpha1.FailureJobFailed, `the run took longer than spec.timeout allows and was stopped in step "unit"`),
		},
		"the pod was evicted": {
			job: jobWith(batchv1.JobFailed), pods: pods(evicted()),
			want: failure(v1alpha1.FailureSystemUnavailable, "the pod pod-1 failed: Evicted: low on memory"),
		},
		"no pod tells": {
			job:  jobFailed("BackoffLimitExceeded", "too often"),
			want: failure(v1alpha1.FailureJobFailed, "the Job failed: BackoffLimitExceeded: too often"),
		},
		"the newest pod tells": {
			job:  jobWith(batchv1.JobFailed),
			pods: []corev1.Pod{made(-time.Hour, terminated("old", 1, "Error", "")), made(0, terminated("new", 2, "Error", ""))},
			want: failure(v1alpha1.FailureJobFailed, `step "new" failed: exit code 2`),
		},
		"an image can't be pulled, at first": {job: jobWith(""), pods: []corev1.Pod{made(-time.Minute, waiting("unit", "ErrImagePull"))}, want: Outcome{}},
		"an image can't be pulled, for long": {
			job: jobWith(""), pods: []corev1.Pod{made(-3*time.Minute, waiting("unit", "ImagePullBackOff"))},
			want: failure(v1alpha1.FailureConfigurationError, `the image "work:1" of step "unit" can't be used: ImagePullBackOff: because`),
		},
		"an image name is invalid": {
			job: jobWith(""), pods: pods(waiting("unit", "InvalidImageName")),
			want: failure(v1alpha1.FailureConfigurationError, `the image "work:1" of step "unit" can't be used: InvalidImageName: because`),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Observe(c.job, c.pods, now)).To(Equal(c.want))
		})
	}
}

const digest64 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func failure(kind v1alpha1.FailureType, message string) Outcome {
	return Outcome{Failure: &Failure{kind, message}}
}

func jobWith(condition batchv1.JobConditionType) *batchv1.Job {
	job := &batchv1.Job{}
	if condition != "" {
		job.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue}}
	}
	return job
}

func jobFailed(reason, message string) *batchv1.Job {
	job := jobWith(batchv1.JobFailed)
	job.Status.Conditions[0].Reason, job.Status.Conditions[0].Message = reason, message
	return job
}

// podChange is something about a pod's containers.
type podChange func(*corev1.Pod)

func made(age time.Duration, changes ...podChange) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-1", CreationTimestamp: metav1.NewTime(now.Add(age))}}
	for _, change := range changes {
		change(&pod)
	}
	return pod
}

func pods(changes ...podChange) []corev1.Pod { return []corev1.Pod{made(0, changes...)} }

func terminated(name string, code int32, reason, message string) podChange {
	return func(pod *corev1.Pod) {
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{
			Name:  name,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}},
		})
	}
}

func ours(name string, envelope result.Envelope) podChange {
	content, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	return terminated(name, 1, "Error", string(content))
}

func reported(envelope result.Envelope) podChange {
	content, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name:  contract.ContainerReport,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: string(content)}},
		}}
	}
}

func waiting(name, reason string) podChange {
	return func(pod *corev1.Pod) {
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{
			Name: name, Image: "work:1",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}},
		})
	}
}

func withSidecar(changes ...podChange) podChange {
	return func(pod *corev1.Pod) {
		for _, change := range changes {
			change(pod)
		}
		pod.Spec.InitContainers = []corev1.Container{{Name: "db", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
	}
}

func evicted() podChange {
	return func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "low on memory"
	}
}
