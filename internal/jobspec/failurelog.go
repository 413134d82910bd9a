package jobspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// TellsLog reports whether a rule allows copying the last log lines of a failed step. The Secret
// with the values of secret properties does not count, because these values are masked.
func TellsLog(rule v1alpha1.FailureLog, pod corev1.PodSpec, step string, job *v1alpha1.PipelineJob) bool {
	switch v1alpha1.StricterFailureLog(rule, v1alpha1.FailureLogAlways) {
	case v1alpha1.FailureLogAlways:
		return true
	case v1alpha1.FailureLogNoSecrets:
		return !refersToSecret(pod, step, naming.SecretName(job))
	default:
		return false
	}
}

// refersToSecret reports whether a container refers to a Secret other than own, by its variables or
// by a volume that it mounts. It returns true for a container that is not in the pod.
func refersToSecret(pod corev1.PodSpec, name, own string) bool {
	containers := slices.Concat(pod.InitContainers, pod.Containers)
	at := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if at < 0 {
		return true
	}
	container, other := containers[at], func(name string) bool { return name != own }
	return slices.ContainsFunc(container.Env, func(variable corev1.EnvVar) bool {
		return variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil && other(variable.ValueFrom.SecretKeyRef.Name)
	}) || slices.ContainsFunc(container.EnvFrom, func(from corev1.EnvFromSource) bool {
		return from.SecretRef != nil && other(from.SecretRef.Name)
	}) || slices.ContainsFunc(pod.Volumes, func(volume corev1.Volume) bool {
		return hasSecret(&volume) && mounts(container, volume.Name)
	})
}

// hasSecret reports whether a volume has a Secret's content or is mounted with one. Inline CSI
// volumes count, because most of their drivers provide secrets.
func hasSecret(volume *corev1.Volume) bool {
	return volume.CSI != nil || len(secretsOf(volume)) > 0 || volume.Projected != nil &&
		slices.ContainsFunc(volume.Projected.Sources, func(source corev1.VolumeProjection) bool { return source.Secret != nil })
}

func mounts(container corev1.Container, volume string) bool {
	return slices.ContainsFunc(container.VolumeMounts, func(mount corev1.VolumeMount) bool { return mount.Name == volume }) ||
		slices.ContainsFunc(container.VolumeDevices, func(device corev1.VolumeDevice) bool { return device.Name == volume })
}
