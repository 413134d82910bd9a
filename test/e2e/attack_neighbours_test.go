//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// tenant is a user with every role for users in a namespace.
type tenant struct {
	*suite
	namespace string
	as        []string
}

// hostileTenant creates a namespace with access to account "default", and its tenant. Both are
// deleted when the test ends.
func (s *suite) hostileTenant(name string) tenant {
	s.t.Helper()
	s.kubectl("create", "namespace", name)
	s.t.Cleanup(func() { _, _ = s.tryKubectl("", "delete", "namespace", name, "--wait=false") })
	s.kubectl("label", "namespace", name, v1alpha1.LabelEnabled+"=true")
	for _, role := range []string{"admin", "pipelinejob-operator-customaction-editor", "pipelinejob-operator-pipelinejob-canceller"} {
		s.kubectl("-n", name, "create", "rolebinding", role, "--clusterrole="+role, "--user="+name)
	}
	return tenant{suite: s, namespace: name, as: []string{"--as=" + name, "-n", name}}
}

// manifest returns the manifest of a work in the tenant's namespace, with replaced parts.
func (t tenant) manifest(w work, replaced ...string) string {
	t.t.Helper()
	var text bytes.Buffer
	t.Expect(workYAML.Execute(&text, w)).To(Succeed())
	replaced = append(replaced, "namespace: "+namespace+"}", "namespace: "+t.namespace+"}")
	return strings.NewReplacer(replaced...).Replace(text.String())
}

// create creates a CustomAction as the tenant.
func (t tenant) create(manifest string) {
	t.t.Helper()
	out, err := t.tryKubectl(manifest, append(t.as, "create", "-f", "-")...)
	t.Expect(err).NotTo(HaveOccurred(), out)
}

// waits waits until a CustomAction of the tenant is not ready for a reason.
func (t tenant) waits(action, reason string) {
	t.t.Helper()
	t.kubectl("-n", t.namespace, "wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}="+reason, "--timeout=1m", "cpaction/"+action)
}

