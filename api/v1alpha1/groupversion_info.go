// Package v1alpha1 holds the API of the codepipeline.pipelinejob.dev group:
// CustomAction, the definition of an AWS CodePipeline custom action and of the
// Kubernetes Job that does its work; PipelineJob, one execution of it; and
// CodePipelineAccount, which grants namespaces the use of an AWS account.
// +kubebuilder:object:generate=true
// +groupName=codepipeline.pipelinejob.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "codepipeline.pipelinejob.dev", Version: "v1alpha1"}

// AddToScheme adds the types of this package to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&CustomAction{}, &CustomActionList{},
		&PipelineJob{}, &PipelineJobList{},
		&CodePipelineAccount{}, &CodePipelineAccountList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
