//go:build e2e

package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// twoStepsYAML is a CustomAction whose last step waits for a file.
const twoStepsYAML = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: two-steps, namespace: pipelines}
spec:
  accountRef: {name: default}
  actionType:
    category: Test
    provider: E2E-two-steps
    version: "1"
    inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
    outputArtifactDetails: {minimumCount: 0, maximumCount: 0}
  polling: {interval: 2s}
  jobTemplate:
    spec:
      template:
        spec:
          securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
          containers:
          - name: first
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
            command: [sh, -euc]
            args: ['echo "this is the first step"']
          - name: last
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
            command: [sh, -euc]
            args: ['echo "this is the last step"; until test -e /codepipeline/go-on; do sleep 1; done']
`

// TestLogsOfAJobAreThoseOfItsLastStep: without a named container, kubectl uses the last step.
func TestLogsOfAJobAreThoseOfItsLastStep(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	out, err := s.tryKubectl(twoStepsYAML, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/two-steps")
	execution := s.startWorks("two-steps", work{Name: "two-steps"})
	var job string
	s.eventually(func(g Gomega) {
		run := s.pipelineJobs(g, execution)["two-steps"].Status.Run
		g.Expect(run).NotTo(BeNil())
		job = "job/" + run.JobName
		out, err := s.tryKubectl("", "-n", namespace, "logs", job)
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(Equal("this is the last step\n"), "while it runs")
	})
	s.kubectl("-n", namespace, "exec", job, "--", "touch", "/codepipeline/go-on")
	s.Expect(s.ended("two-steps", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(s.kubectl("-n", namespace, "logs", job)).To(Equal("this is the last step\n"), "when it has ended")
	s.Expect(s.kubectl("-n", namespace, "logs", job, "-c", "first")).To(Equal("this is the first step\n"))
}
