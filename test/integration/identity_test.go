package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// quoted matches a string literal in an expression.
var quoted = regexp.MustCompile(`'([^']*)'`)

// TestPoliciesNameTheOperatorsServiceAccount, with its default name and renamed by an overlay as
// described in docs/permissions.md.
func TestPoliciesNameTheOperatorsServiceAccount(t *testing.T) {
	w := newWorld(t)
	for name, overlay := range map[string]string{
		"config/default": "",
		"another namespace": `
namespace: ci`,
		"another namespace and a prefix": `
namespace: ci
namePrefix: team-`,
		"a suffix": `
nameSuffix: "-2"`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			folder := filepath.Join("..", "..", "config", "default")
			if overlay != "" {
				folder = overlayOf(g, t.TempDir(), overlay)
			}
			objects, err := kustomized(folder)
			g.Expect(err).NotTo(HaveOccurred())
			found := map[string][]*unstructured.Unstructured{}
			for _, object := range objects {
				found[object.GetKind()] = append(found[object.GetKind()], object)
			}
			g.Expect(found["ServiceAccount"]).To(HaveLen(1))
			account := found["ServiceAccount"][0]
			user := "system:serviceaccount:" + account.GetNamespace() + ":" + account.GetName()
			g.Expect(user == operatorsUser).To(Equal(overlay == ""), user)
			g.Expect(found["ValidatingAdmissionPolicy"]).To(HaveLen(2))
			names := []string{}
			for _, policy := range found["ValidatingAdmissionPolicy"] {
				names = append(names, policy.GetName())
				g.Expect(userOf(g, policy)).To(Equal(user), policy.GetName())
				g.Expect(w.Kube.Patch(w.Ctx, policy, client.Apply, client.FieldOwner("test"), client.DryRunAll, client.ForceOwnership)).To(Succeed()) //nolint:staticcheck // without an apply configuration
			}
			for _, binding := range found["ValidatingAdmissionPolicyBinding"] {
				policy, _, err := unstructured.NestedString(binding.Object, "spec", "policyName")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(names).To(ContainElement(policy))
				g.Expect(binding.Object["spec"]).NotTo(HaveKey("matchResources"), "it holds everywhere")
				g.Expect(binding.Object["spec"]).To(HaveKeyWithValue("validationActions", []any{"Deny"}))
			}
			g.Expect(found["ValidatingAdmissionPolicyBinding"]).To(HaveLen(2))
		})
	}
}

// overlayOf writes a kustomization that changes config/default, with components of config.
func overlayOf(g *WithT, folder, changes string, components ...string) string {
	config, err := filepath.Abs(filepath.Join("..", "..", "config"))
	g.Expect(err).NotTo(HaveOccurred())
	folder, err = filepath.EvalSymlinks(folder)
	g.Expect(err).NotTo(HaveOccurred())
	config, err = filepath.Rel(folder, config)
	g.Expect(err).NotTo(HaveOccurred())
	content := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%[1]s/default]\ntransformers: [%[1]s/admission/identity]%[2]s\n", config, changes)
	if len(components) > 0 {
		content += fmt.Sprintf("\ncomponents: [%s/%s]\n", config, strings.Join(components, ", "+config+"/"))
	}
	g.Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600)).To(Succeed())
	return folder
}

// userOf returns the user in the first condition of a policy.
func userOf(g *WithT, policy *unstructured.Unstructured) string {
	conditions, _, err := unstructured.NestedSlice(policy.Object, "spec", "matchConditions")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(conditions).To(HaveLen(1))
	expression := conditions[0].(map[string]any)["expression"].(string)
	var user strings.Builder
	for _, part := range quoted.FindAllStringSubmatch(expression, -1) {
		user.WriteString(part[1])
	}
	return user.String()
}
