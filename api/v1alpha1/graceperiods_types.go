package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GracePeriods say for how long a run may be held up by what may pass, before it fails.
// Each is 1s to 24h, such as 90s, 10m or 1h30m.
//
// A used-up ResourceQuota has none: the run waits for it as long as the action may
// take, which is spec.timeout, or about 24 hours.
type GracePeriods struct {
	// imagePull is how long an image may not be pulled: 2m by default. A pull that is
	// under way does not count.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	ImagePull *metav1.Duration `json:"imagePull,omitempty"`

	// scheduling is how long no node may be found for the pod, or its node may start
	// none of its containers, such as for want of a volume: 10m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Scheduling *metav1.Duration `json:"scheduling,omitempty"`

	// start is how long a container may not be created or started, such as for want of a
	// Secret, or a sidecar may crash before the steps after it could start: 2m by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Start *metav1.Duration `json:"start,omitempty"`

	// node is how long a deleted pod may not end, because its node does not answer: 10m
	// by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be from 1s to 24h, such as 90s or 1h30m"
	Node *metav1.Duration `json:"node,omitempty"`
}
