//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/rights"
)

// TestMain runs the tests and, if all were run, compares the operator's requests to the API server
// with what its roles grant.
func TestMain(m *testing.M) {
	began := time.Now()
	code := m.Run()
	if err := compareRights(began); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "The operator's roles are not what it needs:", err)
		code = 1
	}
	os.Exit(code)
}

// compareRights returns an error with each right that is granted but was not used since a time, and
// each that was refused. $AUDIT_LOG is the API server's log. Without it, nothing is compared.
func compareRights(began time.Time) error {
	log, set := os.LookupEnv("AUDIT_LOG")
	if !set || !all() {
		fmt.Println("The operator's roles are not compared with its requests: not all tests were run, or $AUDIT_LOG is not set")
		return nil
	}
	granted, err := rights.Granted("../../config/rbac/role.yaml")
	if err != nil {
		return err
	}
	requests, err := requestsIn(log, began)
	if err != nil {
		return err
	}
	if lines := rights.Compare(granted, requests).Lines(); len(lines) > 0 {
		return errors.New("\n" + strings.Join(lines, "\n"))
	}
	fmt.Printf("The operator's %d requests used each of the %d rights of its roles, and none was refused.\n", len(requests), len(granted))
	return nil
}

// all reports whether no flag excludes a test.
func all() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// requestsIn reads an audit log and its rotated files.
func requestsIn(log string, from time.Time) ([]rights.Request, error) {
	files, err := filepath.Glob(strings.TrimSuffix(log, ".log") + "*.log")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no audit log %q: make cluster-down && make cluster-up starts a cluster that has one", log)
	}
	var contents []io.Reader
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // only opened for reading
		contents = append(contents, file)
	}
	return rights.Requests(io.MultiReader(contents...), from)
}

// TestLeaseThatIsDeleted: the leader creates its lease again, as in a new cluster.
func TestLeaseThatIsDeleted(t *testing.T) {
	s := newSuite(t)
	s.install()
	const system, lease = "pipelinejob-system", "lease/pipelinejob-operator.codepipeline.pipelinejob.dev"
	before := s.kubectl("-n", system, "get", lease, "-o", "jsonpath={.metadata.uid} {.spec.holderIdentity}")
	s.kubectl("-n", system, "delete", lease)
	s.eventually(func(g Gomega) {
		after, err := s.tryKubectl("", "-n", system, "get", lease, "-o", "jsonpath={.metadata.uid} {.spec.holderIdentity}")
		g.Expect(err).NotTo(HaveOccurred(), after)
		g.Expect(strings.Fields(after)).To(HaveLen(2))
		g.Expect(strings.Fields(after)[0]).NotTo(Equal(strings.Fields(before)[0]))
		g.Expect(strings.Fields(after)[1]).To(Equal(strings.Fields(before)[1]), "it still leads")
	})
}

// TestPipelineJobWhoseTimeIsOver is deleted automatically.
func TestPipelineJobWhoseTimeIsOver(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	w := work{Name: "short-lived", Script: "true", Spec: "ttlSecondsAfterFinished: 5"}
	s.apply(w)
	execution := s.startWorks("short-lived", w)
	s.Expect(s.ended("short-lived", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.eventually(func(g Gomega) { g.Expect(s.pipelineJobs(g, execution)).To(BeEmpty()) })
}

// keptYAML prevents the operator from deleting the Jobs of an action.
const keptYAML = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: e2e-kept}
spec:
  matchConstraints:
    objectSelector: {matchLabels: {codepipeline.pipelinejob.dev/custom-action: kept}}
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], operations: [DELETE], resources: [jobs]}
  validations:
  - expression: "request.userInfo.username != 'system:serviceaccount:pipelinejob-system:pipelinejob-operator'"
    message: kept by a test
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: e2e-kept}
spec: {policyName: e2e-kept, validationActions: [Deny]}
`

// TestRefusedDeletionIsTold: a policy repeatedly refuses the deletion of a Job, which results in
// one event with a count.
func TestRefusedDeletionIsTold(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	out, err := s.tryKubectl(keptYAML, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	remove := func() { _, _ = s.tryKubectl(keptYAML, "delete", "--ignore-not-found", "-f", "-") }
	t.Cleanup(remove)
	w := work{Name: "kept", Script: "sleep 600"}
	s.apply(w)
	execution := s.startWorks("kept", w)
	var job v1alpha1.PipelineJob
	s.eventually(func(g Gomega) {
		job = s.pipelineJobs(g, execution)[w.Name]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		out, _ := s.tryKubectl("", "-n", namespace, "delete", "job", job.Status.Run.JobName, "--dry-run=server", "--as=system:serviceaccount:pipelinejob-system:pipelinejob-operator")
		g.Expect(out).To(ContainSubstring("kept by a test"), "the policy is in force")
	})
	s.kubectl("-n", namespace, "delete", "cpjob", job.Name, "--wait=false")
	s.eventually(func(g Gomega) {
		var list eventsv1.EventList
		out := s.kubectl("-n", namespace, "get", "events.events.k8s.io", "--field-selector=regarding.name="+job.Name+",reason="+v1alpha1.ReasonRetrying, "-o", "json")
		g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
		g.Expect(list.Items).To(ContainElement(HaveField("Series", Not(BeNil()))))
	})
	remove()
	s.kubectl("-n", namespace, "wait", "--for=delete", "--timeout=3m", "cpjob/"+job.Name)
}
