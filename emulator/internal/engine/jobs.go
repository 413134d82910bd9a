package engine

import (
	"container/list"
	"slices"
	"time"
)

// Statuses of jobs (JobStatus in the model).
const (
	jobQueued     = "Queued"
	jobDispatched = "Dispatched"
	jobInProgress = "InProgress"
	jobSucceeded  = "Succeeded"
	jobFailed     = "Failed"
	jobTimedOut   = "TimedOut"
)

// maxOutputVariables is the limit of an action's output variables, in bytes.
const maxOutputVariables = 122880

// job is a job for a worker. A continued action has several jobs, one after another.
type job struct {
	id         string
	action     *actionRun
	status     string
	nonce      string
	token      string // the continuation token of the previous job
	available  time.Time
	dispatched time.Time
	ended      time.Time

	// queue, list and element are the job's place while it is open.
	queue   queueID
	list    *list.List
	element *list.Element
}

// closeJob ends a job. A job that has already ended keeps its status.
func (e *Engine) closeJob(j *job, status string) {
	if !j.ended.IsZero() {
		return
	}
	j.status, j.ended = status, e.now()
	e.ended = append(e.ended, j)
	e.dequeue(j)
}

// forget drops jobs that ended long ago, because the service soon forgets a completed job's ID, and
// expired credentials.
func (e *Engine) forget() {
	now := e.now()
	for len(e.ended) > 0 && now.Sub(e.ended[0].ended) >= e.options.JobRetention {
		delete(e.jobs, e.ended[0].id)
		e.ended = rest(e.ended)
	}
	for len(e.issued) > 0 && !now.Before(e.credentials[e.issued[0]].Expires) {
		delete(e.credentials, e.issued[0])
		e.issued = rest(e.issued)
	}
}

// rest returns a list without its first element, and lets the element be collected.
func rest[T any](list []T) []T {
	if len(list) == 1 {
		return nil
	}
	clear(list[:1])
	return list[1:]
}

// PollRequest is that of PollForJobs.
type PollRequest struct {
	ActionTypeID TypeID            `json:"actionTypeId"`
	MaxBatchSize int               `json:"maxBatchSize"`
	QueryParam   map[string]string `json:"queryParam"`
}

// PollResponse is that of PollForJobs.
type PollResponse struct {
	Jobs []JobResponse `json:"jobs"`
}

// JobResponse is a job as PollForJobs and GetJobDetails return it.
type JobResponse struct {
	ID        string  `json:"id"`
	Nonce     string  `json:"nonce,omitempty"`
	AccountID string  `json:"accountId"`
	Data      JobData `json:"data"`
}

// PollForJobs hands out jobs that no worker has claimed, each with a new nonce.
func (e *Engine) PollForJobs(r PollRequest) (*PollResponse, error) {
	defer e.enter()()
	q, err := e.polled(r)
	if err != nil || q == nil {
		return &PollResponse{Jobs: []JobResponse{}}, err
	}
	return &PollResponse{e.handOut(q, max(r.MaxBatchSize, 1))}, nil
}

// PollAgain is like PollForJobs, but also hands out the jobs that other workers already have, with
// the same nonce. The first worker to acknowledge a job gets it.
func (e *Engine) PollAgain(r PollRequest) (*PollResponse, error) {
	defer e.enter()()
	q, err := e.polled(r)
	if err != nil || q == nil {
		return &PollResponse{Jobs: []JobResponse{}}, err
	}
	batch := max(r.MaxBatchSize, 1)
	var held []*job
	for _, l := range []*list.List{q.dispatched, q.claimed} {
		for at := l.Front(); at != nil && len(held) < batch; at = at.Next() {
			held = append(held, at.Value.(*job))
		}
	}
	response := &PollResponse{e.handOut(q, batch)}
	for _, j := range held[:min(len(held), batch-len(response.Jobs))] {
		response.Jobs = append(response.Jobs, e.jobResponse(j))
	}
	return response, nil
}

// polled returns the queue for a poll, or nil if there are no such jobs.
func (e *Engine) polled(r PollRequest) (*queue, error) {
	if owner := r.ActionTypeID.Owner; owner != "Custom" {
		return nil, fail("ValidationException", "ActionType with owner '%s' is not supported", owner)
	}
	t, ok := e.actionTypes[r.ActionTypeID]
	if !ok || t.deleted {
		return nil, fail("ActionTypeNotFoundException", "%s is not available", r.ActionTypeID.described())
	}
	if err := t.checkQuery(r.QueryParam); err != nil {
		return nil, err
	}
	return e.queues[queueID{r.ActionTypeID, r.QueryParam[t.queryable()]}], nil
}

func (t *ActionType) checkQuery(query map[string]string) error {
	queryable := t.queryable()
	_, given := query[queryable]
	switch {
	case queryable == "" && len(query) > 0:
		return fail("ValidationException", "%s has no queryable property: queryParam must not be given", t.ID.described())
	case queryable != "" && !given:
		return fail("ValidationException", "%s must be polled with a queryParam for its property '%s'", t.ID.described(), queryable)
	}
	return nil
}

// AcknowledgeRequest is that of AcknowledgeJob.
type AcknowledgeRequest struct {
	JobID string `json:"jobId"`
	Nonce string `json:"nonce"`
}

