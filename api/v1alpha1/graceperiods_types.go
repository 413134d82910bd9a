package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GracePeriods say for how long a run may be blocked by conditions that may pass, before
// it fails. Each is 1s to 24h, such as 90s, 10m or 1h30m.
//
// A ResourceQuota that is used up has none: the run waits for as long as the action may
// take, which is spec.timeout or, without it, the operator's --action-timeout (24h).
type GracePeriods struct {
	// imagePull is for an image that can't be pulled: 2m by default. A pull that is under
	// way does not count.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	ImagePull *metav1.Duration `json:"imagePull,omitempty"`

	// scheduling is for a pod for which no node is found, or of which its node starts no
	// container, because a volume is missing, for example: 10m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Scheduling *metav1.Duration `json:"scheduling,omitempty"`

	// start is for a container that can't be created or started, because a Secret is
	// missing, for example, and for a sidecar that crashes before the steps after it
	// could start: 2m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Start *metav1.Duration `json:"start,omitempty"`

	// node is for a deleted pod that does not end because its node does not answer: 10m
	// by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Node *metav1.Duration `json:"node,omitempty"`
}
