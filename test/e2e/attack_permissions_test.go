//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// attack is a kubectl command of an attacker, and the expected refusal.
type attack struct {
	input   string
	args    []string
	refusal string
}

const (
	// byRBAC and byPolicy are parts of the refusals.
	byRBAC   = "cannot "
	byPolicy = "denied request: "
)

// refused checks that every attack fails with the refusal and discloses none of the values.
func (s *suite) refused(how []string, attacks map[string]attack, values ...string) {
	s.t.Helper()
	for name, attack := range attacks {
		out, err := s.tryKubectl(attack.input, append(how, attack.args...)...)
		s.Expect(err).To(HaveOccurred(), "%s: %s", name, out)
		s.Expect(out).To(ContainSubstring(attack.refusal), name)
		for _, value := range values {
			s.Expect(out).NotTo(ContainSubstring(value), name)
		}
	}
}

// withOperatorsToken returns flags with which kubectl uses only the operator's token.
func (s *suite) withOperatorsToken() []string {
	s.t.Helper()
	var config map[string]any
	s.Expect(json.Unmarshal([]byte(s.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")), &config)).To(Succeed())
	user := config["users"].([]any)[0].(map[string]any)
	user["user"] = map[string]any{"token": strings.TrimSpace(s.kubectl("-n", "pipelinejob-system", "create", "token", "pipelinejob-operator"))}
	content, err := json.Marshal(config)
	s.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	s.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return []string{"--kubeconfig=" + path}
}

// TestAttackWithTheOperatorsToken: an attacker with the operator's token can't read Secrets, and
// can't create pods or tokens in a system namespace or without a PipelineJob.
func TestAttackWithTheOperatorsToken(t *testing.T) {
	s := newSuite(t)
	s.install()
	const value, encoded = "attack-me-if-you-can", "YXR0YWNrLW1lLWlmLXlvdS1jYW4="
	s.kubectl("-n", namespace, "delete", "secret", "payroll", "--ignore-not-found")
	s.kubectl("-n", namespace, "create", "secret", "generic", "payroll", "--from-literal=password="+value)
	const raw = "/api/v1/namespaces/" + namespace + "/secrets/payroll"
	tokenSecret := `{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
		"metadata": {"name": "token", "namespace": "kube-system", "annotations": {"kubernetes.io/service-account.name": "default"}}}`
	job := func(in string) string {
		return `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "attack", "namespace": "` + in + `"}, "spec": {"template": {"spec": {
			"restartPolicy": "Never", "containers": [{"name": "x", "image": "pipelinejob.dev/sample-work:dev"}]}}}}`
	}
	s.refused(s.withOperatorsToken(), map[string]attack{
		"get":         {args: []string{"get", "--raw", raw}, refusal: byRBAC},
		"empty patch": {args: []string{"-n", namespace, "patch", "secret", "payroll", "--type=merge", "-p", "{}", "-o", "yaml"}, refusal: byRBAC},
		"copy to a label": {args: []string{"-n", namespace, "patch", "secret", "payroll", "--type=json", "-p",
			`[{"op": "copy", "from": "/data/password", "path": "/metadata/labels"}]`}, refusal: byRBAC},
		"dry run of a deletion": {args: []string{"delete", "--raw", raw + "?dryRun=All&propagationPolicy=Foreground"}, refusal: byPolicy},
		"deletion":              {args: []string{"delete", "--raw", raw}, refusal: byPolicy},
		"replacement": {input: `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payroll"}}`,
			args: []string{"replace", "--raw", raw, "-f", "-"}, refusal: byPolicy},
		"a token":                {input: tokenSecret, args: []string{"create", "--raw", "/api/v1/namespaces/kube-system/secrets", "-f", "-"}, refusal: byPolicy},
		"a Job in kube-system":   {input: job("kube-system"), args: []string{"create", "--raw", "/apis/batch/v1/namespaces/kube-system/jobs", "-f", "-"}, refusal: byPolicy},
		"a Job in its namespace": {input: job("pipelinejob-system"), args: []string{"create", "--raw", "/apis/batch/v1/namespaces/pipelinejob-system/jobs", "-f", "-"}, refusal: byPolicy},
		"a Job without an owner": {input: job(namespace), args: []string{"create", "--raw", "/apis/batch/v1/namespaces/" + namespace + "/jobs", "-f", "-"}, refusal: byPolicy},
		"a pod of its own": {input: `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "attack"}, "spec": {
			"securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
			"containers": [{"name": "x", "image": "pipelinejob.dev/sample-work:dev",
				"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}`,
			args: []string{"create", "--raw", "/api/v1/namespaces/" + namespace + "/pods", "-f", "-"}, refusal: byPolicy},
	}, value, encoded)
	s.Expect(s.kubectl("-n", namespace, "get", "secret", "payroll", "-o", "jsonpath={.data.password} {.metadata.deletionTimestamp}")).To(Equal(encoded + " "))
	s.kubectl("-n", namespace, "delete", "secret", "payroll")
}

// TestAttackByATenantOnPipelineJobs: a tenant with edit in its namespace, and one with every
// permission for PipelineJobs, try to write a PipelineJob. Its work continues.
func TestAttackByATenantOnPipelineJobs(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	const everything = "e2e-everything"
	s.kubectl("delete", "clusterrole", everything, "--ignore-not-found")
	s.kubectl("create", "clusterrole", everything, "--verb=*", "--resource=pipelinejobs.codepipeline.pipelinejob.dev,pipelinejobs.codepipeline.pipelinejob.dev/status")
	for name, role := range map[string]string{"e2e-editor": "edit", "e2e-owner": everything} {
		s.kubectl("-n", namespace, "delete", "rolebinding", name, "--ignore-not-found")
		s.kubectl("-n", namespace, "create", "rolebinding", name, "--clusterrole="+role, "--user="+name)
	}
	w := work{Name: "attacked", Script: `while [ ! -e /tmp/go ]; do sleep 0.2; done; echo done > "$CODEPIPELINE_RESULT/summary"`}
	s.apply(w)
	execution := s.startWorks("attacked", w)
	var job v1alpha1.PipelineJob
	s.eventually(func(g Gomega) {
		job = s.pipelineJobs(g, execution)[w.Name]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
	object := "cpjob/" + job.Name
	byHand := `{"apiVersion": "codepipeline.pipelinejob.dev/v1alpha1", "kind": "PipelineJob", "metadata": {"name": "by-hand"},
		"spec": ` + strings.TrimSpace(s.kubectl("-n", namespace, "get", object, "-o", "jsonpath={.spec}")) + `}`
	patch := func(text string, more ...string) []string {
		return append([]string{"-n", namespace, "patch", object, "--type=merge", "-p", text}, more...)
	}
	s.refused([]string{"--as=e2e-editor"}, map[string]attack{
		"read":           {args: []string{"-n", namespace, "get", "cpjob"}, refusal: byRBAC},
		"cancel":         {args: []string{"-n", namespace, "delete", object}, refusal: byRBAC},
		"a CustomAction": {args: []string{"-n", namespace, "create", "--raw", "/apis/codepipeline.pipelinejob.dev/v1alpha1/namespaces/" + namespace + "/customactions", "-f", "-"}, input: "{}", refusal: byRBAC},
	})
	s.refused([]string{"--as=e2e-owner"}, map[string]attack{
		"create":         {input: byHand, args: []string{"-n", namespace, "create", "-f", "-"}, refusal: byPolicy + "only the operator creates PipelineJobs"},
		"dry run":        {input: byHand, args: []string{"-n", namespace, "create", "--dry-run=server", "-f", "-"}, refusal: byPolicy + "only the operator creates PipelineJobs"},
		"apply":          {input: byHand, args: []string{"-n", namespace, "apply", "--server-side", "-f", "-"}, refusal: byPolicy + "only the operator creates PipelineJobs"},
		"spec":           {args: patch(`{"spec": {"codePipelineJob": {"nonce": "2"}}}`), refusal: byPolicy + "only the operator writes the spec"},
		"status":         {args: patch(`{"status": {"phase": "Succeeded"}}`, "--subresource=status"), refusal: byPolicy + "only the operator writes the status"},
		"owners":         {args: patch(`{"metadata": {"ownerReferences": null}}`), refusal: byPolicy + "only the operator and the garbage collector"},
		"our annotation": {args: []string{"-n", namespace, "annotate", object, v1alpha1.AnnotationAbandoned + "=true"}, refusal: byPolicy + "only the operator changes a PipelineJob's annotations"},
	})
	s.kubectl("--as=e2e-owner", "-n", namespace, "annotate", object, "example.com/ticket=17")
	s.eventually(func(g Gomega) {
		out, err := s.tryKubectl("", "-n", namespace, "exec", "job/"+job.Status.Run.JobName, "-c", "work", "--", "touch", "/tmp/go")
		g.Expect(err).NotTo(HaveOccurred(), out)
	})
	s.Expect(s.ended("attacked", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
}
