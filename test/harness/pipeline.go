package harness

import (
	"maps"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// WorkType is the action type of NewAction.
func WorkType() *types.ActionTypeId { return pipeline.CustomType("Test", "work", "1") }

// pipelineOf declares a pipeline source → work, whose action "work" is of WorkType.
func pipelineOf(configuration map[string]string) pipeline.Pipeline {
	work := pipeline.NewAction("work", WorkType()).Inputs("source")
	for _, property := range slices.Sorted(maps.Keys(configuration)) {
		work = work.Configure(property, configuration[property])
	}
	return PipelineWith("p", work)
}

// PipelineWith declares a pipeline source → work with the actions of the second stage.
func PipelineWith(name string, work ...pipeline.Action) pipeline.Pipeline {
	return pipeline.New(name, "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", work...)
}

// ParallelPipeline declares the pipeline of StartPipeline, with parallel executions.
func ParallelPipeline() *sdk.CreatePipelineInput {
	return pipelineOf(nil).Mode(types.ExecutionModeParallel).CreateInput()
}
