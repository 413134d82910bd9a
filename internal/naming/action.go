package naming

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// ActionOf returns the namespace and name of the CustomAction of a PipelineJob.
func ActionOf(job *v1alpha1.PipelineJob) types.NamespacedName {
	return types.NamespacedName{Namespace: job.Namespace, Name: job.Spec.ActionRef.Name}
}
