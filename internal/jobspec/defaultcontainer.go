package jobspec

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// defaultContainerAnnotation names the container that kubectl logs, exec and attach use by default
// (k8s.io/kubectl, pkg/cmd/util/podcmd). It may be an init container, and an empty name counts as
// none.
const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

const atDefaultContainer = "spec.jobTemplate.spec.template.metadata.annotations[" + defaultContainerAnnotation + "]"

// setDefaultContainer makes the last step kubectl's default container, unless the template names
// one: the only regular container, codepipeline-report, waits while steps run, and prints nothing
// about the work. The pod must have its wrapper containers.
func setDefaultContainer(pod *corev1.PodTemplateSpec) {
	if pod.Annotations[defaultContainerAnnotation] == "" {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, defaultContainerAnnotation, pod.Spec.InitContainers[len(pod.Spec.InitContainers)-1].Name)
	}
}

// checkDefaultContainer refuses a default container that the pod does not have, because kubectl
// exec would fail. Wrapper containers are accepted even if the pod does not have them yet.
func checkDefaultContainer(pod corev1.PodTemplateSpec) error {
	given := pod.Annotations[defaultContainerAnnotation]
	names := slices.Clone(podcontract.Wrappers[:])
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if !podcontract.IsWrapper(container.Name) {
			names = append(names, container.Name)
		}
	}
	if given == "" || slices.Contains(names, given) {
		return nil
	}
	return &FieldError{Field: atDefaultContainer, Err: fmt.Errorf(
		"must name a container of the pod, and %q is not one: write one of %s, or leave the annotation out for the last step",
		given, strings.Join(names, ", "))}
}

// checkSampleDefault is checkDefaultContainer before there is a job. An annotation with references
// is checked only for a job, when their values are known.
func checkSampleDefault(action *v1alpha1.CustomAction, resolved corev1.PodTemplateSpec) error {
	if reference.MatchString(action.Spec.JobTemplate.Spec.Template.Annotations[defaultContainerAnnotation]) {
		return nil
	}
	return checkDefaultContainer(resolved)
}
