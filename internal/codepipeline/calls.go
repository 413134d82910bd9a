package codepipeline

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
)

// service has all CodePipeline calls that a Client makes. The session policy allows exactly these
// operations.
type service interface {
	AcknowledgeJob(context.Context, *sdk.AcknowledgeJobInput, ...func(*sdk.Options)) (*sdk.AcknowledgeJobOutput, error)
	CreateCustomActionType(context.Context, *sdk.CreateCustomActionTypeInput, ...func(*sdk.Options)) (*sdk.CreateCustomActionTypeOutput, error)
	DeleteCustomActionType(context.Context, *sdk.DeleteCustomActionTypeInput, ...func(*sdk.Options)) (*sdk.DeleteCustomActionTypeOutput, error)
	GetJobDetails(context.Context, *sdk.GetJobDetailsInput, ...func(*sdk.Options)) (*sdk.GetJobDetailsOutput, error)
	ListActionExecutions(context.Context, *sdk.ListActionExecutionsInput, ...func(*sdk.Options)) (*sdk.ListActionExecutionsOutput, error)
	ListActionTypes(context.Context, *sdk.ListActionTypesInput, ...func(*sdk.Options)) (*sdk.ListActionTypesOutput, error)
	ListTagsForResource(context.Context, *sdk.ListTagsForResourceInput, ...func(*sdk.Options)) (*sdk.ListTagsForResourceOutput, error)
	PollForJobs(context.Context, *sdk.PollForJobsInput, ...func(*sdk.Options)) (*sdk.PollForJobsOutput, error)
	PutJobFailureResult(context.Context, *sdk.PutJobFailureResultInput, ...func(*sdk.Options)) (*sdk.PutJobFailureResultOutput, error)
	PutJobSuccessResult(context.Context, *sdk.PutJobSuccessResultInput, ...func(*sdk.Options)) (*sdk.PutJobSuccessResultOutput, error)
	TagResource(context.Context, *sdk.TagResourceInput, ...func(*sdk.Options)) (*sdk.TagResourceOutput, error)
	UntagResource(context.Context, *sdk.UntagResourceInput, ...func(*sdk.Options)) (*sdk.UntagResourceOutput, error)
}

var _ service = (*sdk.Client)(nil)
