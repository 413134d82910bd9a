//go:build e2e

package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// hostile is the namespace of a tenant with the role edit in it.
const hostile = "e2e-hostile"

// hostileYAML has the tenant, and a service account that may read metrics.
const hostileYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e-hostile}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: tenant, namespace: e2e-hostile}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: e2e-hostile}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects:
- {kind: ServiceAccount, name: tenant, namespace: e2e-hostile}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: e2e-prometheus, namespace: pipelinejob-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-prometheus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pipelinejob-operator-metrics-reader}
subjects:
- {kind: ServiceAccount, name: e2e-prometheus, namespace: pipelinejob-system}
`

// addTenant creates the tenant until the test ends.
func (s *suite) addTenant() {
	s.t.Helper()
	s.t.Cleanup(func() { _, _ = s.tryKubectl(hostileYAML, "delete", "--ignore-not-found", "--wait=false", "-f", "-") })
	s.kubectl("wait", "--for=delete", "namespace/"+hostile, "--timeout=2m") // of an earlier test
	out, err := s.tryKubectl(hostileYAML, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("wait", "--for=jsonpath={.status.phase}=Active", "namespace/"+hostile, "--timeout=1m")
}

// scrape requests the operator's metrics.
func (s *suite) scrape(address, token string) (status int, body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "https://"+address+"/metrics", nil)
	s.Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is self-signed
	}}
	response, err := client.Do(request)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

// TestMetricsAreNotForTenants: metrics name the CustomActions of all namespaces.
func TestMetricsAreNotForTenants(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.addTenant()
	address := s.forward("pipelinejob-operator", "8443")

	status, body := s.scrape(address, "")
	s.Expect(status).To(Equal(http.StatusUnauthorized), body)
	tenant := strings.TrimSpace(s.kubectl("-n", hostile, "create", "token", "tenant"))
	status, body = s.scrape(address, tenant)
	s.Expect(status).To(Equal(http.StatusForbidden), body)
	s.Expect(body).NotTo(ContainSubstring("pipelinejob_"))
	reader := strings.TrimSpace(s.kubectl("-n", "pipelinejob-system", "create", "token", "e2e-prometheus"))
	status, body = s.scrape(address, reader)
	s.Expect(status).To(Equal(http.StatusOK), body)
	s.Expect(body).To(ContainSubstring("pipelinejob_custom_action_ready"))

	log := s.kubectl("-n", "pipelinejob-system", "logs", "deployment/pipelinejob-operator")
	for _, token := range []string{tenant, reader} {
		s.Expect(log).NotTo(ContainSubstring(token))
	}
}

// TestEmulatorIsNotControlledByTenants: a tenant's pod tries to read the calls of all accounts.
func TestEmulatorIsNotControlledByTenants(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	s.addTenant()
	s.Expect(s.journal()).NotTo(BeEmpty(), "by a forwarded port it can be read")
	ip := s.kubectl("-n", "pipelinejob-system", "get", "service", "codepipeline-emulator", "-o", "jsonpath={.spec.clusterIP}")
	for name, args := range map[string][]string{
		"journal": {"wget", "-q", "-O-", "http://" + ip + ":4566/_emulator/journal"},
		"faults":  {"wget", "-q", "-O-", "--post-data={}", "http://" + ip + ":4566/_emulator/faults"},
	} {
		s.kubectl(append([]string{"-n", hostile, "run", name, "--image=pipelinejob.dev/sample-work:dev", "--image-pull-policy=IfNotPresent",
			"--restart=Never", "--command", "--"}, args...)...)
		s.kubectl("-n", hostile, "wait", "--for=jsonpath={.status.phase}=Failed", "pod/"+name, "--timeout=2m")
		s.Expect(s.kubectl("-n", hostile, "logs", name)).To(ContainSubstring("403"))
	}
}
