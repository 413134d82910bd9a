package codepipeline

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// onlyFromAWS returns an error for each response that is not from AWS, whatever its status: a
// captive portal may answer a result with 200. All responses of AWS's JSON services have a request
// ID and their content type. One of the two suffices, because a proxy may drop headers.
func onlyFromAWS(stack *middleware.Stack) error {
	check := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		// Without a response, the SDK returns one with status 0.
		answer, ok := out.RawResponse.(*smithyhttp.Response)
		if ok && answer.StatusCode != 0 && !fromAWS(answer.Header) {
			err = &foreignAnswerError{status: answer.StatusCode, err: err}
		}
		return out, metadata, err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("OnlyFromAWS", check), middleware.Before)
}

func fromAWS(header http.Header) bool {
	return header.Get("X-Amzn-RequestId") != "" || strings.HasPrefix(header.Get("Content-Type"), "application/x-amz-json-")
}

func actionTypeID(id ActionTypeID) *types.ActionTypeId {
	return &types.ActionTypeId{
		Category: types.ActionCategory(id.Category),
		Owner:    types.ActionOwnerCustom,
		Provider: &id.Provider,
		Version:  &id.Version,
	}
}

func jobOf(id, nonce, accountID string, data *types.JobData) Job {
	job := Job{ID: id, Nonce: nonce, AccountID: accountID}
	if data == nil {
		return job
	}
	if found := data.ActionTypeId; found != nil {
		job.ActionType = ActionTypeID{string(found.Category), aws.ToString(found.Provider), aws.ToString(found.Version)}
	}
	if data.ActionConfiguration != nil {
		job.Configuration = maps.Clone(data.ActionConfiguration.Configuration)
	}
	if found := data.ArtifactCredentials; found != nil {
		job.Credentials = Credentials{aws.ToString(found.AccessKeyId), aws.ToString(found.SecretAccessKey), aws.ToString(found.SessionToken)}
	}
	if found := data.EncryptionKey; found != nil {
		job.EncryptionKey = EncryptionKey{ID: aws.ToString(found.Id), Type: string(found.Type)}
	}
	job.Pipeline = pipelineContextOf(data.PipelineContext)
	job.InputArtifacts = artifactsOf(data.InputArtifacts)
	job.OutputArtifacts = artifactsOf(data.OutputArtifacts)
	job.ContinuationToken = aws.ToString(data.ContinuationToken)
	return job
}

func pipelineContextOf(found *types.PipelineContext) PipelineContext {
	if found == nil {
		return PipelineContext{}
	}
	context := PipelineContext{
		Name:        aws.ToString(found.PipelineName),
		ARN:         aws.ToString(found.PipelineArn),
		ExecutionID: aws.ToString(found.PipelineExecutionId),
	}
	if found.Stage != nil {
		context.Stage = aws.ToString(found.Stage.Name)
	}
	if found.Action != nil {
		context.Action = aws.ToString(found.Action.Name)
		context.ActionExecutionID = aws.ToString(found.Action.ActionExecutionId)
	}
	return context
}

func artifactsOf(found []types.Artifact) []Artifact {
	artifacts := make([]Artifact, 0, len(found))
	for _, artifact := range found {
		kept := Artifact{Name: aws.ToString(artifact.Name), Revision: aws.ToString(artifact.Revision)}
		if artifact.Location != nil && artifact.Location.S3Location != nil {
			kept.Bucket = aws.ToString(artifact.Location.S3Location.BucketName)
			kept.ObjectKey = aws.ToString(artifact.Location.S3Location.ObjectKey)
		}
		artifacts = append(artifacts, kept)
	}
	return artifacts
}

func successInput(result Success) *sdk.PutJobSuccessResultInput {
	input := &sdk.PutJobSuccessResultInput{
		JobId:             &result.JobID,
		ContinuationToken: optional(result.ContinuationToken),
		OutputVariables:   result.OutputVariables,
	}
	if result.Summary != "" || result.ExternalExecutionID != "" || result.PercentComplete != nil {
		input.ExecutionDetails = &types.ExecutionDetails{
			Summary:             optional(result.Summary),
			ExternalExecutionId: optional(result.ExternalExecutionID),
			PercentComplete:     result.PercentComplete,
		}
	}
	if revision := result.CurrentRevision; revision != nil {
		input.CurrentRevision = &types.CurrentRevision{
			Revision:         &revision.Revision,
			ChangeIdentifier: &revision.ChangeIdentifier,
			Created:          revision.Created,
			RevisionSummary:  optional(revision.Summary),
		}
	}
	return input
}

// optional returns nil for an empty text: the model's strings have at least one character.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
