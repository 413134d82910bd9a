package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Runner configures the wrapper containers, which the operator adds to the pods of an
// action: codepipeline-fetch, codepipeline-report and codepipeline-progress.
type Runner struct {
	// resources are the requests and limits of each wrapper container. They replace
	// all of those of the operator's flag --runner-resources: what is left out here
	// is not set, and {} sets none.
	//
	// A limit of ephemeral-storage limits what the whole pod writes, including the
	// shared volume, unless steps have larger limits.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// env are variables of codepipeline-fetch and codepipeline-report, which
	// transfer artifacts: proxies (HTTPS_PROXY, NO_PROXY) and settings of AWS SDKs,
	// such as AWS_USE_FIPS_ENDPOINT: 100 at most. They take precedence over envFrom,
	// and envFrom over the variables that the operator passes on from its own
	// environment.
	//
	// A value with a password must come from a Secret: set valueFrom.secretKeyRef.
	// Credentials, the region and the profile of AWS can't be set: the wrapper
	// containers use the credentials and the region of the job. References such as $(config.KEY) are not
	// replaced.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom are Secrets and ConfigMaps with variables of the same containers: 100 at
	// most.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// ca is the ConfigMap with the certificates that the same containers trust,
	// instead of the public ones (AWS_CA_BUNDLE). The default is that of the
	// operator's flag --runner-ca.
	// +optional
	CA *CABundle `json:"ca,omitempty"`
}

// CABundle is a key of a ConfigMap with PEM certificates.
type CABundle struct {
	// name of a ConfigMap in the namespace of the CustomAction: 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key with the certificates, in PEM format: 1 to 253 characters, ca.crt by default.
	// +optional
	// +kubebuilder:default="ca.crt"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// DefaultCAKey is the key of a CABundle without a key. Flux and Kubernetes' own
// kube-root-ca.crt use it too.
const DefaultCAKey = "ca.crt"
