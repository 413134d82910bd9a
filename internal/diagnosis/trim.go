package diagnosis

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// Trim reduces a pod or Job to the fields that Observe reads, its names and its owners, because a
// cache has thousands of them. It does not change other objects.
//
// If an object still takes more than bounds.Object, which no pod or Job of a run does, only its
// metadata are kept. Users who may create pods can set the label of the operator's pods.
func Trim(object any) {
	switch object := object.(type) {
	case *corev1.Pod:
		trimMeta(&object.ObjectMeta, v1alpha1.LabelPipelineJob)
		claims := volumesToWaitFor(*object)
		object.Spec = trimmedSpec(object.Spec, ended(object.Status))
		object.Spec.Volumes = claims
		object.Status = trimmedPodStatus(object.Status)
		if bounds.Memory(object) > bounds.Object {
			*object = corev1.Pod{ObjectMeta: object.ObjectMeta}
		}
	case *batchv1.Job:
		trimMeta(&object.ObjectMeta, labelQueue)
		object.Spec = batchv1.JobSpec{
			Suspend: object.Spec.Suspend, ActiveDeadlineSeconds: object.Spec.ActiveDeadlineSeconds,
			Template: corev1.PodTemplateSpec{Spec: onlySidecars(object.Spec.Template.Spec)},
		}
		object.Status.UncountedTerminatedPods = nil
		if bounds.Memory(object) > bounds.Object {
			*object = batchv1.Job{ObjectMeta: object.ObjectMeta}
		}
	}
}

// trimMeta keeps only the label that is read.
func trimMeta(object *metav1.ObjectMeta, label string) {
	object.GenerateName = ""
	object.ManagedFields, object.Annotations, object.Finalizers = nil, nil, nil
	object.OwnerReferences = slices.DeleteFunc(object.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return !ptr.Deref(owner.Controller, false)
	})
	value, ok := object.Labels[label]
	object.Labels = nil
	if ok {
		object.Labels = map[string]string{label: value}
	}
}

func trimmedSpec(spec corev1.PodSpec, ended map[string]bool) corev1.PodSpec {
	trimmed := corev1.PodSpec{
		NodeName: spec.NodeName, SchedulerName: spec.SchedulerName, SchedulingGates: spec.SchedulingGates,
		InitContainers: trimmedContainers(spec.InitContainers, ended), Containers: trimmedContainers(spec.Containers, ended),
	}
	if spec.Resources != nil {
		trimmed.Resources = ptr.To(onlyMemory(*spec.Resources))
	}
	return trimmed
}

// volumesToWaitFor returns the volumes with claims if the pod has no node.
func volumesToWaitFor(pod corev1.Pod) []corev1.Volume {
	if len(ClaimsOf(pod)) == 0 {
		return nil
	}
	return onlyClaims(pod.Spec.Volumes)
}

// trimmedContainers returns the sidecars, except for codepipeline-progress, which is known by its
// name, and the containers with a memory limit that have ended, possibly because of it. A container
// takes as much memory as the rest of a trimmed pod.
func trimmedContainers(containers []corev1.Container, ended map[string]bool) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		of := &containers[i]
		trimmed := corev1.Container{Name: of.Name, RestartPolicy: of.RestartPolicy}
		if ended[of.Name] {
			trimmed.Resources = onlyMemory(of.Resources)
		}
		if of.RestartPolicy != nil && of.Name != podcontract.ContainerProgress || trimmed.Resources.Limits != nil {
			kept = append(kept, trimmed)
		}
	}
	return slices.Clone(kept) // without spare capacity
}

// ended returns the names of a pod's containers that have ended at least once.
func ended(status corev1.PodStatus) map[string]bool {
	names := map[string]bool{}
	for _, of := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		if hasEnded(of) {
			names[of.Name] = true
		}
	}
	return names
}

func hasEnded(of corev1.ContainerStatus) bool {
	return of.State.Terminated != nil || of.LastTerminationState.Terminated != nil
}

// onlySidecars reduces the spec of a Job's pods to the sidecars, except for codepipeline-progress.
// Limits are read from the pods.
func onlySidecars(spec corev1.PodSpec) corev1.PodSpec {
	sidecars := slices.DeleteFunc(slices.Clone(spec.InitContainers), func(c corev1.Container) bool {
		return c.RestartPolicy == nil || c.Name == podcontract.ContainerProgress
	})
	for i := range sidecars {
		sidecars[i] = corev1.Container{Name: sidecars[i].Name, RestartPolicy: sidecars[i].RestartPolicy}
	}
	if len(sidecars) == 0 {
		return corev1.PodSpec{}
	}
	return corev1.PodSpec{InitContainers: slices.Clone(sidecars)}
}

func onlyMemory(resources corev1.ResourceRequirements) corev1.ResourceRequirements {
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok {
		return corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: limit}}
	}
	return corev1.ResourceRequirements{}
}

func trimmedPodStatus(status corev1.PodStatus) corev1.PodStatus {
	trimmed := corev1.PodStatus{
		Phase: status.Phase, Message: status.Message, Reason: status.Reason, Conditions: status.Conditions,
		InitContainerStatuses: trimmedStatuses(status.InitContainerStatuses), ContainerStatuses: trimmedStatuses(status.ContainerStatuses),
	}
	if status.Resources != nil {
		trimmed.Resources = ptr.To(onlyMemory(*status.Resources))
	}
	return trimmed
}

func trimmedStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	var trimmed []corev1.ContainerStatus
	for _, of := range statuses {
		trimmed = append(trimmed, corev1.ContainerStatus{
			Name: of.Name, Image: of.Image, Started: of.Started,
			State: withoutID(of.State), LastTerminationState: withoutID(of.LastTerminationState), Resources: memoryOfEnded(of),
		})
	}
	return trimmed
}

// withoutID removes the ID of an ended container.
func withoutID(state corev1.ContainerState) corev1.ContainerState {
	if state.Terminated != nil {
		state.Terminated.ContainerID = ""
	}
	return state
}

// memoryOfEnded returns the memory limit of a container that has ended.
func memoryOfEnded(of corev1.ContainerStatus) *corev1.ResourceRequirements {
	if of.Resources == nil || !hasEnded(of) {
		return nil
	}
	return ptr.To(onlyMemory(*of.Resources))
}
