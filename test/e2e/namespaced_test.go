//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// TestSomeNamespaces runs the operator with the rights of config/namespaced: a ClusterRole
// for what is in no namespace, and a Role in one. Another namespace of its list is not there.
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

	s.Expect(s.kubectl("-n", hostile, "get", "cpaction", elsewhere.Name, "-o", "jsonpath={.status}")).To(BeEmpty(), "it is not seen")
	s.Expect(s.registered(s, elsewhere.Name)).To(BeFalse())
	log := s.kubectl("-n", "pipelinejob-system", "logs", "deployment/pipelinejob-operator")
	s.Expect(log).To(And(ContainSubstring("Not working in a namespace"), ContainSubstring("e2e-later")))
	restarts := s.kubectl("-n", "pipelinejob-system", "get", "pods", "-l", "app.kubernetes.io/name=pipelinejob-operator", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	s.Expect(restarts).To(MatchRegexp("^0( 0)*$"))
}

// restrict takes away the operator's rights outside of some namespaces, until the test ends.
func (s *suite) restrict(namespaces string) {
	s.t.Helper()
	apply := func(args ...string) {
		s.kubectl(append([]string{"apply", "--server-side", "--force-conflicts"}, args...)...)
	}
	s.addArgument("pipelinejob-operator", "--namespaces="+namespaces)
	s.t.Cleanup(func() { // before the argument is taken away: the operator never lacks a right
		s.ctx = context.WithoutCancel(s.ctx) // that of the test has ended
		apply("-f", "../../config/rbac/role.yaml")
		s.kubectl("delete", "--ignore-not-found", "-k", "../../config/namespaced/pipelines")
	})
	apply("-k", "../../config/namespaced/pipelines")
	apply("-f", "../../config/namespaced/cluster_role.yaml")
	s.kubectl("-n", "pipelinejob-system", "rollout", "restart", "deployment/pipelinejob-operator")
	s.kubectl("-n", "pipelinejob-system", "rollout", "status", "deployment/pipelinejob-operator", "--timeout=2m")
}
