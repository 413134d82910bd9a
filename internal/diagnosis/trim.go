package diagnosis

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// Trim leaves of an object what Observe reads, and what its names and owners are: a
// cache has thousands of them. What is not a pod or a Job it leaves as it is.
func Trim(object any) {
	switch object := object.(type) {
	case *corev1.Pod:
		trimMeta(&object.ObjectMeta)
		object.Spec = trimmedSpec(object.Spec)
		trimPodStatus(&object.Status)
	case *batchv1.Job:
		trimMeta(&object.ObjectMeta)
		object.Spec = batchv1.JobSpec{
			Suspend: object.Spec.Suspend, ActiveDeadlineSeconds: object.Spec.ActiveDeadlineSeconds,
			Template: corev1.PodTemplateSpec{Spec: onlySidecars(object.Spec.Template.Spec)},
		}
		object.Status.UncountedTerminatedPods = nil
	}
}

func trimMeta(object *metav1.ObjectMeta) {
	object.ManagedFields, object.Annotations, object.Finalizers = nil, nil, nil
	labels := map[string]string{}
	for _, name := range []string{v1alpha1.LabelPipelineJob, batchv1.JobNameLabel, labelQueue} {
		if value, ok := object.Labels[name]; ok {
			labels[name] = value
		}
	}
	object.Labels = labels
}

func trimmedSpec(spec corev1.PodSpec) corev1.PodSpec {
	trimmed := corev1.PodSpec{
		NodeName: spec.NodeName, SchedulerName: spec.SchedulerName, SchedulingGates: spec.SchedulingGates,
		InitContainers: trimmedContainers(spec.InitContainers), Containers: trimmedContainers(spec.Containers),
	}
	if spec.Resources != nil {
		trimmed.Resources = ptr.To(onlyMemory(*spec.Resources))
	}
	return trimmed
}

// trimmedContainers are the sidecars and those with a memory limit. One takes as much room
// as all the rest of a trimmed pod.
func trimmedContainers(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		of := &containers[i]
		if of.RestartPolicy != nil || !of.Resources.Limits.Memory().IsZero() {
			kept = append(kept, corev1.Container{Name: of.Name, RestartPolicy: of.RestartPolicy, Resources: onlyMemory(of.Resources)})
		}
	}
	return slices.Clone(kept) // without room for more
}

// onlySidecars is the spec of a Job's pods: their limits are read from the pods.
func onlySidecars(spec corev1.PodSpec) corev1.PodSpec {
	sidecars := slices.DeleteFunc(slices.Clone(spec.InitContainers), func(c corev1.Container) bool { return c.RestartPolicy == nil })
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

// endedMemory is the memory limit that a container had, if it ended: it may be why.
func endedMemory(of corev1.ContainerStatus) *corev1.ResourceRequirements {
	if of.State.Terminated == nil && of.LastTerminationState.Terminated == nil {
		return nil
	}
	return ptr.To(onlyMemory(*of.Resources))
}

func trimPodStatus(status *corev1.PodStatus) {
	status.PodIP, status.PodIPs, status.HostIP, status.HostIPs = "", nil, "", nil
	status.AllocatedResources, status.ResourceClaimStatuses = nil, nil
	if status.Resources != nil {
		status.Resources = ptr.To(onlyMemory(*status.Resources))
	}
	for _, of := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range of {
			of[i].ImageID, of[i].ContainerID = "", ""
			of[i].AllocatedResources, of[i].AllocatedResourcesStatus = nil, nil
			of[i].VolumeMounts, of[i].User = nil, nil
			if of[i].Resources != nil {
				of[i].Resources = endedMemory(of[i])
			}
		}
	}
}
