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

// The wrapper containers need no token, neither the API server's nor one for AWS: they
// transfer artifacts with the credentials of the job. A token that the namespace's service
// account gives to its steps is kept from them.

const (
	noTokenVolume = podcontract.NoTokenVolume
	// tokenDir is where the API server's admission mounts the token of the pod's service
	// account in every container that has nothing mounted there
	// (plugin/pkg/admission/serviceaccount, DefaultAPITokenMountPath).
	tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	// skipContainersAnnotation has the names of containers that the webhook for IAM roles
	// for service accounts and for EKS Pod Identity leaves alone, init containers too. They
	// are a line of CSV, of which it trims nothing. It adds its mounts by the volume's name,
	// whatever is mounted at their path: an empty volume there would make two of one path,
	// and the API server refuse the pod.
	skipContainersAnnotation = "eks.amazonaws.com/skip-containers"
)

// noToken takes the place of the token in a container.
var noToken = corev1.VolumeMount{Name: noTokenVolume, MountPath: tokenDir, ReadOnly: true}

// noTokenSize is room for an empty folder: some policies ask every emptyDir for a limit.
var noTokenSize = resource.MustParse("1Mi")

// skipIdentityWebhook adds the wrapper containers to those of a pod that get no token for
// AWS.
func skipIdentityWebhook(pod *metav1.ObjectMeta) {
	names := skippedContainers(pod.Annotations[skipContainersAnnotation])
	for _, wrapper := range podcontract.Wrappers {
		if !slices.Contains(names, wrapper) {
			names = append(names, wrapper)
		}
	}
	metav1.SetMetaDataAnnotation(pod, skipContainersAnnotation, strings.Join(names, ","))
}

// skippedContainers are the names in the annotation of a template. What can't be a
// container's name is left out: a quote would make the whole line invalid, and a line
// break end it before the names that follow.
func skippedContainers(given string) []string {
	var names []string
	for name := range strings.FieldsFuncSeq(given, func(r rune) bool { return strings.ContainsRune(",\" \t\r\n", r) }) {
		if len(validation.IsDNS1123Label(name)) == 0 {
			names = append(names, name)
		}
	}
	return names
}
