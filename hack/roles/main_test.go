package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func TestSplit(t *testing.T) {
	rule := func(group string, resources, verbs string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
	}
	const ours = "codepipeline.pipelinejob.dev"
	for name, c := range map[string]struct {
		rules, cluster, namespaced []rbacv1.PolicyRule
		err                        string
	}{
		"a resource of a namespace": {rules: []rbacv1.PolicyRule{rule("", "pods", "list watch")}, namespaced: []rbacv1.PolicyRule{rule("", "pods", "list watch")}},
		"one rule for both": {rules: []rbacv1.PolicyRule{rule("", "namespaces pods/log", "get")},
			cluster: []rbacv1.PolicyRule{rule("", "namespaces", "get")}, namespaced: []rbacv1.PolicyRule{rule("", "pods/log", "get")}},
		"accounts and their status": {rules: []rbacv1.PolicyRule{rule(ours, "codepipelineaccounts/status customactions/status", "patch")},
			cluster: []rbacv1.PolicyRule{rule(ours, "codepipelineaccounts/status", "patch")}, namespaced: []rbacv1.PolicyRule{rule(ours, "customactions/status", "patch")}},
		"reviews": {rules: []rbacv1.PolicyRule{rule("authentication.k8s.io", "tokenreviews", "create"), rule("authorization.k8s.io", "subjectaccessreviews", "create")},
			cluster: []rbacv1.PolicyRule{rule("authentication.k8s.io", "tokenreviews", "create"), rule("authorization.k8s.io", "subjectaccessreviews", "create")}},
		"a name of another group": {rules: []rbacv1.PolicyRule{rule("example.com", "namespaces", "get")}, namespaced: []rbacv1.PolicyRule{rule("example.com", "namespaces", "get")}},
		"everything":              {rules: []rbacv1.PolicyRule{rule("", "*", "get")}, err: "grants everything"},
		"two groups":              {rules: []rbacv1.PolicyRule{{APIGroups: []string{"", "batch"}, Resources: []string{"jobs"}}}, err: "more than one group"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			cluster, namespaced, err := split(c.rules)
			if c.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(cluster).To(Equal(c.cluster))
			g.Expect(namespaced).To(Equal(c.namespaced))
		})
	}
}

func TestAFileNeedsOneClusterRole(t *testing.T) {
	g := NewWithT(t)
	const role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n"
	_, err := clusterRole([]byte("kind: Role\n"))
	g.Expect(err).To(MatchError("there is no ClusterRole"))
	_, err = clusterRole([]byte(role + "---\n" + role))
	g.Expect(err).To(MatchError("there are two ClusterRoles, a and a"))
}

// TestBothScopesHaveTheSameRights checks that both installations in the repository grant the same
// rights.
func TestBothScopesHaveTheSameRights(t *testing.T) {
	g := NewWithT(t)
	config := filepath.Join("..", "..", "config")
	content, err := os.ReadFile(filepath.Join(config, "rbac", "role.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	whole, err := clusterRole(content)
	g.Expect(err).NotTo(HaveOccurred())

	var cluster rbacv1.ClusterRole
	var namespaced rbacv1.Role
	read(g, filepath.Join(config, "namespaced", "cluster_role.yaml"), &cluster)
	read(g, filepath.Join(config, "namespaced", "namespace", "role.yaml"), &namespaced)
	g.Expect(cluster.Name).To(Equal(whole.Name))
	g.Expect(append(rights(cluster.Rules), rights(namespaced.Rules)...)).To(ConsistOf(rights(whole.Rules)))

	var binding rbacv1.RoleBinding
	read(g, filepath.Join(config, "namespaced", "namespace", "role_binding.yaml"), &binding)
	g.Expect(binding.RoleRef).To(Equal(rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: namespaced.Name}))
}

// rights returns the distinct rights in the form GROUP RESOURCE VERB.
func rights(rules []rbacv1.PolicyRule) []string {
	var all []string
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				all = append(all, rule.APIGroups[0]+" "+resource+" "+verb)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func read(g Gomega, file string, into any) {
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(yaml.UnmarshalStrict(content, into)).To(Succeed())
}
