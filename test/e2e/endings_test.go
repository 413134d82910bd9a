//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"testing"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// work is a custom action with one step, and how it must end.
type work struct {
	// Name is the name of the CustomAction, its provider and the action.
	Name string
	// Image is the step's image. Empty means the image with a shell.
	Image string
	// Script is the shell script of the step.
	Script string
	// Memory is the step's memory limit.
	Memory string
	// Properties are the configuration properties of the action type, in YAML.
	Properties string
	// Spec has further fields of the CustomAction's spec, in YAML.
	Spec string

	// external is the external execution ID, if a step sets one.
	external string

	status  types.ActionExecutionStatus
	code    string // of a failure
	message string // a pattern for the failure or the summary
}

// workYAML is a CustomAction.
var workYAML = template.Must(template.New("").Parse(`
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: {{.Name}}, namespace: pipelines}
spec:
  accountRef: {name: default}
  actionType:
    category: Test
    provider: E2E-{{.Name}}
    version: "1"
{{- with .Properties}}
    configurationProperties: {{.}}
{{- end}}
    inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
    outputArtifactDetails: {minimumCount: 0, maximumCount: 0}
  polling: {interval: 2s}
{{- with .Spec}}
  {{.}}
{{- end}}
  jobTemplate:
    spec:
      template:
        spec:
          securityContext:
            runAsNonRoot: true
            runAsUser: 1000
            seccompProfile: {type: RuntimeDefault}
          containers:
          - name: work
            image: {{or .Image "pipelinejob.dev/sample-work:dev"}}
            imagePullPolicy: IfNotPresent
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
{{- with .Memory}}
            resources: {limits: {memory: {{.}}}}
{{- end}}
            command: [sh, -euc]
            args: [{{printf "%q" .Script}}]
`))

// apply creates the CustomActions and waits until they are ready.
func (s *suite) apply(works ...work) {
	s.t.Helper()
	for _, w := range works {
		var text bytes.Buffer
		s.Expect(workYAML.Execute(&text, w)).To(Succeed())
		out, err := s.tryKubectl(text.String(), "apply", "--server-side", "-f", "-")
		s.Expect(err).NotTo(HaveOccurred(), out)
	}
	for _, w := range works {
		s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/"+w.Name)
	}
}

// startWorks starts a pipeline in which the actions run in parallel.
func (s *suite) startWorks(name string, works ...work) (execution string) {
	s.t.Helper()
	s.put("e2e.zip", nil)
	var actions []pipeline.Action
	for _, w := range works {
		actions = append(actions, custom(types.ActionCategoryTest, w.Name))
	}
	return s.startPipeline(name, map[string]string{"source": "e2e.zip"}, actions...)
}

// actionState returns CodePipeline's state of an action.
func (s *suite) actionState(g Gomega, pipeline, action string) types.ActionExecution {
	state, err := s.aws.GetPipelineState(s.ctx, &codepipeline.GetPipelineStateInput{Name: &pipeline})
	g.Expect(err).NotTo(HaveOccurred())
	for _, known := range state.StageStates[1].ActionStates {
		if *known.ActionName == action && known.LatestExecution != nil {
			return *known.LatestExecution
		}
	}
	g.Expect(false).To(BeTrue(), "action %s has not begun", action)
	return types.ActionExecution{}
}