// TestAttackOnANeighboursActionType: a tenant claims the action type of a neighbour, while the
// neighbour's CustomAction exists, and while it is deleted and created again, and tries to delete
// the type by deleting its own CustomAction. It gets no job of the neighbour, and the type is not
// deleted.
func TestAttackOnANeighboursActionType(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	hostile := s.hostileTenant("e2e-attack-type")
	victim := work{Name: "attack-type", Spec: "deletionPolicy: Retain", Script: `"$CODEPIPELINE" summary "the neighbour's"`}
	stealing := hostile.manifest(victim, "deletionPolicy: Retain", "deletionPolicy: Delete")
	s.apply(victim)
	hostile.create(stealing)
	hostile.waits(victim.Name, v1alpha1.ReasonActionTypeTaken)

	s.kubectl("-n", namespace, "delete", "cpaction/"+victim.Name)
	execution := s.startWorks("attack-type", victim)
	s.kubectl(append(hostile.as, "delete", "cpaction/"+victim.Name)...)
	hostile.create(stealing)
	hostile.waits(victim.Name, v1alpha1.ReasonActionTypeTaken)
	s.apply(victim)
	s.Expect(s.ended("attack-type", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(aws.ToString(s.actionState(s, "attack-type", victim.Name).Summary)).To(Equal("the neighbour's"))
	s.Expect(s.kubectl("-n", hostile.namespace, "get", "cpjob,jobs", "-o", "name")).To(BeEmpty())

	s.kubectl(append(hostile.as, "delete", "cpaction/"+victim.Name)...)
	s.Expect(s.customTypes(s)).To(ContainElement("E2E-" + victim.Name))
}

// customTypes returns the providers of CodePipeline's custom action types.
func (s *suite) customTypes(g Gomega) (providers []string) {
	s.t.Helper()
	pages := codepipeline.NewListActionTypesPaginator(s.aws, &codepipeline.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		g.Expect(err).NotTo(HaveOccurred())
		for _, listed := range page.ActionTypes {
			providers = append(providers, aws.ToString(listed.Id.Provider))
		}
	}
	return providers
}

// foreignAccounts are an account whose role AWS refuses, granted to the hostile namespace, and an
// account without a grant.
const foreignAccounts = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CodePipelineAccount
metadata: {name: e2e-foreign}
spec:
  roleARN: arn:aws:iam::444455556666:role/foreign
  regions: [us-east-1]
  grants:
  - namespaces: {names: [e2e-attack-role]}
    mayRegister: true
---
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CodePipelineAccount
metadata: {name: e2e-private}
spec: {regions: [us-east-1]}
`

// TestAttackWithAForeignRole: a tenant tries to use a role, an account, a region and a grant that
// it does not have, and to block a neighbour's action type with objects without access.
func TestAttackWithAForeignRole(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	hostile := s.hostileTenant("e2e-attack-role")
	s.fault(`{"operation": "AssumeRole", "accountId": "444455556666", "kind": "AccessDenied", "probability": 1}`)
	out, err := s.tryKubectl(foreignAccounts, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() {
		_, _ = s.tryKubectl("", "delete", "cpaccount", "e2e-foreign", "e2e-private", "--wait=false")
	})

	victim := work{Name: "attack-role", Script: "true"}
	role := "spec:\n  aws: {region: us-east-1, roleARN: arn:aws:iam::444455556666:role/foreign}\n  accountRef"
	s.refused(hostile.as, map[string]attack{
		"a role of its own":    {input: hostile.manifest(victim, "spec:\n  accountRef", role), args: []string{"create", "-f", "-"}, refusal: `unknown field "spec.aws"`},
		"an account":           {input: strings.ReplaceAll(foreignAccounts, "e2e-", "stolen-"), args: []string{"create", "-f", "-"}, refusal: byRBAC},
		"a grant":              {args: []string{"patch", "cpaccount", "e2e-private", "--type=merge", "-p", `{"spec": {"grants": []}}`}, refusal: byRBAC},
		"a label that selects": {args: []string{"label", "namespace", hostile.namespace, "team=web"}, refusal: byRBAC},
	})
	squat := func(name, reason string, replaced ...string) {
		w := victim
		w.Name = name
		hostile.create(hostile.manifest(w, append(replaced, "E2E-"+name, "E2E-"+victim.Name)...))
		hostile.waits(name, reason)
	}
	squat("refused-role", v1alpha1.ReasonAccountNotReady, "accountRef: {name: default}", "accountRef: {name: e2e-foreign}")
	squat("no-grant", v1alpha1.ReasonAccessNotGranted, "accountRef: {name: default}", "accountRef: {name: e2e-private}")
	squat("no-region", v1alpha1.ReasonAccessNotGranted, "accountRef: {name: default}", "accountRef: {name: default}\n  region: eu-west-3")
	s.apply(victim)
	execution := s.startWorks("attack-role", victim)
	s.Expect(s.ended("attack-role", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
}

// fault makes calls to the emulator fail until the test ends.
func (s *suite) fault(text string) {
	s.t.Helper()
	response, err := http.Post(s.url+"/_emulator/faults", "application/json", strings.NewReader(text))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(response.Body.Close()).To(Succeed())
	s.Expect(response.StatusCode).To(BeNumerically("<", 300))
	s.t.Cleanup(func() {
		request, err := http.NewRequest(http.MethodDelete, s.url+"/_emulator/faults", http.NoBody)
		s.Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		s.Expect(err).NotTo(HaveOccurred())
		_ = response.Body.Close() // the content is not needed
	})
}

// TestAttackThrottlingANeighbour: a tenant has many CustomActions that poll as often as possible,
// each with a job that never starts, while AWS throttles half of all polls. A neighbour with the
// same account still gets its job, and its result is reported.
func TestAttackThrottlingANeighbour(t *testing.T) {
	const actions = 20
	s := newSuite(t)
	s.install()
	s.connect()
	hostile := s.hostileTenant("e2e-attack-rate")
	s.put("e2e.zip", nil)
	var theirs []pipeline.Action
	for i := range actions { // all with the same action type: by default, an AWS account has at most 50
		w := work{Name: fmt.Sprint("greedy-", i), Script: "true", Properties: "[{name: Lane, required: true, key: true, secret: false, queryable: true}]"}
		lane := fmt.Sprint("lane-", i)
		hostile.create(hostile.manifest(w, "provider: E2E-"+w.Name, "provider: E2E-greedy",
			"polling: {interval: 2s}", "polling: {interval: 1s, maxConcurrentJobs: 1000, queryParam: {Lane: "+lane+"}}",
			"          containers:", "          nodeSelector: {example.com/node: none}\n          containers:"))
		theirs = append(theirs, pipeline.NewAction(w.Name, pipeline.CustomType(types.ActionCategoryTest, "E2E-greedy", "1")).Configure("Lane", lane))
	}
	s.kubectl("-n", hostile.namespace, "wait", "--for=condition=Ready", "--timeout=4m", "cpaction", "--all")
	s.startPipeline("greedy", map[string]string{"source": "e2e.zip"}, theirs...)
	s.fault(`{"operation": "PollForJobs", "kind": "Throttle", "probability": 0.5}`)
	s.eventually(func(g Gomega) {
		out, err := s.tryKubectl("", "get", "cpaccount", "default", "-o", "jsonpath={.status.conditions[?(@.type=='Throttled')].status}")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(Equal("True"))
	})
	victim := work{Name: "attack-rate", Script: "true"}
	var manifest bytes.Buffer
	s.Expect(workYAML.Execute(&manifest, victim)).To(Succeed())
	out, err := s.tryKubectl(manifest.String(), "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	// It may not be ready if its polls are throttled several times in a row.
	s.kubectl("-n", namespace, "wait", "--for=condition=Registered", "--timeout=1m", "cpaction/"+victim.Name)
	execution := s.startWorks("attack-rate", victim)
	s.Expect(s.ended("attack-rate", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
}
