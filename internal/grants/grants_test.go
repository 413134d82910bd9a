package grants

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestGrantsAddUp(t *testing.T) {
	enabled := &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelEnabled: "true"}}
	build := &v1alpha1.CustomActionSpec{
		ActionType: v1alpha1.ActionType{Category: "Build", Provider: "team-a-docker"},
		Polling:    v1alpha1.Polling{QueryParam: map[string]v1alpha1.QueryValue{"Cluster": "eu-1"}},
	}
	ofValues := func(provider string, values ...v1alpha1.QueryValuePattern) []v1alpha1.Grant {
		return []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Provider: provider, QueryValues: values}}}}
	}
	teamA := Namespace{Name: "team-a", Labels: map[string]string{v1alpha1.LabelEnabled: "true"}}
	cases := map[string]struct {
		grants []v1alpha1.Grant
		want   Given
	}{
		"none": {nil, Given{}},
		"by name": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-b", "team-a"}}}}, Given{Access: true},
		},
		"of another name": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team", "team-a-b"}}, MayRegister: true}}, Given{},
		},
		"by label": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, MayRegister: true}},
			Given{Access: true, MayRegister: true},
		},
		"of another label": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}}}}, Given{},
		},
		"of all": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{}}}}, Given{Access: true},
		},
		"of neither names nor labels": {
			[]v1alpha1.Grant{{MayRegister: true}}, Given{},
		},
		"of a selector that is none": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}},
			}}}}, Given{},
		},
		"of its provider": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Provider: "team-a-*"}}}},
			Given{Access: true},
		},
		"of its category, and another provider": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Category: "Build", Provider: "team-a"}}}},
			Given{},
		},
		"of another category": {
			[]v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Category: "Test"}}}},
			Given{},
		},
		"of which one may register, for other types": {
			[]v1alpha1.Grant{
				{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}},
				{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Category: "Test"}}, MayRegister: true},
			},
			Given{Access: true},
		},
		"that add up": {
			[]v1alpha1.Grant{
				{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}},
				{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-a"}}, ActionTypes: []v1alpha1.ActionTypePattern{{Category: "Build"}}, MayRegister: true},
			},
			Given{Access: true, MayRegister: true},
		},
		"that lists its query value":           {ofValues("team-a-*", "us-*", "eu-*"), Given{Access: true, Shares: true}},
		"that lists other query values":        {ofValues("", "eu", "us-*", "EU-1"), Given{}},
		"that lists it for another type":       {ofValues("team-b-*", "eu-1"), Given{}},
		"that lists it, and one for any value": {append(ofValues("", "eu-1"), ofValues("")...), Given{Access: true, Shares: true}},
		"whose places for references add up": {
			[]v1alpha1.Grant{
				{Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInSubPath, v1alpha1.ReferenceInImage}},
				{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-a"}}, AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInImage}},
				{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-b"}}, AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInClaimName}},
				{
					Namespaces: v1alpha1.GrantedNamespaces{Selector: enabled}, ActionTypes: []v1alpha1.ActionTypePattern{{Category: "Test"}},
					AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInSecretName},
				},
			},
			Given{Access: true, ReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInImage, v1alpha1.ReferenceInSubPath}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			account := &v1alpha1.CodePipelineAccount{Spec: v1alpha1.CodePipelineAccountSpec{Grants: c.grants}}
			g.Expect(Of(account, teamA, build)).To(Equal(c.want))
		})
	}
}

// TestGrantOfQueryValues is for an action without a queryParam.
func TestGrantOfQueryValues(t *testing.T) {
	grant := v1alpha1.Grant{
		Namespaces:  v1alpha1.GrantedNamespaces{Names: []string{"team-a"}},
		ActionTypes: []v1alpha1.ActionTypePattern{{QueryValues: []v1alpha1.QueryValuePattern{"*"}}},
	}
	account := &v1alpha1.CodePipelineAccount{Spec: v1alpha1.CodePipelineAccountSpec{Grants: []v1alpha1.Grant{grant}}}
	NewWithT(t).Expect(Of(account, Namespace{Name: "team-a"}, &v1alpha1.CustomActionSpec{})).To(Equal(Given{}))
}

