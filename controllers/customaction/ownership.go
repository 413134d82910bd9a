package customaction

import (
	"maps"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// ownerTags are the tags by which an action type is an object's. They are the proof:
// what the status has may be lost with the object, and the answer to a creation too.
func (r *Reconciler) ownerTags(action *v1alpha1.CustomAction) map[string]string {
	return map[string]string{
		v1alpha1.TagCluster: r.ClusterID, v1alpha1.TagNamespace: action.Namespace, v1alpha1.TagName: action.Name,
	}
}

// owner tells whose an action type is by its tags.
func (r *Reconciler) owner(action *v1alpha1.CustomAction, tags map[string]string) v1alpha1.ActionTypeOwner {
	named, ours := 0, true
	for key, value := range r.ownerTags(action) {
		found, has := tags[key]
		if has {
			named++
		}
		ours = ours && has && found == value
	}
	switch {
	case named == 0:
		return v1alpha1.OwnerNone
	case ours:
		return v1alpha1.OwnerThis
	default:
		return v1alpha1.OwnerOther
	}
}

// isOfAnotherNamespace reports whether tags name an object of another namespace or cluster.
// One of the same namespace is the same team's: it may have been given another name.
func (r *Reconciler) isOfAnotherNamespace(action *v1alpha1.CustomAction, tags map[string]string) bool {
	return r.owner(action, tags) == v1alpha1.OwnerOther &&
		(tags[v1alpha1.TagCluster] != r.ClusterID || tags[v1alpha1.TagNamespace] != action.Namespace)
}

// foreign is what is found of an action type that is another object's. Namespaces and clusters
// share one with a queryable property, each with its values, where grants list them.
func (r *Reconciler) foreign(action *v1alpha1.CustomAction, tags map[string]string, a access) (finding, bool) {
	if !r.isOfAnotherNamespace(action, tags) || a.given.Shares {
		return finding{}, false
	}
	if value := query(action.Spec.Polling.QueryParam); value != "" {
		return refusal(v1alpha1.ReasonAccessNotGranted,
			"the tags of action type %s in %s name a CustomAction of another namespace or cluster, and no grant of CodePipelineAccount %s lists %s: the platform team can add it to actionTypes[].queryValues of a grant for namespace %s",
			actionTypeID(action), regionOf(action), action.Spec.AccountRef.Name, value, action.Namespace), true
	}
	return refusal(v1alpha1.ReasonActionTypeTaken,
		"the tags of action type %s in %s name a CustomAction of another namespace or cluster: use another version or provider. To hand the action type over, the platform team can take off its tags %s, %s and %s",
		actionTypeID(action), regionOf(action), v1alpha1.TagCluster, v1alpha1.TagNamespace, v1alpha1.TagName), true
}

// createTags are the tags with which an action type is created.
func (r *Reconciler) createTags(action *v1alpha1.CustomAction) map[string]string {
	tags := tagsOf(action)
	maps.Copy(tags, r.ownerTags(action))
	return tags
}
