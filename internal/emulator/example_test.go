package emulator_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator"
)

func Example() {
	e, err := emulator.New(emulator.Options{Buckets: []string{"artifacts"}})
	if err != nil {
		log.Fatal(err)
	}
	if err := e.Start("127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = e.Close() }()

	client := codepipeline.New(codepipeline.Options{
		BaseEndpoint: aws.String(e.URL()), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("any", "anything", ""),
	})
	// The answer to the next call is lost, after its effect: the SDK tries again.
	if err := e.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.ResetAfter}); err != nil {
		log.Fatal(err)
	}
	_, err = client.CreateCustomActionType(context.Background(), &codepipeline.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("Checker"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{}, OutputArtifactDetails: &types.ArtifactDetails{},
	})
	fmt.Println(err != nil)
	for _, call := range e.Journal() {
		fmt.Println(call.Operation, call.Error, call.Fault)
	}
	// Output:
	// true
	// CreateCustomActionType  ResetAfter
	// CreateCustomActionType ValidationException
}
