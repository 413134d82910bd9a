package emulator_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

func TestPipelineIsCreated(t *testing.T) {
	server := emulator.StartT(t, emulator.Options{CreateOnly: true})
	client := codepipeline.NewFromConfig(server.AWSConfig())

	_, err := client.CreatePipeline(t.Context(), pipeline.New("app", "artifacts").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Release", pipeline.ManualApproval("approve")).
		CreateInput())
	if err != nil {
		t.Fatal(err)
	}
	if calls := server.Journal("CreatePipeline"); len(calls) != 1 {
		t.Fatalf("want 1 call, got %v", calls)
	}
}

// must returns the value and panics on an error. It keeps the examples short.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestNoPipelines(t *testing.T) {
	handler, err := emulator.New(emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(handler.Close) // runs before server.Close

	client := codepipeline.New(codepipeline.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	list, err := client.ListPipelines(t.Context(), &codepipeline.ListPipelinesInput{})
	if err != nil || len(list.Pipelines) != 0 {
		t.Fatalf("want no pipelines, got %v, %v", list, err)
	}
}

// An emulator is an http.Handler, for a server of your own.
func ExampleNew() {
	handler := must(emulator.New(emulator.Options{}))
	server := httptest.NewServer(handler)
	defer server.Close()
	defer handler.Close() // runs first: the server waits for requests such as long polls

	client := codepipeline.New(codepipeline.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	list := must(client.ListPipelines(context.Background(), &codepipeline.ListPipelinesInput{}))
	fmt.Println(len(list.Pipelines))
	// Output: 0
}

var checker = pipeline.CustomType(types.ActionCategoryTest, "Checker", "1")

// startChecks starts a pipeline whose second stage is the custom action checker.
func startChecks(ctx context.Context, server *emulator.Server) *codepipeline.Client {
	client, objects := codepipeline.NewFromConfig(server.AWSConfig()), s3.NewFromConfig(server.AWSConfig())
	must(objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("artifacts"), Key: aws.String("app.zip")}))
	must(client.CreateCustomActionType(ctx, &codepipeline.CreateCustomActionTypeInput{
		Category: checker.Category, Provider: checker.Provider, Version: checker.Version,
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1}, OutputArtifactDetails: &types.ArtifactDetails{},
	}))
	must(client.CreatePipeline(ctx, pipeline.New("app", "artifacts").
		Stage("Source", pipeline.S3Source("fetch", "artifacts", "app.zip").Outputs("code")).
		Stage("Test", pipeline.NewAction("check", checker).Inputs("code")).
		CreateInput())) // starts it too
	return client
}

// A worker polls for jobs, claims each, and reports its result.
func Example_worker() {
	server := must(emulator.Start("127.0.0.1:0", emulator.Options{Buckets: []string{"artifacts"}}))
	defer func() { _ = server.Close() }()
	ctx := context.Background()
	client := startChecks(ctx, server)

	polled := must(client.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: checker}))
	for _, job := range polled.Jobs {
		claim := must(client.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: job.Id, Nonce: job.Nonce}))
		if claim.Status != types.JobStatusInProgress {
			continue // another worker has it
		}
		must(client.PutJobSuccessResult(ctx, &codepipeline.PutJobSuccessResultInput{
			JobId: job.Id, ExecutionDetails: &types.ExecutionDetails{Summary: aws.String("12 checks passed")},
		}))
	}
	state := must(client.GetPipelineState(ctx, &codepipeline.GetPipelineStateInput{Name: aws.String("app")}))
	check := state.StageStates[1].ActionStates[0].LatestExecution
	fmt.Println(check.Status, *check.Summary)
	for _, call := range server.Journal("PollForJobs", "AcknowledgeJob", "PutJobSuccessResult") {
		fmt.Println(call.Operation)
	}
	// Output:
	// Succeeded 12 checks passed
	// PollForJobs
	// AcknowledgeJob
	// PutJobSuccessResult
}

// The response to a claim is lost after it took effect. The client tries again and learns that the
// nonce was used.
func ExampleEmulator_Inject() {
	server := must(emulator.Start("127.0.0.1:0", emulator.Options{Buckets: []string{"artifacts"}}))
	defer func() { _ = server.Close() }()
	ctx := context.Background()
	client := startChecks(ctx, server)
	job := must(client.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: checker})).Jobs[0]

	if err := server.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.ResetAfter}); err != nil {
		panic(err)
	}
	_, err := client.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: job.Id, Nonce: job.Nonce})
	fmt.Println(err != nil)
	for _, call := range server.Journal("AcknowledgeJob") {
		fmt.Printf("error %q, fault %q\n", call.Error, call.Fault)
	}
	// Output:
	// true
	// error "", fault "ResetAfter"
	// error "InvalidNonceException", fault ""
}

// A job that a worker has polled and not acknowledged is handed out again later.
func ExampleEmulator_Advance() {
	server := must(emulator.Start("127.0.0.1:0", emulator.Options{Buckets: []string{"artifacts"}}))
	defer func() { _ = server.Close() }()
	ctx := context.Background()
	client := startChecks(ctx, server)
	poll := func() int {
		return len(must(client.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: checker})).Jobs)
	}
	fmt.Println(poll(), poll())
	server.Advance(time.Minute)
	fmt.Println(poll())
	// Output:
	// 1 0
	// 1
}