func endings() []work {
	const succeeded, failed = types.ActionExecutionStatusSucceeded, types.ActionExecutionStatusFailed
	return []work{
		{Name: "well", Script: `echo fine > "$CODEPIPELINE_RESULT/summary"`, status: succeeded, message: "^fine$"},
		{Name: "oom", Script: "echo filling the memory; exec tail /dev/zero", Memory: "16Mi", status: failed, code: "JobFailed",
			// The runtime does not always learn in time why the kernel killed the process.
			message: `^step "work" failed: .*(OOMKilled.*16Mi|killed by SIGKILL, as happens when memory runs out)`},
		{Name: "no-image", Image: "pipelinejob.dev/none:dev", Script: "true", status: failed, code: "ConfigurationError",
			message: `pipelinejob.dev/none:dev.*step "work"`},
		{Name: "deadline", Script: "echo waiting; sleep 600", Spec: "timeout: 40s", status: failed, code: "JobFailed", message: `spec.timeout.*"work"`},
		{Name: "signal", Script: "sleep 60 & kill -TERM $!; wait $!", status: failed, code: "JobFailed", message: `^step "work" failed: .*143`},
		{Name: "hand-off", status: succeeded, message: "^deployed after -step-2$", Script: `case "${CODEPIPELINE_CONTINUATION_TOKEN:-}" in
			step-2) echo "deployed after -step-2" > "$CODEPIPELINE_RESULT/summary" ;;
			step-1) printf step-2 > "$CODEPIPELINE_RESULT/continuation-token" ;;
			*) "$CODEPIPELINE" continue step-1 ;;
			esac`},
		{Name: "progress", Spec: "progress: {interval: 20s}", status: succeeded, message: "^all 6 parts$",
			Script: `for i in 1 2 3 4 5 6; do
			"$CODEPIPELINE" progress $((i * 15)) "part $i"; sleep 20
			done; echo "all 6 parts" > "$CODEPIPELINE_RESULT/summary"; echo 100 > "$CODEPIPELINE_RESULT/percent-complete"`},
		{Name: "commands", Script: `stamp=$(date +%Y.%m.%d); python=$(python3.11 -c 'print(1)' || true); tag=$(version.sh || true); own=$$(version.sh || true)
			echo "$stamp,$python,$tag,$own" > "$CODEPIPELINE_RESULT/summary"`, status: succeeded, message: `^20[0-9]{2}\.[01][0-9]\.[0-3][0-9],,,$`},
		{Name: "in-memory", Spec: "workspace: {medium: Memory, sizeLimit: 64Mi}", status: succeeded, message: "^tmpfs$",
			Script: `awk '$2 == "/codepipeline" {print $3}' /proc/mounts > "$CODEPIPELINE_RESULT/summary"`},
		{Name: "too-much", Spec: "workspace: {sizeLimit: 10Mi}", Script: "head -c 30000000 /dev/zero > /codepipeline/large; sleep 600", status: failed,
			code: "SystemUnavailable", message: `Evicted: .*"codepipeline-shared" exceeds the limit "10Mi".*raise spec.workspace.sizeLimit`},
		{Name: "said", Script: `"$CODEPIPELINE" external-id 398; "$CODEPIPELINE" summary "117 of 120 tests passed, 3 failed: login, logout, search"; exit 1`,
			status: failed, code: "JobFailed", external: "398",
			message: `^117 of 120 tests passed, 3 failed: login, logout, search\nstep "work" failed: exit code 1`},
		{Name: "said-oom", Script: `"$CODEPIPELINE" external-id 399; "$CODEPIPELINE" summary "loading"; exec tail /dev/zero`, Memory: "16Mi",
			status: failed, code: "JobFailed", external: "399", message: `^loading\nstep "work" failed`},
		{Name: "said-late", Script: `echo '{"summary": "waiting", "externalExecutionId": "400"}' > "$CODEPIPELINE_RESULT/result.json"; sleep 600`, Spec: "timeout: 40s",
			status: failed, code: "JobFailed", external: "400", message: `^waiting\nthe run took longer than spec.timeout`},
		{Name: "pod-gone", Script: `"$CODEPIPELINE" summary "deploying"; sleep 600`, status: failed, code: "SystemUnavailable",
			message: `^deploying\nthe pod .*(was lost|was deleted) `},
		{Name: "mesh", Script: `echo done > "$CODEPIPELINE_RESULT/summary"`, status: succeeded, message: "^done$"},
		{Name: "deleted", Script: "sleep 600", status: failed, code: "JobFailed", message: "cancelled: the PipelineJob .* was deleted"},
		{Name: "job-gone", Script: "sleep 600", status: failed, code: "SystemUnavailable", message: "the Kubernetes Job .* was deleted while it was running"},
	}
}

