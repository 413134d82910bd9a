package emulator_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func Example() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	e, err := emulator.Start("127.0.0.1:0", emulator.Options{Buckets: []string{"artifacts"}})
	must(err)
	defer func() { must(e.Close()) }()

	client := codepipeline.New(codepipeline.Options{
		BaseEndpoint: aws.String(e.URL()), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("any", "anything", ""),
	})
	// The answer to the next call is lost, after its effect: the SDK tries again.
	must(e.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.ResetAfter}))
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
