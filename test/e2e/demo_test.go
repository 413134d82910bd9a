//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
)

func TestDemo(t *testing.T) {
	s := newSuite(t)
	output, err := s.demo()
	s.Expect(err).NotTo(HaveOccurred(), "the demo exits 0")
	s.Expect(output).To(MatchRegexp(`(?m)^source +Succeeded`))
	s.Expect(output).To(MatchRegexp(`(?m)^build +Succeeded +packed \d+ files with \d+ lines +pipelines\.build-[0-9a-f-]+-1$`))
	s.Expect(output).To(MatchRegexp(`(?m)^test +Succeeded +\d+ files intact, \d+ lines as expected +pipelines\.test-[0-9a-f-]+-1$`))
	s.Expect(output).To(MatchRegexp(`(?m)^#\{build\.LINES\} = \d+$`))
	s.Expect(output).To(MatchRegexp(`(?m)^NAME +PIPELINE +STAGE +PHASE +REASON +PERCENT +AGE *$`))
	s.Expect(output).To(MatchRegexp(`(?m)^build-[0-9a-f-]+ +demo +Build +Succeeded +JobFinished +100 `))
	s.connect()
	s.checkArtifacts("demo")
}

// checkArtifacts checks that test read the object that build wrote, with build's files in it.
func (s *suite) checkArtifacts(pipeline string) {
	s.t.Helper()
	out, err := s.aws.ListActionExecutions(s.ctx, &codepipeline.ListActionExecutionsInput{PipelineName: &pipeline})
	s.Expect(err).NotTo(HaveOccurred())
	latest := map[string]types.ActionExecutionDetail{}
	for _, action := range out.ActionExecutionDetails { // newest first
		if _, ok := latest[*action.ActionName]; !ok {
			latest[*action.ActionName] = action
		}
	}
	written, read := latest["build"].Output.OutputArtifacts, latest["test"].Input.InputArtifacts
	s.Expect(read).To(HaveLen(1))
	s.Expect(read).To(Equal(written))

	object, err := s.objs.GetObject(s.ctx, &s3.GetObjectInput{Bucket: read[0].S3location.Bucket, Key: read[0].S3location.Key})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(object.ServerSideEncryption).To(BeEquivalentTo("aws:kms"))
	content, err := io.ReadAll(object.Body)
	s.Expect(err).NotTo(HaveOccurred())
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	s.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, entry := range archive.File {
		names = append(names, entry.Name)
	}
	s.Expect(names).To(ContainElements("SHA256SUMS", "controllers/pipelinejob/decide.go"))
}

func TestStepThatFails(t *testing.T) {
	s := newSuite(t)
	output, err := s.demo("--break")
	s.Expect(err).To(HaveOccurred(), "the demo says by its exit code that the pipeline failed")
	s.Expect(output).To(MatchRegexp(`(?m)^test failed: JobFailed: step "lines" failed: exit code 1[^\n]*\n +found \d+ lines, expected 1$`))
	s.Expect(output).To(MatchRegexp(`(?m)^test-[0-9a-f-]+ +demo +Test +Failed +JobFinished `))
}

// TestAWSCommandLine creates, starts and reads a pipeline with the real AWS CLI.
func TestAWSCommandLine(t *testing.T) {
	s := newSuite(t)
	_, err := s.demo()
	s.Expect(err).NotTo(HaveOccurred())
	s.connect()
	existing, err := s.aws.GetPipeline(s.ctx, &codepipeline.GetPipelineInput{Name: aws.String("demo")})
	s.Expect(err).NotTo(HaveOccurred())

	var declaration struct {
		Pipeline map[string]any `json:"pipeline"`
	}
	s.Expect(json.Unmarshal(s.cli("get-pipeline", "--name", "demo"), &declaration)).To(Succeed())
	s.Expect(declaration.Pipeline).To(HaveKeyWithValue("version", BeEquivalentTo(*existing.Pipeline.Version)))
	declaration.Pipeline["name"] = "cli"
	delete(declaration.Pipeline, "version")
	body, err := json.Marshal(declaration.Pipeline)
	s.Expect(err).NotTo(HaveOccurred())
	if _, err := s.aws.GetPipeline(s.ctx, &codepipeline.GetPipelineInput{Name: aws.String("cli")}); err == nil {
		s.cli("delete-pipeline", "--name", "cli") // left by an earlier run
	}
	s.cli("create-pipeline", "--pipeline", string(body))

	var started struct{ PipelineExecutionID string }
	s.Expect(json.Unmarshal(s.cli("start-pipeline-execution", "--name", "cli"), &started)).To(Succeed())
	s.Expect(s.ended("cli", started.PipelineExecutionID)).To(Equal(types.PipelineExecutionStatusSucceeded))

	var state struct {
		StageStates []struct {
			ActionStates []struct {
				LatestExecution struct{ Status, Summary, ExternalExecutionID string }
			}
		}
	}
	s.Expect(json.Unmarshal(s.cli("get-pipeline-state", "--name", "cli"), &state)).To(Succeed())
	s.Expect(state.StageStates).To(HaveLen(3))
	for _, stage := range state.StageStates {
		s.Expect(stage.ActionStates[0].LatestExecution.Status).To(Equal("Succeeded"))
	}
	s.Expect(state.StageStates[1].ActionStates[0].LatestExecution.Summary).To(HavePrefix("packed "))
	s.Expect(state.StageStates[1].ActionStates[0].LatestExecution.ExternalExecutionID).To(HavePrefix("pipelines.build-"))
}

// cli runs "aws codepipeline".
func (s *suite) cli(args ...string) []byte {
	s.t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(s.ctx, "aws", append([]string{"codepipeline", "--output", "json"}, args...)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	s.Expect(err).NotTo(HaveOccurred(), errs.String())
	return out
}

func TestBadInput(t *testing.T) {
	s := newSuite(t)
	s.install()

	const definition = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: bad, namespace: pipelines}
spec:
  accountRef: {name: default}
  actionType:
    category: Test
    provider: PROVIDER
    version: "1"
    inputArtifactDetails: {minimumCount: 0, maximumCount: 0}
    outputArtifactDetails: {minimumCount: 0, maximumCount: 0}
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - {name: work, image: "pipelinejob.dev/sample-work:dev", args: ["$(config.Nope)"]}
`
	out, err := s.tryKubectl(strings.ReplaceAll(definition, "PROVIDER", "not valid"), "apply", "-f", "-")
	s.Expect(err).To(HaveOccurred())
	s.Expect(out).To(ContainSubstring("spec.actionType.provider"))

	out, err = s.tryKubectl(strings.ReplaceAll(definition, "PROVIDER", "Bad"), "apply", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() {
		if out, err := exec.Command("kubectl", "-n", namespace, "delete", "customaction", "bad").CombinedOutput(); err != nil {
			t.Errorf("delete the CustomAction: %v\n%s", err, out)
		}
	})
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready=False", "customaction/bad", "--timeout=60s")
	out = s.kubectl("-n", namespace, "get", "customaction", "bad", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].message}`)
	s.Expect(out).To(HavePrefix("spec.jobTemplate.spec.template.spec.containers[0].args[0]: $(config.Nope) is not a known reference"))
}
