//go:build e2e

package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// expectFailure checks the failure of an action in CodePipeline.
func (s *suite) expectFailure(pipeline, action, code, message string) {
	s.t.Helper()
	shown := s.actionState(s, pipeline, action)
	s.Expect(shown.ErrorDetails).NotTo(BeNil(), action)
	s.Expect(aws.ToString(shown.ErrorDetails.Message)).To(HavePrefix(message), action)
	s.Expect(aws.ToString(shown.ErrorDetails.Code)).To(Equal(code), action)
}

// TestEmptyOutputsByEachRule uses steps that leave folders but no files in their outputs.
func TestEmptyOutputsByEachRule(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	const script = `cd /codepipeline/output/*; mkdir html; echo built > "$CODEPIPELINE_RESULT/summary"`
	warn := mover{Name: "empty-warn", Script: script}
	allow := mover{Name: "empty-allow", EmptyOutputs: "Allow", Script: script}
	fail := mover{Name: "empty-fail", EmptyOutputs: "Fail", Script: script}
	failed := mover{Name: "empty-failed", EmptyOutputs: "Fail", Script: "exit 3"}
	s.applyMovers(warn, allow, fail, failed)
	s.put("e2e.zip", nil)
	execution := s.startPipeline("empty", map[string]string{"source": "e2e.zip"},
		warn.build().Outputs("Warned"), allow.build().Outputs("Allowed"), fail.build().Outputs("Refused"), failed.build().Outputs("Failed"))
	s.Expect(s.ended("empty", execution)).To(Equal(types.PipelineExecutionStatusFailed))

	s.Expect(aws.ToString(s.actionState(s, "empty", warn.Name).Summary)).To(Equal("built\nWarning: output artifact \"Warned\" is empty"))
	s.Expect(aws.ToString(s.actionState(s, "empty", allow.Name).Summary)).To(Equal("built"))
	s.expectFailure("empty", fail.Name, "ConfigurationError",
		"built\n"+`output artifact "Refused": there is no file in /codepipeline/output/Refused: a step must leave the artifact's files there`)
	s.expectFailure("empty", failed.Name, "JobFailed", `step "work" failed: exit code 3`)

	packed := s.archiveAt(s.actionOf("empty", execution, warn.Name).Output.OutputArtifacts[0].S3location)
	s.Expect(packed.File).To(HaveLen(1))
	s.Expect(packed.File[0].Name).To(Equal("html/"))
	jobs := s.pipelineJobs(s, execution)
	s.eventually(func(g Gomega) {
		g.Expect(s.eventsOf(v1alpha1.ReasonEmptyOutputs, jobs[warn.Name].Name)).
			To(HavePrefix(`The output artifact "Warned" is empty: no step left a file in /codepipeline/output/Warned.`))
	})
	for _, quiet := range []mover{allow, fail, failed} {
		s.Expect(s.eventsOf(v1alpha1.ReasonEmptyOutputs, jobs[quiet.Name].Name)).To(BeEmpty(), quiet.Name)
	}
	s.Expect(s.kubectl("-n", namespace, "logs", "job/"+jobs[warn.Name].Status.Run.JobName, "-c", "codepipeline-report")).
		To(ContainSubstring("An output artifact is empty"))
}

// eventsOf returns the messages of an object's events with a reason.
func (s *suite) eventsOf(reason, object string) string {
	s.t.Helper()
	return s.kubectl("-n", namespace, "get", "events", "--field-selector", "reason="+reason+",involvedObject.name="+object, "-o", "jsonpath={.items[*].message}")
}
