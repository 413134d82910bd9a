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

	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// console makes calls with the AWS CLI, boto3 or the SDK. It is safe for concurrent use. Errors of
// the service have a code: see codeOf.
type console interface {
	makeBucket(bucket string) error
	copyFile(file, bucket, key string) error
	// call makes a call with a request in the form of --cli-input-json, and reads the response into
	// response unless that is nil.
	call(operation, request string, response any) error
}

// newestMember is the member of ActionDeclaration that was added to clients last.
const newestMember = "environmentVariables"

// TestConsole makes the same calls with each available client.
func TestConsole(t *testing.T) {
	t.Run("AWS CLI", func(t *testing.T) {
		t.Parallel()
		needs.Program(t, "aws")
		w, dir := newWorld(t), t.TempDir()
		// Version 1 writes times as numbers by default.
		w.Expect(os.WriteFile(filepath.Join(dir, "config"), []byte("[default]\ncli_timestamp_format = iso8601\n"), 0o600)).To(Succeed())
		c := cli{w, dir}
		c.needsAll(t)
		w.runSuite(c, dir)
	})
	t.Run("boto3", func(t *testing.T) {
		t.Parallel()
		needsBoto(t)
		w, dir := newWorld(t), t.TempDir()
		b := w.startBoto(dir)
		defer func() { w.Expect(b.end()).To(Succeed()) }()
		w.runSuite(b, dir)
	})
	t.Run("Go SDK", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.runSuite(sdk{w}, t.TempDir())
	})
}

// needsAll skips a test if the AWS CLI is not new enough.
func (c cli) needsAll(t *testing.T) {
	t.Helper()
	skeleton, err := c.run("codepipeline", "create-pipeline", "--generate-cli-skeleton")
	if err != nil || !strings.Contains(string(skeleton), newestMember) {
		t.Skipf("needs an AWS CLI that knows all of CodePipeline, also %s", newestMember)
	}
}

// needsBoto skips a test if boto3 is not installed or not new enough.
func needsBoto(t *testing.T) {
	t.Helper()
	needs.Program(t, "python3")
	if err := exec.CommandContext(t.Context(), "python3", "testdata/boto.py", "--knows", newestMember).Run(); err != nil {
		t.Skipf("needs a boto3 for python3 that knows all of CodePipeline, also %s: %v", newestMember, err)
	}
}

// environment returns the environment of a program that uses the emulator, with the configuration
// in dir instead of the user's.
func (w *world) environment(dir string) []string {
	ours := func(variable string) bool { return strings.HasPrefix(variable, "AWS_") }
	return append(slices.DeleteFunc(os.Environ(), ours),
		"AWS_ENDPOINT_URL="+w.emulator.URL(), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_PAGER=", "AWS_DEFAULT_OUTPUT=json",
		"AWS_CONFIG_FILE="+filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(dir, "none"))
}

// cli is the AWS CLI itself.
type cli struct {
	w   *world
	dir string
}

var refusedByService = regexp.MustCompile(`An error occurred \((\w+)\) when calling the \w+ operation[^:]*: (.*)`)

func (c cli) run(arguments ...string) ([]byte, error) {
	command := exec.CommandContext(c.w.ctx, "aws", arguments...)
	command.Env = c.w.environment(c.dir)
	var problem strings.Builder
	command.Stderr = &problem
	output, err := command.Output()
	if err == nil {
		return output, nil
	}
	if known := refusedByService.FindStringSubmatch(problem.String()); known != nil {
		err = &smithy.GenericAPIError{Code: known[1], Message: known[2]}
	}
	return nil, fmt.Errorf("aws %v: %w: %s", arguments, err, problem.String())
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
	file, err := c.save(request)
	if err != nil {
		return err
	}
	command := strings.TrimPrefix(capital.ReplaceAllStringFunc(operation, func(s string) string { return "-" + strings.ToLower(s) }), "-")
	output, err := c.run("codepipeline", command, "--cli-input-json", "file://"+file)
	if err != nil || response == nil {
		return err
	}
	return json.Unmarshal(output, response)
}

// save writes a request to a separate file, because calls are concurrent.
func (c cli) save(request string) (string, error) {
	file, err := os.CreateTemp(c.dir, "request-*.json")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(request)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return file.Name(), err
}

// sdk is the SDK, which is always available.
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
	do, known := methods(s.w.pipelines)[operation]
	if !known {
		return fmt.Errorf("there is no operation %s", operation)
	}
	answer, err := do(s.w.ctx, request)
	if err != nil || response == nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, response)
}

type method func(ctx context.Context, request string) (any, error)

func methods(c *codepipeline.Client) map[string]method {
	return map[string]method{
		"CreateCustomActionType": typed(c.CreateCustomActionType),
		"DeleteCustomActionType": typed(c.DeleteCustomActionType),
		"ListActionTypes":        typed(c.ListActionTypes),
		"TagResource":            typed(c.TagResource),
		"UntagResource":          typed(c.UntagResource),
		"ListTagsForResource":    typed(c.ListTagsForResource),
		"CreatePipeline":         typed(c.CreatePipeline),
		"UpdatePipeline":         typed(c.UpdatePipeline),
		"GetPipeline":            typed(c.GetPipeline),
		"DeletePipeline":         typed(c.DeletePipeline),
		"ListPipelines":          typed(c.ListPipelines),
		"StartPipelineExecution": typed(c.StartPipelineExecution),
		"StopPipelineExecution":  typed(c.StopPipelineExecution),
		"RetryStageExecution":    typed(c.RetryStageExecution),
		"GetPipelineState":       typed(c.GetPipelineState),
		"GetPipelineExecution":   typed(c.GetPipelineExecution),
		"ListPipelineExecutions": typed(c.ListPipelineExecutions),
		"ListActionExecutions":   typed(c.ListActionExecutions),
		"PutApprovalResult":      typed(c.PutApprovalResult),
		"PollForJobs":            typed(c.PollForJobs),
		"AcknowledgeJob":         typed(c.AcknowledgeJob),
		"GetJobDetails":          typed(c.GetJobDetails),
		"PutJobSuccessResult":    typed(c.PutJobSuccessResult),
		"PutJobFailureResult":    typed(c.PutJobFailureResult),
	}
}

func typed[In, Out any](do func(context.Context, *In, ...func(*codepipeline.Options)) (*Out, error)) method {
	return func(ctx context.Context, request string) (any, error) {
		var in In
		decoder := json.NewDecoder(strings.NewReader(request))
		decoder.DisallowUnknownFields() // a misspelt member is an error in the test
		if err := decoder.Decode(&in); err != nil {
			return nil, err
		}
		return do(ctx, &in)
	}
}
