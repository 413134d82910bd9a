package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GracePeriods set for how long temporary failures may block a run before it fails. Each is
// 1s to 24h, such as 90s, 10m or 1h30m.
//
// There is no grace period for a used-up ResourceQuota: the run waits for as long as the
// action may take, which is spec.timeout or, without it, the operator's --action-timeout
// (24h).
type GracePeriods struct {
	// imagePull is for an image that can't be pulled: 2m by default. A running pull does
	// not count.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	ImagePull *metav1.Duration `json:"imagePull,omitempty"`

	// scheduling is for a pod that fits on no node, or whose node starts no container, for
	// example because a volume is missing: 10m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Scheduling *metav1.Duration `json:"scheduling,omitempty"`

	// start is for a container that can't be created or started, for example because a
	// Secret is missing, and for a sidecar that crashes before the steps after it could
	// start: 2m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Start *metav1.Duration `json:"start,omitempty"`

	// node is for a deleted pod that does not end because its node does not respond: 10m
	// by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Node *metav1.Duration `json:"node,omitempty"`
}
