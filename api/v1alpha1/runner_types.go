package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Runner tunes the wrapper containers, which the operator adds to the pods of an
// action: codepipeline-fetch, codepipeline-report and codepipeline-progress.
type Runner struct {
	// resources are the requests and limits of each wrapper container. They take
	// the place of the operator's (flag --runner-resources) as a whole: what is
	// left out here is not set, and {} sets none at all.
	//
	// A limit of ephemeral-storage bounds what the whole pod writes, the shared
	// volume included, unless steps have larger ones.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// env are variables of codepipeline-fetch and codepipeline-report, which
	// transfer artifacts: proxies (HTTPS_PROXY, NO_PROXY) and settings of AWS SDKs,
	// such as AWS_USE_FIPS_ENDPOINT. There are 100 at most. They take precedence over
	// those of envFrom, and those over the ones that the operator passes on from its
	// own environment.
	//
	// A value with a password must come from a Secret: set valueFrom.secretKeyRef.
	// Credentials, the region and the profile of AWS can't be set: the credentials
	// and the region of the job are used. References such as $(config.KEY) are not
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
	// in place of the public ones (AWS_CA_BUNDLE). By default it is that of the
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

	// key that holds the certificates, in PEM format: 1 to 253 characters, ca.crt by default.
	// +optional
	// +kubebuilder:default="ca.crt"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// DefaultCAKey is the key of a CABundle that names none. Flux and Kubernetes' own
// kube-root-ca.crt use it too.
const DefaultCAKey = "ca.crt"
