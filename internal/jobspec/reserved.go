package jobspec

import (
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// checkReserved refuses what would give a template's containers the job's Secret, in
// which the credentials for artifacts are, or the place of what is the
// operator's own. It is for a template whose references are replaced: they may
// make a name that is not in the CustomAction.
//
// A container that is privileged, or sees the node's file system, is not kept
// from anything in a pod.
func checkReserved(pod corev1.PodSpec, job *v1alpha1.PipelineJob) error {
	c := reservedCheck{secret: naming.SecretName(job)}
	shared := pod.ShareProcessNamespace != nil && *pod.ShareProcessNamespace
	c.refuse(shared, atPod+".shareProcessNamespace", "must not be true: containers would see the files of the operator's, with the credentials for artifacts")
	c.refuse(pod.HostPID, atPod+".hostPID", "must not be true: containers would see the files of the operator's, with the credentials for artifacts")
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
type reservedCheck struct {
	problems
	secret string
}

func (c *reservedCheck) name(name, field string) {
	c.refuse(strings.HasPrefix(name, podcontract.ContainerPrefix), field+".name",
		fmt.Sprintf("must not begin with %q: such names are the operator's own", podcontract.ContainerPrefix))
}

func (c *reservedCheck) secretName(name, field string) {
	c.refuse(name == c.secret, field, "must not be the job's own Secret: steps get the values of secret properties as environment variables")
}

func (c *reservedCheck) container(container *corev1.Container, field string) {
	c.name(container.Name, field)
	for i, mount := range container.VolumeMounts {
		at := fmt.Sprintf("%s.volumeMounts[%d]", field, i)
		c.name(mount.Name, at)
		below := strings.HasPrefix(filepath.Clean(mount.MountPath)+"/", podcontract.Root+"/")
		c.refuse(below, at+".mountPath", fmt.Sprintf("must not be %s or below it: the volume that all steps share is there, which spec.workspace chooses", podcontract.Root))
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
	if volume.Secret != nil {
		c.secretName(volume.Secret.SecretName, field+".secret.secretName")
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
