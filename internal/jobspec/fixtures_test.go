package jobspec

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// sampleAction returns an action with a plain, an optional and a secret property, and the given
// steps.
func sampleAction(steps ...corev1.Container) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "build", Namespace: "team"}}
	action.Spec.AccountRef.Name, action.Spec.Region = "shared", "eu-central-1"
	action.Spec.ActionType.ConfigurationProperties = []v1alpha1.ConfigurationProperty{
		{Name: "Target", Required: true},
		{Name: "Flavor"},
		{Name: "Token", Secret: true},
	}
	action.Spec.JobTemplate = batchv1.JobTemplateSpec{}
	action.Spec.JobTemplate.Spec.Template.Spec.Containers = steps
	return action
}

func sampleJob() *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "build-1", Namespace: "team", UID: "7d0c0b4e-3f0a-4c56-9a43-2d6f1b3e8a10"}}
	job.Spec = v1alpha1.PipelineJobSpec{
		ActionRef: v1alpha1.ActionReference{Name: "build"},
		Region:    "eu-central-1",
		AccountID: "111122223333",
		Pipeline: v1alpha1.PipelineContext{
			Name: "web", ExecutionID: "execution-1", Stage: "Build", Action: "compile", ActionExecutionID: "action-1",
		},
		Configuration:       map[string]string{"Target": "all"},
		SecretConfiguration: []string{"Token"},
		InputArtifacts:      []v1alpha1.Artifact{{Name: "source"}},
		OutputArtifacts:     []v1alpha1.Artifact{{Name: "package"}},
		CodePipelineJob:     v1alpha1.CodePipelineJob{ID: "job-1", Nonce: "1"},
	}
	return job
}

func step(name string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: "work:1", Command: []string{"work"}, Args: args}
}
