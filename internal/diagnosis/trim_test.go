package diagnosis

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// observeTrimmed is Observe. It panics if trimmed objects result in another outcome.
func observeTrimmed(e Evidence) Outcome {
	outcome := Observe(e)
	trimmed := e
	if e.Job != nil {
		trimmed.Job = e.Job.DeepCopy()
		Trim(trimmed.Job)
	}
	trimmed.Pods = nil
	for i := range e.Pods {
		pod := e.Pods[i].DeepCopy()
		Trim(pod)
		trimmed.Pods = append(trimmed.Pods, *pod)
	}
	if got := Observe(trimmed); !equality.Semantic.DeepEqual(got, outcome) {
		panic(fmt.Sprintf("trimmed objects show %#v instead of %#v", got, outcome))
	}
	return outcome
}

// TestTrimLeavesOutTheBulk trims a pod and a Job with long arguments, environment and annotations.
func TestTrimLeavesOutTheBulk(t *testing.T) {
	bulk := strings.Repeat("x", 10_000)
	spec := corev1.PodSpec{
		Volumes: []corev1.Volume{{Name: bulk}},
		Containers: []corev1.Container{{
			Name: "work", Args: []string{bulk}, Command: []string{bulk}, Env: []corev1.EnvVar{{Name: "A", Value: bulk}},
			VolumeMounts: []corev1.VolumeMount{{Name: bulk}},
		}},
	}
	pod := &corev1.Pod{Spec: spec}
	pod.Annotations, pod.Labels = map[string]string{"a": bulk}, map[string]string{"a": bulk, v1alpha1.LabelPipelineJob: "work-1", labelQueue: "work-1"}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "work", ImageID: bulk, ContainerID: bulk}}
	job := &batchv1.Job{ObjectMeta: *pod.ObjectMeta.DeepCopy()}
	job.Spec.Template.Spec, job.Spec.Template.Annotations = *spec.DeepCopy(), pod.Annotations
	for _, object := range []any{pod, job} {
		Trim(object)
		NewWithT(t).Expect(fmt.Sprintf("%v", object)).To(And(ContainSubstring("work-1"), Not(ContainSubstring(bulk))))
	}
}

// TestTrimKeepsLimitsOfWhatEnded: running containers, of which there are thousands, are not kept.
func TestTrimKeepsLimitsOfWhatEnded(t *testing.T) {
	limited := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{
		{Name: "ended", Resources: limited}, {Name: "started-again", Resources: limited}, {Name: "runs", Resources: limited},
	}}}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: "ended", State: ended}, {Name: "started-again", LastTerminationState: ended}, {Name: "runs", Resources: &limited},
	}
	Trim(pod)
	var kept []string
	for _, container := range pod.Spec.InitContainers {
		kept = append(kept, container.Name)
	}
	g := NewWithT(t)
	g.Expect(kept).To(Equal([]string{"ended", "started-again"}))
	g.Expect(pod.Status.InitContainerStatuses[2].Resources).To(BeNil())
}