// meshYAML adds a regular container that never ends on its own to the pods of the action "mesh".
const meshYAML = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: e2e-mesh}
spec:
  matchConstraints:
    objectSelector: {matchLabels: {codepipeline.pipelinejob.dev/custom-action: mesh}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{
          name: "istio-proxy", image: "pipelinejob.dev/sample-work:dev", imagePullPolicy: "IfNotPresent",
          command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"],
          securityContext: Object.spec.containers.securityContext{allowPrivilegeEscalation: false,
            capabilities: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: e2e-mesh}
spec: {policyName: e2e-mesh}
`

// TestEndings runs actions in parallel that end in all possible ways.
func TestEndings(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	works := endings()
	out, err := s.tryKubectl(meshYAML, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() { _, _ = s.tryKubectl(meshYAML, "delete", "--ignore-not-found", "-f", "-") })
	s.apply(works...)
	execution := s.startWorks("endings", works...)
	s.eventually(func(g Gomega) {
		jobs := s.pipelineJobs(g, execution)
		g.Expect(jobs["deleted"].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(jobs["job-gone"].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(jobs["pod-gone"].Status.Run).NotTo(BeNil())
		out, err := s.tryKubectl("", "-n", namespace, "logs", "job/"+jobs["pod-gone"].Status.Run.JobName, "-c", "codepipeline-progress")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(ContainSubstring("deploying"))
	})
	jobs := s.pipelineJobs(s, execution)
	s.kubectl("-n", namespace, "delete", "cpjob", jobs["deleted"].Name, "--wait=false")
	s.kubectl("-n", namespace, "delete", "job", jobs["job-gone"].Status.Run.JobName, "--wait=false")
	s.kubectl("-n", namespace, "delete", "pod", "-l", "batch.kubernetes.io/job-name="+jobs["pod-gone"].Status.Run.JobName, "--wait=false")
	s.expectProgress(execution)
	s.Expect(s.ended("endings", execution)).To(Equal(types.PipelineExecutionStatusFailed))
	for _, w := range works {
		s.expectEnding(w)
	}
	jobs = s.pipelineJobs(s, execution)
	s.eventually(func(g Gomega) {
		g.Expect(s.kubernetesJobs(jobs["mesh"].Name)).To(BeEmpty(), "its pod would run for ever")
	})
	s.Expect(jobs).NotTo(HaveKey("deleted"))
	s.Expect(jobs["hand-off"].Status.Run.Number).To(BeEquivalentTo(3))
	s.Expect(jobs["hand-off"].Status.PreviousRuns).To(HaveLen(2))
	s.Expect(jobs["progress"].Status.Run.Number).To(BeEquivalentTo(1), "progress starts no second run")
	s.Expect(jobs["progress"].Status.Protocol.Progress.Updates).To(BeNumerically(">=", 3))
	for job, succeeded := range map[string]bool{"well": true, "oom": false} { // as shown in docs/protocol.md
		name := "cpjob/" + jobs[job].Name
		s.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.finishedAt}", "--timeout=1m", name)
		_, err := s.tryKubectl("", "-n", namespace, "wait", "--for=condition=Complete", "--timeout=0s", name)
		s.Expect(err == nil).To(Equal(succeeded), job)
	}
	s.Expect(s.kubectl("-n", namespace, "get", "cpjob", "--field-selector", "spec.pipeline.name=endings,status.phase=Failed", "-o", "name")).
		To(And(ContainSubstring(jobs["oom"].Name), Not(ContainSubstring(jobs["well"].Name))))
	for _, ended := range []string{"well", "oom"} {
		s.Expect(s.kubectl("-n", namespace, "get", "secrets", "-o", "name")).NotTo(ContainSubstring(secretOf(jobs[ended])))
	}
}

// expectProgress waits until CodePipeline shows the progress of running work.
func (s *suite) expectProgress(execution string) {
	s.t.Helper()
	s.eventually(func(g Gomega) {
		shown := s.actionState(g, "endings", "progress")
		g.Expect(shown.Status).To(Equal(types.ActionExecutionStatusInProgress))
		g.Expect(aws.ToString(shown.Summary)).To(MatchRegexp("^part [1-6]$"))
		g.Expect(aws.ToInt32(shown.PercentComplete)).To(And(BeNumerically(">=", 15), BeNumerically("<=", 90)))
		job := s.pipelineJobs(g, execution)["progress"]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
}

func (s *suite) expectEnding(w work) {
	s.t.Helper()
	shown := s.actionState(s, "endings", w.Name)
	s.Expect(shown.Status).To(Equal(w.status), w.Name)
	if w.external != "" {
		s.Expect(aws.ToString(shown.ExternalExecutionId)).To(Equal(w.external), w.Name)
	}
	if w.code == "" {
		s.Expect(aws.ToString(shown.Summary)).To(MatchRegexp(w.message), w.Name)
		return
	}
	s.Expect(shown.ErrorDetails).NotTo(BeNil(), w.Name)
	s.Expect(aws.ToString(shown.ErrorDetails.Code)).To(Equal(w.code), fmt.Sprintf("%s: %s", w.Name, aws.ToString(shown.ErrorDetails.Message)))
	s.Expect(aws.ToString(shown.ErrorDetails.Message)).To(MatchRegexp("(?s)"+w.message), w.Name)
}

// TestAbandonedExecution stops a pipeline while its action runs.
func TestAbandonedExecution(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	long := work{Name: "long", Script: "sleep 600"}
	s.apply(long)
	execution := s.startWorks("abandoned", long)
	s.eventually(func(g Gomega) {
		g.Expect(s.pipelineJobs(g, execution)["long"].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
	_, err := s.aws.StopPipelineExecution(s.ctx, &codepipeline.StopPipelineExecutionInput{
		PipelineName: aws.String("abandoned"), PipelineExecutionId: &execution, Abandon: true, Reason: aws.String("no longer wanted"),
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.eventually(func(g Gomega) {
		job := s.pipelineJobs(g, execution)["long"]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
		g.Expect(s.kubernetesJobs(job.Name)).To(BeEmpty())
	})
}
