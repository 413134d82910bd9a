package harness

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// ParallelPipeline declares a pipeline like StartPipeline's, whose executions run at
// once.
func ParallelPipeline() *types.PipelineDeclaration {
	source := []types.OutputArtifact{{Name: aws.String("source")}}
	return &types.PipelineDeclaration{
		Name: aws.String("p"), RoleArn: aws.String("arn:aws:iam::111122223333:role/p"),
		PipelineType: types.PipelineTypeV2, ExecutionMode: types.ExecutionModeParallel,
		ArtifactStore: &types.ArtifactStore{Type: types.ArtifactStoreTypeS3, Location: aws.String("artifacts")},
		Stages: []types.StageDeclaration{
			{Name: aws.String("Source"), Actions: []types.ActionDeclaration{{
				Name: aws.String("source"), OutputArtifacts: source, Configuration: map[string]string{"S3Bucket": "source", "S3ObjectKey": "s.zip"},
				ActionTypeId: &types.ActionTypeId{Category: "Source", Owner: "AWS", Provider: aws.String("S3"), Version: aws.String("1")},
			}}},
			{Name: aws.String("Work"), Actions: []types.ActionDeclaration{{
				Name: aws.String("work"), InputArtifacts: []types.InputArtifact{{Name: aws.String("source")}}, ActionTypeId: WorkType(),
			}}},
		},
	}
}

// WorkType is the action type of NewAction.
func WorkType() *types.ActionTypeId {
	return &types.ActionTypeId{Category: "Test", Owner: "Custom", Provider: aws.String("work"), Version: aws.String("1")}
}
