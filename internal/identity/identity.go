// Package identity says as whom the operator calls AWS for the objects of a
// namespace.
package identity

import (
	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// Of returns the identity for objects of a namespace. The external ID of an assumed
// role names the cluster and the namespace, so that the role's trust policy can say
// who may use it. Without the cluster's ID there is none, and the role can't be assumed:
// /NAMESPACE would be the same for the namespaces of all clusters.
func Of(aws v1alpha1.AWS, clusterID, namespace string) codepipeline.Identity {
	id := codepipeline.Identity{Region: aws.Region, RoleARN: aws.RoleARN}
	if id.RoleARN != "" {
		id.SessionName, id.MayRegister = codepipeline.SessionName(namespace, ""), true
	}
	if id.RoleARN != "" && clusterID != "" {
		id.ExternalID = clusterID + "/" + namespace
	}
	return id
}
