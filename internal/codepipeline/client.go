package codepipeline

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// Client calls CodePipeline in one region as one identity.
//
// It never retries by itself: whether a call may be repeated depends on what
// its first try may have done, and only the caller has that on record. The
// exception are calls that only read.
type Client struct {
	api         *sdk.Client // one try a call
	reader      *sdk.Client // the SDK's retries
	credentials aws.CredentialsProvider
	identity    Identity
	account     account
	pace        *pacer
}

// PollForJobs asks for at most batch open jobs of an action type, without
// claiming them. query is nil or holds the one queryable property.
func (c *Client) PollForJobs(ctx context.Context, id ActionTypeID, query map[string]string, batch int32) ([]Job, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	out, err := c.api.PollForJobs(ctx, &sdk.PollForJobsInput{
		ActionTypeId: actionTypeID(id),
		MaxBatchSize: aws.Int32(batch),
		QueryParam:   query,
	})
	c.pace.learn(err)
	if err != nil {
		return nil, fmt.Errorf("poll for jobs of %s: %w", id, err)
	}
	jobs := make([]Job, 0, len(out.Jobs))
	for _, job := range out.Jobs {
		jobs = append(jobs, jobOf(aws.ToString(job.Id), aws.ToString(job.Nonce), aws.ToString(job.AccountId), job.Data))
	}
	return jobs, nil
}

// AcknowledgeJob claims a job and returns its status: only JobStatusInProgress
// means that it is ours.
func (c *Client) AcknowledgeJob(ctx context.Context, jobID, nonce string) (string, error) {
	if err := c.ready(ctx); err != nil {
		return "", err
	}
	out, err := c.api.AcknowledgeJob(ctx, &sdk.AcknowledgeJobInput{JobId: &jobID, Nonce: &nonce})
	c.pace.learn(err)
	if err != nil {
		return "", fmt.Errorf("acknowledge job %s: %w", jobID, err)
	}
	return string(out.Status), nil
}

// GetJobDetails reads an open job again, with fresh artifact credentials.
func (c *Client) GetJobDetails(ctx context.Context, jobID string) (Job, error) {
	if err := c.ready(ctx); err != nil {
		return Job{}, err
	}
	out, err := c.reader.GetJobDetails(ctx, &sdk.GetJobDetailsInput{JobId: &jobID})
	c.pace.learn(err)
	if err != nil {
		return Job{}, fmt.Errorf("get details of job %s: %w", jobID, err)
	}
	if out.JobDetails == nil {
		return Job{}, fmt.Errorf("get details of job %s: the answer has none", jobID)
	}
	return jobOf(jobID, "", aws.ToString(out.JobDetails.AccountId), out.JobDetails.Data), nil
}

// PutJobSuccessResult ends a job well, or continues it when the result has a
// continuation token. Texts over the limits are cut to them.
func (c *Client) PutJobSuccessResult(ctx context.Context, result Success) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	_, err := c.api.PutJobSuccessResult(ctx, successInput(result.withinLimits()))
	c.pace.learn(err)
	if err != nil {
		return fmt.Errorf("put success result of job %s: %w", result.JobID, err)
	}
	return nil
}

// PutJobFailureResult ends a job as failed. Texts over the limits are cut to them.
func (c *Client) PutJobFailureResult(ctx context.Context, result Failure) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	result = result.withinLimits()
	_, err := c.api.PutJobFailureResult(ctx, &sdk.PutJobFailureResultInput{
		JobId: &result.JobID,
		FailureDetails: &types.FailureDetails{
			Type:                types.FailureType(result.Type),
			Message:             &result.Message,
			ExternalExecutionId: optional(result.ExternalExecutionID),
		},
	})
	c.pace.learn(err)
	if err != nil {
		return fmt.Errorf("put failure result of job %s: %w", result.JobID, err)
	}
	return nil
}

// Statuses of action executions.
const (
	ActionInProgress = string(types.ActionExecutionStatusInProgress)
	ActionAbandoned  = string(types.ActionExecutionStatusAbandoned)
)

// ListActionExecutions tells the status of each action execution of a pipeline
// execution, by its ID: ActionInProgress, ActionAbandoned, Succeeded or Failed.
func (c *Client) ListActionExecutions(ctx context.Context, pipeline, execution string) (map[string]string, error) {
	pages := sdk.NewListActionExecutionsPaginator(c.reader, &sdk.ListActionExecutionsInput{
		PipelineName: &pipeline, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &execution},
	})
	statuses := map[string]string{}
	for pages.HasMorePages() {
		if err := c.ready(ctx); err != nil {
			return nil, err
		}
		page, err := pages.NextPage(ctx)
		c.pace.learn(err)
		if err != nil {
			return nil, fmt.Errorf("list action executions of pipeline %s: %w", pipeline, err)
		}
		for _, action := range page.ActionExecutionDetails {
			statuses[aws.ToString(action.ActionExecutionId)] = string(action.Status)
		}
	}
	return statuses, nil
}

// ready waits for the rate limit and makes sure of credentials, so that an
// error after it means that the call may have been sent.
func (c *Client) ready(ctx context.Context) error {
	if err := c.pace.limiter.Wait(ctx); err != nil {
		return &NotSentError{Kind: Throttled, Err: fmt.Errorf("wait for the rate limit of AWS calls: %w", err)}
	}
	if _, err := c.credentials.Retrieve(ctx); err != nil {
		return &NotSentError{Kind: AccessDenied, Err: &CredentialsError{c.identity, err}}
	}
	return nil
}
