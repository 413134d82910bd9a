package naming

import (
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// Labels are the labels of everything that belongs to a PipelineJob.
func Labels(job *v1alpha1.PipelineJob) map[string]string {
	return map[string]string{
		v1alpha1.LabelAction:      labelValue(job.Spec.ActionRef.Name),
		v1alpha1.LabelPipelineJob: job.Name,
	}
}

// labelValue cuts a name to what a label can hold.
func labelValue(name string) string {
	if len(name) > limits.LabelValue {
		name = name[:limits.LabelValue]
	}
	return strings.TrimRight(name, "-.")
}
