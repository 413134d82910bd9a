package jobspec

import (
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// checkReserved refuses a template whose containers would get the Secret of a PipelineJob, which
// has the credentials for artifacts, or use reserved names and paths. The references must have been
// replaced, because their values may be part of a name.
//
// Nothing in a pod is protected from a container that is privileged, or has access to the
// node's file system.
func checkReserved(pod corev1.PodSpec) error {
	var c reservedCheck
	shared := pod.ShareProcessNamespace != nil && *pod.ShareProcessNamespace
	c.refuse(shared, atPod+".shareProcessNamespace", "must not be true: containers would see the files of the wrapper containers, with the credentials for artifacts")
	c.refuse(pod.HostPID, atPod+".hostPID", "must not be true: containers would see the files of the wrapper containers, with the credentials for artifacts")
	for i := range pod.InitContainers {
		c.container(&pod.InitContainers[i], fmt.Sprintf("%s.initContainers[%d]", atPod, i))
	}
	for i := range pod.Containers {
		c.container(&pod.Containers[i], fmt.Sprintf("%s.containers[%d]", atPod, i))
	}
	for i := range pod.Volumes {
		c.volume(&pod.Volumes[i], fmt.Sprintf("%s.volumes[%d]", atPod, i))
	}
	return c.join()
}

// reservedCheck collects the uses of reserved names and paths.
type reservedCheck struct{ problems }

func (c *reservedCheck) name(name, field string) {
	c.refuse(strings.HasPrefix(name, podcontract.ContainerPrefix), field+".name",
		fmt.Sprintf("must not begin with %q: such names are the operator's own", podcontract.ContainerPrefix))
}

func (c *reservedCheck) secretName(name, field string) {
	c.refuse(naming.IsSecretName(name), field, "must not be the Secret of a PipelineJob: steps get the values of secret properties as environment variables")
}

func (c *reservedCheck) container(container *corev1.Container, field string) {
	c.name(container.Name, field)
	for i, mount := range container.VolumeMounts {
		at := fmt.Sprintf("%s.volumeMounts[%d]", field, i)
		c.name(mount.Name, at)
		place := filepath.Clean("/" + mount.MountPath) // runtimes resolve relative paths from the root
		c.refuse(place == "/", at+".mountPath", fmt.Sprintf("must not be the root of the container: %s, the volume that all steps share, would be below it", podcontract.Root))
		c.refuse(strings.HasPrefix(place+"/", podcontract.Root+"/"), at+".mountPath", fmt.Sprintf("must not be %s or below it: the volume that all steps share (spec.workspace) is there", podcontract.Root))
	}
	for i, variable := range container.Env {
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil {
			c.secretName(from.SecretKeyRef.Name, fmt.Sprintf("%s.env[%d].valueFrom.secretKeyRef.name", field, i))
		}
	}
	for i, from := range container.EnvFrom {
		if from.SecretRef != nil {
			c.secretName(from.SecretRef.Name, fmt.Sprintf("%s.envFrom[%d].secretRef.name", field, i))
		}
	}
}

func (c *reservedCheck) volume(volume *corev1.Volume, field string) {
	c.name(volume.Name, field)
	for _, reader := range secretsOf(volume) {
		c.secretName(reader.name, field+"."+reader.field)
	}
	if volume.Projected == nil {
		return
	}
	for i, source := range volume.Projected.Sources {
		if source.Secret != nil {
			c.secretName(source.Secret.Name, fmt.Sprintf("%s.projected.sources[%d].secret.name", field, i))
		}
	}
}

// secretReference is a field below a volume that names a Secret.
type secretReference struct{ field, name string }

// secretsOf returns the Secrets that a volume reads or passes to its driver. It does not cover
// projected volumes, which have a list.
func secretsOf(volume *corev1.Volume) []secretReference {
	var found []secretReference
	if volume.Secret != nil {
		found = append(found, secretReference{"secret.secretName", volume.Secret.SecretName})
	}
	if volume.AzureFile != nil {
		found = append(found, secretReference{"azureFile.secretName", volume.AzureFile.SecretName})
	}
	local := func(field string, reference *corev1.LocalObjectReference) {
		if reference != nil {
			found = append(found, secretReference{field, reference.Name})
		}
	}
	if volume.CSI != nil {
		local("csi.nodePublishSecretRef.name", volume.CSI.NodePublishSecretRef)
	}
	if volume.FlexVolume != nil {
		local("flexVolume.secretRef.name", volume.FlexVolume.SecretRef)
	}
	if volume.CephFS != nil {
		local("cephfs.secretRef.name", volume.CephFS.SecretRef)
	}
	if volume.RBD != nil {
		local("rbd.secretRef.name", volume.RBD.SecretRef)
	}
	if volume.ISCSI != nil {
		local("iscsi.secretRef.name", volume.ISCSI.SecretRef)
	}
	if volume.ScaleIO != nil {
		local("scaleIO.secretRef.name", volume.ScaleIO.SecretRef)
	}
	if volume.StorageOS != nil {
		local("storageos.secretRef.name", volume.StorageOS.SecretRef)
	}
	return found
}
