package harness

import (
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// declare returns a pipeline, named "p", from a source to an action.
func declare(work pipeline.Action) pipeline.Pipeline {
	return pipeline.New("p", "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", work)
}

// ParallelPipeline declares a pipeline like StartPipeline's, whose executions run at
// once.
func ParallelPipeline() *types.PipelineDeclaration {
	return declare(pipeline.NewAction("work", WorkType()).Inputs("source")).Mode(types.ExecutionModeParallel).Declaration()
}

// WorkType is the action type of NewAction.
func WorkType() *types.ActionTypeId {
	return pipeline.CustomType(types.ActionCategoryTest, "work", "1")
}
