package emulator

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	. "github.com/onsi/gomega"
)

// details receives the details of all queued events, unparsed.
func (p *mailbox) details() (details []string) {
	for got := p.receive(10, 0); len(got) > 0; got = p.receive(10, 0) {
		for _, m := range got {
			var event struct {
				Detail json.RawMessage `json:"detail"`
			}
			p.Expect(json.Unmarshal([]byte(*m.Body), &event)).To(Succeed())
			details = append(details, string(event.Detail))
			_, err := p.sqs.DeleteMessage(p.ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url, ReceiptHandle: m.ReceiptHandle})
			p.Expect(err).NotTo(HaveOccurred())
		}
	}
	return details
}

// last receives all queued events and returns the details of the last one, which must be of the
// action "compile".
func (p *mailbox) last(state string) map[string]any {
	p.t.Helper()
	all := p.details()
	p.Expect(all).NotTo(BeEmpty())
	var detail map[string]any
	p.Expect(json.Unmarshal([]byte(all[len(all)-1]), &detail)).To(Succeed())
	p.Expect(detail).To(And(HaveKeyWithValue("action", "compile"), HaveKeyWithValue("state", state)))
	return detail
}

// artifact returns an artifact in the form of events.
func artifact(name string, at *types.S3ArtifactLocation) []any {
	return []any{map[string]any{"name": name, "s3location": map[string]any{"bucket": *at.BucketName, "key": *at.ObjectKey}}}
}

// TestEventsSayWhatIsKnown checks an action's events: it starts, fails, and succeeds at the second
// attempt.
func TestEventsSayWhatIsKnown(t *testing.T) {
	p := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
	in := typeInput(types.ActionCategoryBuild)
	in.Settings = &types.ActionTypeSettings{ExecutionUrlTemplate: aws.String("https://ci.example/{ExternalExecutionId}")}
	_, err := p.pipelines.CreateCustomActionType(p.ctx, in)
	p.Expect(err).NotTo(HaveOccurred())
	p.put(p.s3, "sources", "app.zip", "source bytes")
	declared := threeStages()
	declared.Stages = declared.Stages[:2]
	_, err = p.pipelines.CreatePipeline(p.ctx, &codepipeline.CreatePipelineInput{Pipeline: declared})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.update(declared)).To(Succeed()) // to version 2
	execution := p.start()
	job := p.claim(types.ActionCategoryBuild)

	started := p.last("STARTED")
	p.Expect(started).To(HaveKeyWithValue("input-artifacts", artifact("code", job.Data.InputArtifacts[0].Location.S3Location)))
	p.Expect(started).NotTo(Or(HaveKey("output-artifacts"), HaveKey("execution-result")))
	p.Expect(started).To(And(HaveKeyWithValue("version", 2.0), HaveKeyWithValue("pipeline-execution-attempt", 1.0)))

	failure := types.FailureDetails{Type: types.FailureTypePermissionError, Message: aws.String("step deploy is denied"), ExternalExecutionId: aws.String("run-1")}
	p.Expect(errorOf(p.pipelines.PutJobFailureResult(p.ctx, &codepipeline.PutJobFailureResultInput{JobId: job.Id, FailureDetails: &failure}))).To(Succeed())
	failed := p.last("FAILED")
	p.Expect(failed).To(HaveKeyWithValue("execution-result", map[string]any{
		"external-execution-summary": "step deploy is denied", "external-execution-url": "https://ci.example/run-1",
		"external-execution-id": "run-1", "error-code": "PermissionError",
	}))
	p.Expect(failed).NotTo(Or(HaveKey("input-artifacts"), HaveKey("output-artifacts")))

	p.Expect(p.retry("Build", execution)).To(Succeed())
	job = p.claim(types.ActionCategoryBuild)
	p.Expect(p.upload(p.s3Of(job.Data), job.Data.OutputArtifacts[0], "compiled")).To(Succeed())
	p.Expect(p.succeed(*job.Id, func(in *codepipeline.PutJobSuccessResultInput) {
		in.ExecutionDetails = &types.ExecutionDetails{Summary: aws.String("done"), ExternalExecutionId: aws.String("run-2")}
	})).To(Succeed())
	succeeded := p.last("SUCCEEDED")
	p.Expect(succeeded).To(HaveKeyWithValue("output-artifacts", artifact("binary", job.Data.OutputArtifacts[0].Location.S3Location)))
	p.Expect(succeeded).To(HaveKeyWithValue("execution-result", map[string]any{
		"external-execution-summary": "done", "external-execution-url": "https://ci.example/run-2", "external-execution-id": "run-2",
	}))
	p.Expect(succeeded).NotTo(HaveKey("input-artifacts"))
	p.Expect(succeeded).To(And(HaveKeyWithValue("version", 2.0), HaveKeyWithValue("pipeline-execution-attempt", 2.0)))
}

// TestEventsOfEndsWithoutAResult: such events have no result, like published ones.
func TestEventsOfEndsWithoutAResult(t *testing.T) {
	for state, end := range map[string]func(*mailbox, string) error{
		"ABANDONED": func(p *mailbox, id string) error {
			return errorOf(p.pipelines.StopPipelineExecution(p.ctx, &codepipeline.StopPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &id, Abandon: true}))
		},
		"CANCELED": func(p *mailbox, _ string) error {
			declared := p.declaration()
			declared.Stages[1].Name = aws.String("Compile")
			return p.update(declared)
		},
	} {
		t.Run(state, func(t *testing.T) {
			p := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
			p.Expect(end(p, p.begin())).To(Succeed())
			detail := p.last(state)
			p.Expect(detail).NotTo(Or(HaveKey("execution-result"), HaveKey("input-artifacts"), HaveKey("output-artifacts")))
			p.Expect(detail).To(HaveKeyWithValue("version", 1.0), "it began with this version")
		})
	}
}

// TestNumbersOfEventsHaveADecimal: a client that reads them into an integer would fail with events
// of the service.
func TestNumbersOfEventsHaveADecimal(t *testing.T) {
	p := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
	p.begin()
	p.Expect(strings.Join(p.details(), "\n")).To(And(ContainSubstring(`"version":1.0,`), ContainSubstring(`"pipeline-execution-attempt":1.0`)))
}
