package codepipeline

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// Client calls CodePipeline in one region as one identity.
//
// It never retries by itself: whether a call may be repeated depends on the possible effect
// of its first try, which only the caller has recorded, and when depends on the rate of
// AWS. Each call ends within Timeouts.Call.
type Client struct {
	api         service
	credentials identityCredentials
	identity    Identity
	timeouts    Timeouts
	account     account
	observe     func(id Identity, operation string, took time.Duration, err error)
}

// call makes one call with credentials, and reports it to the observer. doing is the prefix of the
// error.
func call[Out any](ctx context.Context, c *Client, operation, doing string, do func() (Out, error)) (Out, error) {
	if err := c.ready(ctx); err != nil {
		var none Out
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	began := time.Now()
	out, err := do()
	err = Classify(operation, err)
	c.observe(c.identity, operation, time.Since(began), err)
	if err != nil {
		return out, fmt.Errorf("%s: %w", doing, err)
	}
	return out, nil
}

// PollForJobs returns at most batch open jobs of an action type, without claiming them. query is
// nil or has the queryable property.
func (c *Client) PollForJobs(ctx context.Context, id ActionTypeID, query map[string]string, batch int32) ([]Job, error) {
	out, err := call(ctx, c, "PollForJobs", fmt.Sprintf("poll for jobs of %s", id), func() (*sdk.PollForJobsOutput, error) {
		return c.api.PollForJobs(ctx, &sdk.PollForJobsInput{
			ActionTypeId: actionTypeID(id),
			MaxBatchSize: aws.Int32(batch),
			QueryParam:   query,
		})
	})
	if err != nil {
		return nil, err
	}
	jobs := make([]Job, 0, len(out.Jobs))
	for _, job := range out.Jobs {
		jobs = append(jobs, jobOf(aws.ToString(job.Id), aws.ToString(job.Nonce), aws.ToString(job.AccountId), job.Data))
	}
	return jobs, nil
}

// AcknowledgeJob claims a job and returns its status. Only JobStatusInProgress means that the claim
// succeeded.
func (c *Client) AcknowledgeJob(ctx context.Context, jobID, nonce string) (string, error) {
	out, err := call(ctx, c, "AcknowledgeJob", "acknowledge job "+jobID, func() (*sdk.AcknowledgeJobOutput, error) {
		return c.api.AcknowledgeJob(ctx, &sdk.AcknowledgeJobInput{JobId: &jobID, Nonce: &nonce})
	})
	if err != nil {
		return "", err
	}
	if out.Status == "" {
		return "", fmt.Errorf("acknowledge job %s: %w", jobID,
			&CallError{Operation: "AcknowledgeJob", Kind: Unclear, Message: "the response has no status"})
	}
	return string(out.Status), nil
}

// GetJobDetails reads an open job again, with fresh artifact credentials.
func (c *Client) GetJobDetails(ctx context.Context, jobID string) (Job, error) {
	out, err := call(ctx, c, "GetJobDetails", "get details of job "+jobID, func() (*sdk.GetJobDetailsOutput, error) {
		return c.api.GetJobDetails(ctx, &sdk.GetJobDetailsInput{JobId: &jobID})
	})
	if err != nil {
		return Job{}, err
	}
	if out.JobDetails == nil {
		return Job{}, fmt.Errorf("get details of job %s: the response has none", jobID)
	}
	return jobOf(jobID, "", aws.ToString(out.JobDetails.AccountId), out.JobDetails.Data), nil
}

// PutJobSuccessResult ends a job as succeeded, or continues it if the result has a
// continuation token. Texts over the limits are cut.
func (c *Client) PutJobSuccessResult(ctx context.Context, result Success) error {
	_, err := call(ctx, c, "PutJobSuccessResult", "put success result of job "+result.JobID, func() (*sdk.PutJobSuccessResultOutput, error) {
		return c.api.PutJobSuccessResult(ctx, successInput(result.withinLimits()))
	})
	return err
}

// PutJobFailureResult ends a job as failed. Texts over the limits are cut.
func (c *Client) PutJobFailureResult(ctx context.Context, result Failure) error {
	result = result.withinLimits()
	_, err := call(ctx, c, "PutJobFailureResult", "put failure result of job "+result.JobID, func() (*sdk.PutJobFailureResultOutput, error) {
		return c.api.PutJobFailureResult(ctx, &sdk.PutJobFailureResultInput{
			JobId: &result.JobID,
			FailureDetails: &types.FailureDetails{
				Type:                types.FailureType(result.Type),
				Message:             &result.Message,
				ExternalExecutionId: optional(result.ExternalExecutionID),
			},
		})
	})
	return err
}

// Statuses of action executions.
const (
	ActionInProgress = string(types.ActionExecutionStatusInProgress)
	ActionAbandoned  = string(types.ActionExecutionStatusAbandoned)
)

// ListActionExecutions returns the status of each action execution of a pipeline
// execution, by its ID: ActionInProgress, ActionAbandoned, Succeeded or Failed.
func (c *Client) ListActionExecutions(ctx context.Context, pipeline, execution string) (map[string]string, error) {
	pages := sdk.NewListActionExecutionsPaginator(c.api, &sdk.ListActionExecutionsInput{
		PipelineName: &pipeline, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &execution},
	})
	statuses := map[string]string{}
	err := eachPage(ctx, c, "ListActionExecutions", "list action executions of pipeline "+pipeline, pages, func(page *sdk.ListActionExecutionsOutput) bool {
		maps.Copy(statuses, statusesOf(page))
		return false
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// latestExecutions is the most that ListActionExecutions has on a page.
const latestExecutions = 100

// LatestActionExecutions is ListActionExecutions for one page of a pipeline, for all
// executions. AWS does not document which actions are on the first page, so a missing one
// means nothing.
func (c *Client) LatestActionExecutions(ctx context.Context, pipeline string) (map[string]string, error) {
	page, err := call(ctx, c, "ListActionExecutions", "list the latest action executions of pipeline "+pipeline, func() (*sdk.ListActionExecutionsOutput, error) {
		return c.api.ListActionExecutions(ctx, &sdk.ListActionExecutionsInput{PipelineName: &pipeline, MaxResults: aws.Int32(latestExecutions)})
	})
	if err != nil {
		return nil, err
	}
	return statusesOf(page), nil
}

func statusesOf(page *sdk.ListActionExecutionsOutput) map[string]string {
	statuses := map[string]string{}
	for _, action := range page.ActionExecutionDetails {
		statuses[aws.ToString(action.ActionExecutionId)] = string(action.Status)
	}
	return statuses
}

// ready checks that there are time and credentials for the call, so that a later error means that
// the call may have been sent.
func (c *Client) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &NotSentError{Kind: Throttled, Err: fmt.Errorf("no time is left for the call: %w", err)}
	}
	_, err := c.credentials.Retrieve(ctx)
	return err
}