// AcknowledgeResponse is that of AcknowledgeJob.
type AcknowledgeResponse struct {
	Status string `json:"status"`
}

// AcknowledgeJob claims a job. A nonce is valid only once.
func (e *Engine) AcknowledgeJob(r AcknowledgeRequest) (*AcknowledgeResponse, error) {
	defer e.enter()()
	j, err := e.job(r.JobID)
	if err != nil {
		return nil, err
	}
	if j.nonce != r.Nonce || j.status == jobInProgress {
		return nil, fail("InvalidNonceException", "The nonce for job %s is not valid", r.JobID)
	}
	if j.status == jobDispatched {
		j.status = jobInProgress
		j.moveTo(e.queues[j.queue].claimed)
	}
	return &AcknowledgeResponse{j.status}, nil
}

// JobRequest is a request about a job.
type JobRequest struct {
	JobID string `json:"jobId"`
}

// DetailsResponse is that of GetJobDetails.
type DetailsResponse struct {
	JobDetails JobResponse `json:"jobDetails"`
}

// GetJobDetails returns an open job with new credentials.
func (e *Engine) GetJobDetails(r JobRequest) (*DetailsResponse, error) {
	defer e.enter()()
	j, err := e.job(r.JobID)
	if err != nil {
		return nil, err
	}
	if j.status != jobDispatched && j.status != jobInProgress {
		return nil, fail("JobNotFoundException", "Job %s is not open", r.JobID)
	}
	return &DetailsResponse{JobResponse{ID: j.id, AccountID: e.options.AccountID, Data: e.dataOf(j)}}, nil
}

func (e *Engine) job(id string) (*job, error) {
	if j, ok := e.jobs[id]; ok {
		return j, nil
	}
	return nil, fail("JobNotFoundException", "Job %s is not found", id)
}

// openJob returns a job that accepts a result.
func (e *Engine) openJob(id string) (*job, error) {
	j, err := e.job(id)
	if err != nil {
		return nil, err
	}
	if j.status != jobInProgress {
		return nil, fail("InvalidJobStateException", "Job %s is in state %s: it must be in state %s", id, j.status, jobInProgress)
	}
	return j, nil
}

// SuccessRequest is that of PutJobSuccessResult.
type SuccessRequest struct {
	JobID             string            `json:"jobId"`
	ContinuationToken string            `json:"continuationToken"`
	ExecutionDetails  *ExecutionDetails `json:"executionDetails"`
	OutputVariables   map[string]string `json:"outputVariables"`
	CurrentRevision   *CurrentRevision  `json:"currentRevision"`
}

// PutJobSuccessResult ends a job as succeeded. With a continuation token, the action continues with
// a new job after a delay.
func (e *Engine) PutJobSuccessResult(r SuccessRequest) (*struct{}, error) {
	defer e.enter()()
	if r.ContinuationToken != "" && len(r.OutputVariables) > 0 {
		return nil, fail("ValidationException", "outputVariables must not be given with a continuationToken")
	}
	size := 0
	for key, value := range r.OutputVariables {
		size += len(key) + len(value)
	}
	if size > maxOutputVariables {
		return nil, fail("OutputVariablesSizeExceededException", "The output variables have %d bytes: at most %d are allowed", size, maxOutputVariables)
	}
	j, err := e.openJob(r.JobID)
	if err != nil {
		return nil, err
	}
	e.closeJob(j, jobSucceeded)
	j.action.take(r, e.now())
	if r.ContinuationToken != "" {
		j.action.job = e.newJob(j.action, r.ContinuationToken, e.now().Add(e.options.ContinuationDelay))
		return nil, nil
	}
	j.action.succeed(e)
	e.advance()
	return nil, nil
}

// take records a result of the action.
func (a *actionRun) take(r SuccessRequest, now time.Time) {
	a.updated = now
	if details := r.ExecutionDetails; details != nil {
		a.summary, a.externalID, a.percent = details.Summary, details.ExternalExecutionID, details.PercentComplete
	}
	if r.OutputVariables != nil {
		a.variables = r.OutputVariables
	}
	if r.CurrentRevision == nil {
		return
	}
	revision := *r.CurrentRevision
	if revision.Created == 0 {
		revision.Created = epoch(now)
	}
	a.revision = &revision
	if a.declared.ActionTypeID.Category != "Source" {
		return
	}
	// Copy the list: a response that is being sent may still refer to the old one.
	a.outputs = slices.Clone(a.outputs)
	for i := range a.outputs {
		a.outputs[i].Revision = revision.Revision
	}
}

// FailureRequest is that of PutJobFailureResult.
type FailureRequest struct {
	JobID          string         `json:"jobId"`
	FailureDetails FailureDetails `json:"failureDetails"`
}

// PutJobFailureResult ends a job, and its action, as failed.
func (e *Engine) PutJobFailureResult(r FailureRequest) (*struct{}, error) {
	defer e.enter()()
	j, err := e.openJob(r.JobID)
	if err != nil {
		return nil, err
	}
	e.closeJob(j, jobFailed)
	if r.FailureDetails.ExternalExecutionID != "" {
		j.action.externalID = r.FailureDetails.ExternalExecutionID
	}
	j.action.fail(e, r.FailureDetails.Type, r.FailureDetails.Message)
	e.advance()
	return nil, nil
}
