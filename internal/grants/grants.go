// Package grants decides what the grants of a CodePipelineAccount allow a namespace. Its
// functions are pure: callers pass the account and the namespace.
package grants

import (
	"fmt"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// Namespace has the properties by which a grant selects a namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Given is the access that the grants of an account give a namespace for an action type.
// The zero value is no access.
type Given struct {
	// Access reports whether jobs of the action type may be taken.
	Access bool
	// Shares reports whether jobs of an action type of another namespace or cluster may be taken,
	// with the requested value of the queryable property.
	Shares bool
	// MayRegister reports whether the action type may be created, tagged and deleted.
	MayRegister bool
	// ReferencesIn are the additional places of job templates that may refer to values that
	// a pipeline controls.
	ReferencesIn []v1alpha1.ReferencePlace
}

// Of returns the access that an account's grants together give a namespace for the jobs of
// an action.
func Of(account *v1alpha1.CodePipelineAccount, namespace Namespace, action *v1alpha1.CustomActionSpec) Given {
	var given Given
	for i := range account.Spec.Grants {
		grant := &account.Spec.Grants[i]
		if !selects(grant, namespace) {
			continue
		}
		covered, shares := covers(grant, action)
		if !covered {
			continue
		}
		given.Access = true
		given.Shares = given.Shares || shares
		given.MayRegister = given.MayRegister || grant.MayRegister
		given.ReferencesIn = append(given.ReferencesIn, grant.AllowReferencesIn...)
	}
	slices.Sort(given.ReferencesIn)
	given.ReferencesIn = slices.Compact(given.ReferencesIn)
	return given
}

// Selects reports whether any grant of an account selects a namespace.
func Selects(account *v1alpha1.CodePipelineAccount, namespace Namespace) bool {
	return slices.ContainsFunc(account.Spec.Grants, func(grant v1alpha1.Grant) bool { return selects(&grant, namespace) })
}

func selects(grant *v1alpha1.Grant, namespace Namespace) bool {
	if slices.Contains(grant.Namespaces.Names, namespace.Name) {
		return true
	}
	if grant.Namespaces.Selector == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(grant.Namespaces.Selector)
	return err == nil && selector.Matches(labels.Set(namespace.Labels))
}

// Invalid returns the errors in the selectors of an account's grants, each with its field,
// in a stable order. A grant with an invalid selector selects no namespace. The CRD
// can't refuse it: the schema of a LabelSelector has none of its rules.
func Invalid(account *v1alpha1.CodePipelineAccount) []string {
	var found []string
	for i := range account.Spec.Grants {
		path := field.NewPath("spec", "grants").Index(i).Child("namespaces", "selector")
		selector := account.Spec.Grants[i].Namespaces.Selector
		for _, err := range validation.ValidateLabelSelector(selector, validation.LabelSelectorValidationOptions{}, path) {
			found = append(found, err.Error())
		}
	}
	slices.Sort(found) // matchLabels is a map
	return found
}

// covers reports whether a grant covers the jobs for which an action polls, and whether it
// lists the value with which it polls.
func covers(grant *v1alpha1.Grant, action *v1alpha1.CustomActionSpec) (covered, shares bool) {
	if len(grant.ActionTypes) == 0 {
		return true, false
	}
	for _, pattern := range grant.ActionTypes {
		if pattern.Category != "" && pattern.Category != action.ActionType.Category || pattern.Provider != "" && !matches(pattern.Provider, action.ActionType.Provider) {
			continue
		}
		named := namesValue(pattern, action.Polling.QueryParam)
		covered, shares = covered || named || len(pattern.QueryValues) == 0, shares || named
	}
	return covered, shares
}

// namesValue reports whether a pattern lists the value of a queryParam.
func namesValue(pattern v1alpha1.ActionTypePattern, queryParam map[string]v1alpha1.QueryValue) bool {
	for _, value := range queryParam { // one at most
		return slices.ContainsFunc(pattern.QueryValues, func(listed v1alpha1.QueryValuePattern) bool { return matches(string(listed), string(value)) })
	}
	return false
}

// matches reports whether a text matches a pattern. The CRD allows no other special
// characters of path.Match.
func matches(pattern, text string) bool {
	matched, err := path.Match(pattern, text)
	return err == nil && matched
}

// Region returns the region in which to use an account: the given one, or the account's
// only one. The error says what is allowed.
func Region(account *v1alpha1.CodePipelineAccount, wanted v1alpha1.Region) (v1alpha1.Region, error) {
	regions := account.Spec.Regions
	switch {
	case slices.Contains(regions, wanted):
		return wanted, nil
	case wanted == "" && len(regions) == 1:
		return regions[0], nil
	case wanted == "":
		return "", fmt.Errorf("spec.region must be set: CodePipelineAccount %s has several, %s", account.Name, list(regions))
	default:
		return "", fmt.Errorf("spec.region is %s, and CodePipelineAccount %s is for %s", wanted, account.Name, list(regions))
	}
}

func list(regions []v1alpha1.Region) string {
	var names []string
	for _, region := range regions {
		names = append(names, string(region))
	}
	return strings.Join(names, ", ")
}
