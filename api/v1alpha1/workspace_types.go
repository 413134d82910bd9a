package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Workspace is the volume at /codepipeline that all containers of a pod share: artifacts,
// results, and what steps leave for later ones. By default it is an emptyDir on the node's
// disk.
//
// +kubebuilder:validation:XValidation:rule="!has(self.volumeClaimTemplate) || !has(self.sizeLimit)",message="sizeLimit can't be set beside volumeClaimTemplate: remove it, and set spec.resources.requests.storage of the claim",fieldPath=".sizeLimit"
// +kubebuilder:validation:XValidation:rule="!has(self.volumeClaimTemplate) || !has(self.medium)",message="medium can't be set beside volumeClaimTemplate: remove one of the two",fieldPath=".medium"
// +kubebuilder:validation:XValidation:rule="!has(self.medium) || has(self.sizeLimit)",message="sizeLimit must be set with medium Memory: without it the workspace could take all of the node's memory",fieldPath=".sizeLimit"
type Workspace struct {
	// sizeLimit is the size of the emptyDir, such as 20Gi: more than 0. On a disk, a
	// pod whose workspace exceeds it is evicted, and the action fails; in memory, writes
	// fail. The default is the operator's flag --workspace-size-limit; without it, only
	// the size of the disk is the limit.
	// +optional
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`

	// medium is Memory for an emptyDir in the node's memory, and absent for one on its
	// disk. What a container writes to memory counts against its memory limit and, after
	// its end, against the pod's.
	// +optional
	Medium WorkspaceMedium `json:"medium,omitempty"`

	// volumeClaimTemplate replaces the emptyDir: each pod gets a volume with its own claim
	// (a generic ephemeral volume), which Kubernetes deletes with the pod. If
	// spec.jobTemplate sets no fsGroup, the operator sets it to 65532, with
	// fsGroupChangePolicy OnRootMismatch, so that all steps can write to the volume.
	// References are not replaced in it.
	// +optional
	VolumeClaimTemplate *corev1.PersistentVolumeClaimTemplate `json:"volumeClaimTemplate,omitempty"`
}

// WorkspaceMedium is the medium of a workspace that is an emptyDir.
//
// +kubebuilder:validation:Enum=Memory
type WorkspaceMedium string

// WorkspaceMemory is the node's memory: a tmpfs.
const WorkspaceMemory WorkspaceMedium = "Memory"
