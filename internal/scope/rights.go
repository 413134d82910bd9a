// Package scope determines the namespaces in which the operator can work.
package scope

import "github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"

// Right is a verb on a resource, as RBAC grants it in a namespace.
type Right struct{ Group, Resource, Subresource, Verb string }

// String returns the right in the form of "kubectl auth can-i": "list pods",
// "patch pipelinejobs.codepipeline.pipelinejob.dev --subresource=status".
func (r Right) String() string {
	name := r.Verb + " " + r.Resource
	if r.Group != "" {
		name += "." + r.Group
	}
	if r.Subresource != "" {
		name += " --subresource=" + r.Subresource
	}
	return name
}

const (
	core  = ""
	batch = "batch"
)

// Needed returns the rights that the operator requires in each namespace: for its watches
// and for every job. Without the other rights of its Role, only a part of its work fails,
// with an error that says so.
func Needed() []Right {
	ours := v1alpha1.GroupVersion.Group
	return []Right{
		{ours, "customactions", "", "list"}, {ours, "customactions", "", "watch"},
		{ours, "customactions", "status", "patch"},
		{ours, "pipelinejobs", "", "list"}, {ours, "pipelinejobs", "", "watch"},
		{ours, "pipelinejobs", "", "create"}, {ours, "pipelinejobs", "status", "patch"},
		{batch, "jobs", "", "list"}, {batch, "jobs", "", "watch"},
		{batch, "jobs", "", "create"}, {batch, "jobs", "", "delete"},
		{core, "pods", "", "list"}, {core, "pods", "", "watch"},
		{core, "secrets", "", "create"}, {core, "secrets", "", "delete"},
	}
}
