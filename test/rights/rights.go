// Package rights compares what roles grant with the operator's requests in the API server's audit
// log.
package rights

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// Right is a verb on a resource. The resource includes the subresource, as in "pods/log".
type Right struct{ Group, Resource, Verb string }

func (r Right) String() string {
	resource, subresource, has := strings.Cut(r.Resource, "/")
	if r.Group != "" {
		resource += "." + r.Group
	}
	if has {
		resource += "/" + subresource
	}
	return r.Verb + " " + resource
}

func (r Right) to(verb string) Right { return Right{r.Group, r.Resource, verb} }

func byName(a, b Right) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb))
}

// Granted returns the distinct rights that the Roles and ClusterRoles in files grant. It ignores
// other documents. An error names the file and a rule that can't be compared.
func Granted(files ...string) ([]Right, error) {
	var all []Right
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			of, err := grantedBy(document)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, of...)
		}
	}
	slices.SortFunc(all, byName)
	return slices.Compact(all), nil
}

func grantedBy(document []byte) ([]Right, error) {
	var role rbacv1.ClusterRole // a Role has the same rules
	if err := yaml.Unmarshal(document, &role); err != nil {
		return nil, err
	}
	if role.Kind != "Role" && role.Kind != "ClusterRole" {
		return nil, nil
	}
	var all []Right
	for _, rule := range role.Rules {
		of, err := grantedByRule(rule)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", role.Kind, role.Name, err)
		}
		all = append(all, of...)
	}
	return all, nil
}

func grantedByRule(rule rbacv1.PolicyRule) ([]Right, error) {
	if len(rule.NonResourceURLs) > 0 {
		return nil, fmt.Errorf("the rule of %v is about no resource", rule.NonResourceURLs)
	}
	if slices.Contains(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), rbacv1.VerbAll) {
		return nil, fmt.Errorf("the rule %v grants everything", rule)
	}
	var all []Right
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				all = append(all, Right{group, resource, verb})
			}
		}
	}
	return all, nil
}

// Findings are the problems of roles.
type Findings struct {
	// Unused are granted rights that no request used.
	Unused []Right
	// Refused are rights that requests needed but no role grants, each with such a request.
	Refused map[Right]string
}

// Compare compares granted rights with requests. Rights on finalizers count as used: they are for
// an admission check of garbage collection (OwnerReferencesPermissionEnforcement), which no request
// shows. So do rights to list watched resources: client-go lists them if the API server can't
// stream the initial objects of a watch (KEP-3157).
func Compare(granted []Right, requests []Request) Findings {
	used := map[Right]bool{}
	found := Findings{Refused: map[Right]string{}}
	for _, request := range requests {
		if request.Refused {
			found.Refused[request.Right] = request.URI
		} else {
			used[request.Right] = true
		}
	}
	for _, right := range granted {
		if used[right] || strings.HasSuffix(right.Resource, "/finalizers") || right.Verb == "list" && used[right.to("watch")] {
			continue
		}
		found.Unused = append(found.Unused, right)
	}
	return found
}

// Lines returns the findings as text, one per line. There are none if all is well.
func (f Findings) Lines() []string {
	var lines []string
	for _, right := range f.Unused {
		lines = append(lines, fmt.Sprintf("granted, but not used: %s", right))
	}
	for right, uri := range f.Refused {
		lines = append(lines, fmt.Sprintf("used, but refused: %s (%s)", right, uri))
	}
	slices.Sort(lines)
	return lines
}
