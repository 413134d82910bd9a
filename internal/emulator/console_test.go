package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
)

// console does what a person does with the AWS CLI, with it or with the SDK.
type console interface {
	makeBucket(bucket string) error
	copyFile(file, bucket, key string) error
	// call takes a request in the form that --cli-input-json takes, and reads
	// the answer into response unless that is nil.
	call(operation, request string, response any) error
}

// cli is the AWS CLI itself.
type cli struct {
	w   *world
	dir string
}

func (c cli) run(arguments ...string) ([]byte, error) {
	command := exec.CommandContext(c.w.ctx, "aws", arguments...)
	ours := func(variable string) bool { return strings.HasPrefix(variable, "AWS_") }
	command.Env = append(slices.DeleteFunc(os.Environ(), ours),
		"AWS_ENDPOINT_URL="+c.w.emulator.URL(), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_PAGER=", "AWS_DEFAULT_OUTPUT=json",
		"AWS_CONFIG_FILE="+filepath.Join(c.dir, "config"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(c.dir, "none"))
	var problem strings.Builder
	command.Stderr = &problem
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("aws %v: %w: %s", arguments, err, problem.String())
	}
	return output, nil
}

func (c cli) makeBucket(bucket string) error {
	_, err := c.run("s3", "mb", "s3://"+bucket)
	return err
}

func (c cli) copyFile(file, bucket, key string) error {
	_, err := c.run("s3", "cp", file, "s3://"+bucket+"/"+key)
	return err
}

var capital = regexp.MustCompile(`[A-Z]`)

func (c cli) call(operation, request string, response any) error {
	file := filepath.Join(c.dir, operation+".json")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		return err
	}
	command := strings.TrimPrefix(capital.ReplaceAllStringFunc(operation, func(s string) string { return "-" + strings.ToLower(s) }), "-")
	output, err := c.run("codepipeline", command, "--cli-input-json", "file://"+file)
	if err != nil || response == nil {
		return err
	}
	return json.Unmarshal(output, response)
}

// sdk makes the same calls where there is no AWS CLI.
type sdk struct{ w *world }

func (s sdk) makeBucket(bucket string) error {
	_, err := s.w.s3.CreateBucket(s.w.ctx, &s3.CreateBucketInput{Bucket: &bucket})
	return err
}

func (s sdk) copyFile(file, bucket, key string) error {
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	_, err = s.w.s3.PutObject(s.w.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: content})
	return err
}

func (s sdk) call(operation, request string, response any) error {
	c := s.w.pipelines
	calls := map[string]func(context.Context, string) (any, error){
		"CreateCustomActionType": typed(c.CreateCustomActionType),
		"CreatePipeline":         typed(c.CreatePipeline),
		"StartPipelineExecution": typed(c.StartPipelineExecution),
		"PollForJobs":            typed(c.PollForJobs),
		"AcknowledgeJob":         typed(c.AcknowledgeJob),
		"PutJobSuccessResult":    typed(c.PutJobSuccessResult),
		"GetPipelineState":       typed(c.GetPipelineState),
		"ListActionExecutions":   typed(c.ListActionExecutions),
	}
	answer, err := calls[operation](s.w.ctx, request)
	if err != nil || response == nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, response)
}

func typed[In, Out any](do func(context.Context, *In, ...func(*codepipeline.Options)) (*Out, error)) func(context.Context, string) (any, error) {
	return func(ctx context.Context, request string) (any, error) {
		var in In
		if err := json.Unmarshal([]byte(request), &in); err != nil {
			return nil, err
		}
		return do(ctx, &in)
	}
}

const consolePipeline = `{"pipeline": {
	"name": "p", "roleArn": "arn:aws:iam::111122223333:role/r",
	"artifactStore": {"type": "S3", "location": "made-by-hand"},
	"stages": [
		{"name": "Source", "actions": [{"name": "fetch", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
			"configuration": {"S3Bucket": "made-by-hand", "S3ObjectKey": "app.zip"}, "outputArtifacts": [{"name": "code"}]}]},
		{"name": "Build", "actions": [{"name": "compile", "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"},
			"inputArtifacts": [{"name": "code"}]}]}
	]}}`

func TestConsole(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	c := console(sdk{w})
	if _, err := exec.LookPath("aws"); err == nil {
		c = cli{w, dir}
		// Version 1 writes numbers otherwise.
		w.Expect(os.WriteFile(filepath.Join(dir, "config"), []byte("[default]\ncli_timestamp_format = iso8601\n"), 0o600)).To(Succeed())
	}
	t.Logf("by %T", c)
	w.runByHand(c, dir)
}

// TestConsoleBySDK keeps the stand-in for the AWS CLI working.
func TestConsoleBySDK(t *testing.T) {
	w := newWorld(t)
	w.runByHand(sdk{w}, t.TempDir())
}

func (w *world) runByHand(c console, dir string) {
	file := filepath.Join(dir, "app.zip")
	w.Expect(os.WriteFile(file, []byte("by hand"), 0o600)).To(Succeed())
	w.Expect(c.makeBucket("made-by-hand")).To(Succeed())
	w.Expect(c.copyFile(file, "made-by-hand", "app.zip")).To(Succeed())
	w.Expect(c.call("CreateCustomActionType", `{"category": "Build", "provider": "worker", "version": "1",
		"inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}, "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}}`, nil)).To(Succeed())
	w.Expect(c.call("CreatePipeline", consolePipeline, nil)).To(Succeed())
	w.Expect(c.call("CreatePipeline", consolePipeline, nil)).To(MatchError(ContainSubstring("PipelineNameInUseException")))
	var started codepipeline.StartPipelineExecutionOutput
	w.Expect(c.call("StartPipelineExecution", `{"name": "p"}`, &started)).To(Succeed())

	var polled codepipeline.PollForJobsOutput
	poll := `{"actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}}`
	w.Expect(c.call("PollForJobs", poll, &polled)).To(Succeed())
	w.Expect(polled.Jobs).To(HaveLen(1))
	j := polled.Jobs[0]
	content, code := w.readPlace(w.s3Of(j.Data), j.Data.InputArtifacts[0])
	w.Expect(content + code).To(Equal("by hand"))
	var answer codepipeline.AcknowledgeJobOutput
	w.Expect(c.call("AcknowledgeJob", fmt.Sprintf(`{"jobId": %q, "nonce": %q}`, *j.Id, *j.Nonce), &answer)).To(Succeed())
	w.Expect(answer.Status).To(Equal(types.JobStatusInProgress))
	w.Expect(c.call("PutJobSuccessResult", fmt.Sprintf(`{"jobId": %q, "executionDetails": {"summary": "done"}}`, *j.Id), nil)).To(Succeed())

	var state codepipeline.GetPipelineStateOutput
	w.Expect(c.call("GetPipelineState", `{"name": "p"}`, &state)).To(Succeed())
	w.Expect(*state.StageStates[1].LatestExecution.PipelineExecutionId).To(Equal(*started.PipelineExecutionId))
	w.Expect(aws.ToString(state.StageStates[1].ActionStates[0].LatestExecution.Summary)).To(Equal("done"))
	var actions codepipeline.ListActionExecutionsOutput
	w.Expect(c.call("ListActionExecutions", `{"pipelineName": "p", "maxResults": 1}`, &actions)).To(Succeed())
	w.Expect(actions.ActionExecutionDetails).NotTo(BeEmpty())
	w.Expect(actions.ActionExecutionDetails[0].Status).To(Equal(types.ActionExecutionStatusSucceeded))
}
