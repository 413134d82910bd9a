package naming

import (
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
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
	if len(name) > 63 {
		name = name[:63]
	}
	return strings.TrimRight(name, "-.")
}
