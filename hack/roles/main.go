// Command roles generates the roles of an operator that works only in some namespaces from the role
// of one that works in all namespaces: a ClusterRole for cluster-scoped resources, and a Role for
// each namespace with everything else.
//
// Usage: roles FILE FOLDER, with controller-gen's FILE of the ClusterRole. The result is in
// cluster_role.yaml and namespace/role.yaml of FOLDER.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: roles FILE FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "roles:", err)
		os.Exit(1)
	}
}

func run(file, folder string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	whole, err := clusterRole(content)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	cluster, namespaced, err := split(whole.Rules)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	of := metav1.ObjectMeta{Name: whole.Name}
	err = write(filepath.Join(folder, "cluster_role.yaml"),
		rbacv1.ClusterRole{TypeMeta: typeOf("ClusterRole"), ObjectMeta: of, Rules: cluster})
	if err != nil {
		return err
	}
	return write(filepath.Join(folder, "namespace", "role.yaml"),
		rbacv1.Role{TypeMeta: typeOf("Role"), ObjectMeta: of, Rules: namespaced})
}

func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
}

// clusterRole returns the only ClusterRole among the documents of a file.
func clusterRole(content []byte) (*rbacv1.ClusterRole, error) {
	var found *rbacv1.ClusterRole
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(document, &role); err != nil {
			return nil, err
		}
		if role.Kind != "ClusterRole" {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("there are two ClusterRoles, %s and %s", found.Name, role.Name)
		}
		found = &role
	}
	if found == nil {
		return nil, errors.New("there is no ClusterRole")
	}
	return found, nil
}

// inNoNamespace are the cluster-scoped resources, which a ClusterRole must grant, as
// RESOURCE.GROUP.
var inNoNamespace = []string{
	"namespaces.",
	"codepipelineaccounts.codepipeline.pipelinejob.dev",
	"tokenreviews.authentication.k8s.io",
	"subjectaccessreviews.authorization.k8s.io",
}

// split splits rules into those for cluster-scoped and those for namespaced resources, and keeps
// their order.
func split(rules []rbacv1.PolicyRule) (cluster, namespaced []rbacv1.PolicyRule, err error) {
	for _, rule := range rules {
		if slices.Contains(rule.Resources, rbacv1.ResourceAll) || slices.Contains(rule.APIGroups, rbacv1.APIGroupAll) {
			return nil, nil, fmt.Errorf("the rule %v grants everything: name the groups and resources", rule)
		}
		if len(rule.APIGroups) > 1 {
			return nil, nil, fmt.Errorf("the rule %v has more than one group: a resource must be told by it", rule)
		}
		if len(rule.NonResourceURLs) > 0 {
			cluster = append(cluster, rule)
			continue
		}
		outside, inside := rule.DeepCopy(), rule.DeepCopy()
		outside.Resources = slices.DeleteFunc(outside.Resources, func(r string) bool { return !isInNoNamespace(rule.APIGroups[0], r) })
		inside.Resources = slices.DeleteFunc(inside.Resources, func(r string) bool { return isInNoNamespace(rule.APIGroups[0], r) })
		if len(outside.Resources) > 0 {
			cluster = append(cluster, *outside)
		}
		if len(inside.Resources) > 0 {
			namespaced = append(namespaced, *inside)
		}
	}
	return cluster, namespaced, nil
}

// isInNoNamespace reports whether a resource, or a subresource such as "pods/log", is
// cluster-scoped.
func isInNoNamespace(group, resource string) bool {
	resource, _, _ = strings.Cut(resource, "/")
	return slices.Contains(inNoNamespace, resource+"."+group)
}

func write(file string, role any) error {
	content, err := yaml.Marshal(role)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	const header = "# Made by hack/roles of config/rbac/role.yaml: make manifests.\n---\n"
	return os.WriteFile(file, append([]byte(header), content...), 0o644)
}
