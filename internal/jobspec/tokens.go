package jobspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// The wrapper containers need no token, neither for the API server nor for AWS: they transfer
// artifacts with the job's credentials. This file keeps the tokens of the pod's service account,
// which steps may use, away from them.

const (
	noTokenVolume = podcontract.NoTokenVolume
	// tokenDir is where the API server's admission plugin mounts the token of the pod's service
	// account, in every container that has no mount there (plugin/pkg/admission/serviceaccount,
	// DefaultAPITokenMountPath).
	tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	// skipContainersAnnotation names the containers, including init containers, that the webhook
	// for IAM roles for service accounts and EKS Pod Identity skips. It is a line of CSV without
	// spaces. An empty volume at the webhook's mount path is no alternative: the webhook would add
	// its own mount at the same path, and the API server would refuse the pod.
	skipContainersAnnotation = "eks.amazonaws.com/skip-containers"
)

// noToken replaces the mount of the token in a container.
var noToken = corev1.VolumeMount{Name: noTokenVolume, MountPath: tokenDir, ReadOnly: true}

// noTokenSize suffices for an empty folder. Some policies require a limit for every emptyDir.
var noTokenSize = resource.MustParse("1Mi")

// skipIdentityWebhook adds the wrapper containers to the containers that get no token for AWS.
func skipIdentityWebhook(pod *metav1.ObjectMeta) {
	names := skippedContainers(pod.Annotations[skipContainersAnnotation])
	for _, wrapper := range podcontract.Wrappers {
		if !slices.Contains(names, wrapper) {
			names = append(names, wrapper)
		}
	}
	metav1.SetMetaDataAnnotation(pod, skipContainersAnnotation, strings.Join(names, ","))
}

// skippedContainers returns the container names in the annotation of a template. It drops invalid
// names: a quote would make the whole line invalid, and a line break would hide the names after it.
func skippedContainers(given string) []string {
	var names []string
	for name := range strings.FieldsFuncSeq(given, func(r rune) bool { return strings.ContainsRune(",\" \t\r\n", r) }) {
		if len(validation.IsDNS1123Label(name)) == 0 {
			names = append(names, name)
		}
	}
	return names
}
