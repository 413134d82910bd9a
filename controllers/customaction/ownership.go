package customaction

import (
	"maps"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// ownerTags returns the tags that prove that an object owns an action type. The status is no proof:
// it is lost with the object, or if the response to CreateCustomActionType is lost.
func (r *Reconciler) ownerTags(action *v1alpha1.CustomAction) map[string]string {
	return map[string]string{
		v1alpha1.TagCluster: r.ClusterID, v1alpha1.TagNamespace: action.Namespace, v1alpha1.TagName: action.Name,
	}
}

// owner returns the owner of an action type according to its tags.
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

// isOfAnotherNamespace reports whether tags name an object of another namespace or cluster. An
// object of the same namespace belongs to the same team, which may have renamed it.
func (r *Reconciler) isOfAnotherNamespace(action *v1alpha1.CustomAction, tags map[string]string) bool {
	return r.owner(action, tags) == v1alpha1.OwnerOther &&
		(tags[v1alpha1.TagCluster] != r.ClusterID || tags[v1alpha1.TagNamespace] != action.Namespace)
}

// foreign returns a finding if the action type belongs to an object of another namespace or cluster,
// and reports whether it does. Those may share an action type with a queryable property, each with
// its own values, if grants list the values.
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
		"the tags of action type %s in %s name a CustomAction of another namespace or cluster: use another version or provider. To hand the action type over, the platform team can remove its tags %s, %s and %s",
		actionTypeID(action), regionOf(action), v1alpha1.TagCluster, v1alpha1.TagNamespace, v1alpha1.TagName), true
}

// createTags returns the tags for a new action type.
func (r *Reconciler) createTags(action *v1alpha1.CustomAction) map[string]string {
	tags := tagsOf(action)
	maps.Copy(tags, r.ownerTags(action))
	return tags
}
