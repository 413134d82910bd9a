package naming

import (
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// Labels returns the labels of everything that belongs to a PipelineJob.
func Labels(job *v1alpha1.PipelineJob) map[string]string {
	labels := map[string]string{v1alpha1.LabelPipelineJob: job.Name}
	for key, name := range map[string]string{
		v1alpha1.LabelCustomAction: job.Spec.ActionRef.Name,
		v1alpha1.LabelPipeline:     job.Spec.Pipeline.Name,
		v1alpha1.LabelStage:        job.Spec.Pipeline.Stage,
		v1alpha1.LabelAction:       job.Spec.Pipeline.Action,
	} {
		if name != "" {
			labels[key] = labelValue(name)
		}
	}
	return labels
}

// labelValue returns the label value for a name: the name itself, or its digest if it is too long
// or has characters that labels can't have.
func labelValue(name string) string {
	if len(validation.IsValidLabelValue(name)) > 0 {
		return digest(name)
	}
	return name
}
