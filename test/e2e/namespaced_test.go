//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestSomeNamespaces runs the operator with the rights of config/namespaced: a ClusterRole for
// cluster-scoped resources, and a Role in one namespace. Another namespace of its list does not
// exist.
func TestSomeNamespaces(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.restrict(namespace + ",e2e-later")
	s.connect()

	s.addTenant()
	elsewhere := work{Name: "elsewhere", Script: "true"}
	var text bytes.Buffer
	s.Expect(workYAML.Execute(&text, elsewhere)).To(Succeed())
	out, err := s.tryKubectl(strings.ReplaceAll(text.String(), "namespace: pipelines", "namespace: "+hostile), "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)

	w := work{Name: "scoped", Script: `echo fine > "$CODEPIPELINE_RESULT/summary"`}
	s.apply(w)
	execution := s.startWorks("scoped", w)
	s.Expect(s.ended("scoped", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))

	s.expectAccountEvent("e2e-unproven")

	s.Expect(s.kubectl("-n", hostile, "get", "cpaction", elsewhere.Name, "-o", "jsonpath={.status}")).To(BeEmpty(), "it is not seen")
	s.Expect(s.registered(s, elsewhere.Name)).To(BeFalse())
	log := s.kubectl("-n", "pipelinejob-system", "logs", "deployment/pipelinejob-operator")
	s.Expect(log).To(And(ContainSubstring("Not working in a namespace"), ContainSubstring("e2e-later")))
	restarts := s.kubectl("-n", "pipelinejob-system", "get", "pods", "-l", "app.kubernetes.io/name=pipelinejob-operator", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	s.Expect(restarts).To(MatchRegexp("^0( 0)*$"))
}

// expectAccountEvent creates a CodePipelineAccount whose role the operator can't assume, and waits
// for the event about it.
func (s *suite) expectAccountEvent(name string) {
	s.t.Helper()
	s.fault(`{"operation": "AssumeRole", "accountId": "444455556666", "kind": "AccessDenied", "probability": 1}`)
	manifest := fmt.Sprintf(`
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CodePipelineAccount
metadata: {name: %s}
spec:
  roleARN: arn:aws:iam::444455556666:role/unproven
  regions: [us-east-1]
`, name)
	out, err := s.tryKubectl(manifest, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.t.Cleanup(func() { s.kubectl("delete", "cpaccount", name) })
	uid := s.kubectl("get", "cpaccount", name, "-o", "jsonpath={.metadata.uid}")
	s.eventually(func(g Gomega) {
		reasons := s.kubectl("-n", "default", "get", "events.events.k8s.io", "--field-selector=regarding.uid="+uid, "-o", "jsonpath={.items[*].reason}")
		g.Expect(strings.Fields(reasons)).To(ContainElement(v1alpha1.ReasonCredentialsUnavailable))
	})
}

// restrict revokes the operator's rights outside of some namespaces, until the test ends.
func (s *suite) restrict(namespaces string) {
	s.t.Helper()
	apply := func(args ...string) {
		s.kubectl(append([]string{"apply", "--server-side", "--force-conflicts"}, args...)...)
	}
	s.addArgument("pipelinejob-operator", "--namespaces="+namespaces)
	s.t.Cleanup(func() { // before the argument is removed, so that the operator never lacks a right
		s.ctx = context.WithoutCancel(s.ctx) // the test's context has ended
		apply("-f", "../../config/rbac/role.yaml")
		s.kubectl("delete", "--ignore-not-found", "-k", "../../config/namespaced/pipelines")
		s.kubectl("delete", "--ignore-not-found", "-f", "../../config/namespaced/account_events.yaml")
	})
	apply("-k", "../../config/namespaced/pipelines")
	apply("-f", "../../config/namespaced/account_events.yaml")
	apply("-f", "../../config/namespaced/cluster_role.yaml")
	s.kubectl("-n", "pipelinejob-system", "rollout", "restart", "deployment/pipelinejob-operator")
	s.kubectl("-n", "pipelinejob-system", "rollout", "status", "deployment/pipelinejob-operator", "--timeout=2m")
}
