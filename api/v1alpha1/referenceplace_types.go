package v1alpha1

// ReferencePlace is an additional place in spec.jobTemplate for references to values that
// pipelines control, such as $(config.KEY). They are always allowed in values of env, labels
// and annotations, and in elements of command and args, and never in the script of a shell's
// -c.
//
// Each place gives control to everyone who can change a pipeline of the account, or start
// one with variables. Grant it only if all of them may have that control.
//
// +kubebuilder:validation:Enum=Image;NodeSelector;Tolerations;PriorityClassName;ServiceAccountName;WorkingDir;SubPath;ConfigMapName;SecretName;ClaimName
type ReferencePlace string

const (
	// ReferenceInImage is for the image of a container. The pipeline then chooses the program
	// that runs with the step's Secrets, service account and volumes, from any registry
	// that the nodes can reach: limit the registries with an admission policy.
	ReferenceInImage ReferencePlace = "Image"
	// ReferenceInNodeSelector is for the values of the pod's nodeSelector. The pipeline then
	// chooses nodes, which may be expensive or reserved for other work, unless taints keep
	// pods off them.
	ReferenceInNodeSelector ReferencePlace = "NodeSelector"
	// ReferenceInTolerations is for the keys and values of the pod's tolerations. The pipeline
	// then chooses which taints keep its pods off nodes: with NodeSelector, any node.
	ReferenceInTolerations ReferencePlace = "Tolerations"
	// ReferenceInPriorityClassName is for the pod's priorityClassName. The pipeline's pods can
	// then evict those of others, unless a quota restricts the priority classes.
	ReferenceInPriorityClassName ReferencePlace = "PriorityClassName"
	// ReferenceInServiceAccountName is for the pod's serviceAccountName. The pipeline's steps
	// can then act as any service account of the namespace, in the cluster and, by IRSA or
	// Pod Identity, in AWS.
	ReferenceInServiceAccountName ReferencePlace = "ServiceAccountName"
	// ReferenceInWorkingDir is for the workingDir of a container. Programs that load plugins or
	// configuration from there then load them from a folder of the pipeline's choice.
	ReferenceInWorkingDir ReferencePlace = "WorkingDir"
	// ReferenceInSubPath is for the subPath and subPathExpr of a volume mount. A pipeline can
	// then read and change what others keep in the same volume, such as a cache.
	ReferenceInSubPath ReferencePlace = "SubPath"
	// ReferenceInConfigMapName is for the names of ConfigMaps in env, envFrom and volumes. The
	// pipeline's steps can then read any ConfigMap of the namespace.
	ReferenceInConfigMapName ReferencePlace = "ConfigMapName"
	// ReferenceInSecretName is for the names of Secrets in env, envFrom and volumes. The
	// pipeline's steps can then read any Secret of the namespace, including those that the
	// operator created for other jobs.
	ReferenceInSecretName ReferencePlace = "SecretName"
	// ReferenceInClaimName is for the claimName of a persistentVolumeClaim volume. The
	// pipeline's steps can then read and change any volume that has a claim in the namespace.
	ReferenceInClaimName ReferencePlace = "ClaimName"
)
