package pipeline_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

func newClient(server *emulator.Server) *codepipeline.Client {
	return codepipeline.NewFromConfig(server.AWSConfig())
}

func Example() {
	server, err := emulator.Start("127.0.0.1:0", emulator.Options{CreateOnly: true})
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Close() }()
	client := codepipeline.NewFromConfig(server.AWSConfig())

	created, err := client.CreatePipeline(context.Background(), pipeline.New("app", "artifacts").
		Variable("level", "low").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Release", pipeline.ManualApproval("approve").Configure("CustomData", "#{variables.level}")).
		CreateInput())
	if err != nil {
		panic(err)
	}
	for _, stage := range created.Pipeline.Stages {
		fmt.Println(*stage.Name, *stage.Actions[0].Name)
	}
	// Output:
	// Source fetch
	// Release approve
}

func ExampleNewAction() {
	// Workers poll for the jobs of this type.
	builder := pipeline.CustomType(types.ActionCategoryBuild, "Builder", "1")
	compile := pipeline.NewAction("compile", builder).
		Configure("Target", "release").Inputs("code").Outputs("app").Namespace("built")
	check := pipeline.NewAction("check", builder).Configure("Target", "#{built.TARGET}").Inputs("app").RunOrder(2)
	stage := pipeline.New("app", "artifacts").Stage("Build", compile, check).Declaration().Stages[0]
	for _, action := range stage.Actions {
		fmt.Println(*action.Name, *action.ActionTypeId.Provider, action.Configuration)
	}
	// Output:
	// compile Builder map[Target:release]
	// check Builder map[Target:#{built.TARGET}]
}