// TestInvalid compares the error for a selector with the API server's validation.
func TestInvalid(t *testing.T) {
	const in = "spec.grants[1].namespaces.selector."
	requires := func(key string, operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	for name, c := range map[string]struct {
		selector *metav1.LabelSelector
		says     []string // prefixes of the errors
	}{
		"none":               {nil, nil},
		"all":                {&metav1.LabelSelector{}, nil},
		"a label":            {&metav1.LabelSelector{MatchLabels: map[string]string{"example.com/team": ""}}, nil},
		"values":             {requires("team", "In", "a", ""), nil},
		"a key":              {requires("team", "DoesNotExist"), nil},
		"no values":          {requires("team", "In"), []string{in + "matchExpressions[0].values: Required value"}},
		"no values to avoid": {requires("team", "NotIn"), []string{in + "matchExpressions[0].values: Required value"}},
		"values of a key":    {requires("team", "Exists", "a"), []string{in + "matchExpressions[0].values: Forbidden"}},
		"another operator":   {requires("team", "Gt", "1"), []string{in + `matchExpressions[0].operator: Invalid value: "Gt"`}},
		"no key":             {requires("", "Exists"), []string{in + "matchExpressions[0].key: Invalid value", in + "matchExpressions[0].key: Invalid value"}},
		"a bad value":        {requires("team", "In", "a", "team a"), []string{in + `matchExpressions[0].values[1]: Invalid value: "team a"`}},
		"bad labels": {
			&metav1.LabelSelector{MatchLabels: map[string]string{"x": "team a", "team": "team-*", "a/b/c": "", "y": "/"}},
			[]string{in + `matchLabels: Invalid value: "/"`, in + `matchLabels: Invalid value: "a/b/c"`, in + `matchLabels: Invalid value: "team a"`, in + `matchLabels: Invalid value: "team-*"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			account := &v1alpha1.CodePipelineAccount{}
			account.Spec.Grants = []v1alpha1.Grant{{}, {Namespaces: v1alpha1.GrantedNamespaces{Selector: c.selector}}}
			found := Invalid(account)
			g.Expect(found).To(HaveLen(len(c.says)))
			for i, says := range c.says {
				g.Expect(found[i]).To(HavePrefix(says))
			}
			_, err := metav1.LabelSelectorAsSelector(c.selector)
			g.Expect(err != nil).To(Equal(len(found) > 0), "as selects finds it: %v", err)
		})
	}
}

func TestRegion(t *testing.T) {
	one, two := []v1alpha1.Region{"eu-central-1"}, []v1alpha1.Region{"eu-central-1", "us-east-1"}
	cases := map[string]struct {
		regions []v1alpha1.Region
		wanted  v1alpha1.Region
		want    v1alpha1.Region
		err     string
	}{
		"the only one":                   {one, "", "eu-central-1", ""},
		"one of several":                 {two, "us-east-1", "us-east-1", ""},
		"none of several":                {two, "", "", "spec.region must be set: CodePipelineAccount shared has several, eu-central-1, us-east-1"},
		"another than the account's":     {two, "eu-west-1", "", "spec.region is eu-west-1, and CodePipelineAccount shared is for eu-central-1, us-east-1"},
		"another than the account's one": {one, "us-east-1", "", "spec.region is us-east-1, and CodePipelineAccount shared is for eu-central-1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			account := &v1alpha1.CodePipelineAccount{Spec: v1alpha1.CodePipelineAccountSpec{Regions: c.regions}}
			account.Name = "shared"
			got, err := Region(account, c.wanted)
			g.Expect(got).To(Equal(c.want))
			if c.err == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(c.err))
		})
	}
}
