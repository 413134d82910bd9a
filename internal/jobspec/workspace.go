package jobspec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// setWorkspace sets up the shared volume as the CustomAction requests. byDefault is the size limit
// of an emptyDir if the CustomAction sets none. Zero means no limit.
func setWorkspace(pod *corev1.PodSpec, wanted *v1alpha1.Workspace, byDefault resource.Quantity, job *v1alpha1.PipelineJob) {
	at := indexOfShared(*pod)
	if at < 0 {
		return
	}
	if wanted == nil {
		wanted = &v1alpha1.Workspace{}
	}
	source := &pod.Volumes[at].VolumeSource
	if wanted.VolumeClaimTemplate != nil {
		*source = corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: claimOf(wanted.VolumeClaimTemplate, job)}}
		openToGroup(pod)
		return
	}
	limit := wanted.SizeLimit
	if limit == nil && !byDefault.IsZero() {
		limit = &byDefault
	}
	*source = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMedium(wanted.Medium), SizeLimit: limit}}
	if wanted.Medium == v1alpha1.WorkspaceMemory && limit != nil {
		makeRoom(pod, *limit)
	}
}

// claimOf returns the template of a claim, with the labels of everything that belongs to the job.
func claimOf(wanted *corev1.PersistentVolumeClaimTemplate, job *v1alpha1.PipelineJob) *corev1.PersistentVolumeClaimTemplate {
	claim := wanted.DeepCopy()
	for key, value := range naming.Labels(job) {
		metav1.SetMetaDataLabel(&claim.ObjectMeta, key, value)
	}
	return claim
}

// openToGroup makes the kubelet assign the pod's volumes to the group of all its containers: only
// root can write to a new file system. An fsGroup of the template is kept.
func openToGroup(pod *corev1.PodSpec) {
	if pod.SecurityContext == nil {
		pod.SecurityContext = &corev1.PodSecurityContext{}
	}
	if pod.SecurityContext.FSGroup != nil {
		return
	}
	pod.SecurityContext.FSGroup = ptr.To[int64](runnerUser)
	if pod.SecurityContext.FSGroupChangePolicy == nil {
		pod.SecurityContext.FSGroupChangePolicy = ptr.To(corev1.FSGroupChangeOnRootMismatch)
	}
}

// makeRoom raises the memory limit of the container that unpacks artifacts by the size of a
// workspace in memory: the kernel charges tmpfs pages to the container that writes them.
func makeRoom(pod *corev1.PodSpec, size resource.Quantity) {
	for i := range pod.InitContainers {
		resources := &pod.InitContainers[i].Resources
		limit, limited := resources.Limits[corev1.ResourceMemory]
		if pod.InitContainers[i].Name != podcontract.ContainerFetch || !limited {
			continue
		}
		limit.Add(size)
		resources.Limits = maps.Clone(resources.Limits) // other pods may share the map
		resources.Limits[corev1.ResourceMemory] = limit
	}
}

// checkWorkspace checks what the rules of the CRD can't: steps and wrapper containers must be able
// to write to the workspace.
func checkWorkspace(wanted *v1alpha1.Workspace) error {
	if wanted == nil {
		return nil
	}
	var p problems
	p.refuse(wanted.SizeLimit != nil && wanted.SizeLimit.Sign() <= 0, atWorkspace+".sizeLimit", "must be more than 0, such as 20Gi; leave it out for the operator's default")
	if claim := wanted.VolumeClaimTemplate; claim != nil {
		p.refuse(claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock, atWorkspace+".volumeClaimTemplate.spec.volumeMode",
			"must be Filesystem or absent: the workspace is a folder")
		modes := claim.Spec.AccessModes
		p.refuse(len(modes) > 0 && !slices.ContainsFunc(modes, writable), atWorkspace+".volumeClaimTemplate.spec.accessModes",
			"must have one that allows writing, such as ReadWriteOnce")
	}
	return p.join()
}

func writable(mode corev1.PersistentVolumeAccessMode) bool { return mode != corev1.ReadOnlyMany }

// workspaceField returns the field of the CustomAction from which a field of the shared volume in a
// built pod comes. It is empty for other fields, and if the CustomAction has no workspace.
func workspaceField(action *v1alpha1.CustomAction, pod corev1.PodSpec, field string) string {
	if action.Spec.Workspace == nil {
		return ""
	}
	volume := fmt.Sprintf("spec.template.spec.volumes[%d].", indexOfShared(pod))
	for _, source := range []string{"ephemeral.", "emptyDir."} {
		if of, is := strings.CutPrefix(field, volume+source); is {
			return atWorkspace + "." + of
		}
	}
	return ""
}

// indexOfShared returns the index of the shared volume in a pod, or -1.
func indexOfShared(pod corev1.PodSpec) int {
	return slices.IndexFunc(pod.Volumes, func(volume corev1.Volume) bool { return volume.Name == podcontract.SharedVolume })
}
