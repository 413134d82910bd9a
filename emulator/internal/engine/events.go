package engine

import "time"

// Event is a change of the state of an action execution, with what EventBridge's
// "CodePipeline Action Execution State Change" says of it.
type Event struct {
	Time time.Time
	// Region and AccountID are those of the pipeline.
	Region, AccountID string
	// State is STARTED, SUCCEEDED, FAILED or ABANDONED.
	State                       string
	Pipeline, PipelineARN       string
	ExecutionID                 string
	Started                     time.Time
	Stage, Action               string
	ActionExecutionID           string
	Owner, Category             string
	Provider, Version           string
	ExternalID, Summary, Reason string
}

// states are the statuses of actions as events have them.
var states = map[string]string{inProgress: "STARTED", succeeded: "SUCCEEDED", failed: "FAILED", abandoned: "ABANDONED"}

// notify reports an action's new status to Options.Notify.
func (e *Engine) notify(a *actionRun) {
	if e.options.Notify == nil {
		return
	}
	name := a.execution.declared.Name
	event := Event{
		Time: e.now(), Region: e.options.Region, AccountID: e.options.AccountID, State: states[a.status],
		Pipeline: name, PipelineARN: e.pipelineARN(name), ExecutionID: a.execution.id, Started: a.started,
		Stage: a.stage, Action: a.declared.Name, ActionExecutionID: a.id,
		Owner: a.declared.ActionTypeID.Owner, Category: a.declared.ActionTypeID.Category,
		Provider: a.declared.ActionTypeID.Provider, Version: a.declared.ActionTypeID.Version,
		ExternalID: a.externalID, Summary: a.summary,
	}
	if a.failure != nil {
		event.Reason = a.failure.Type
	}
	e.options.Notify(event)
}
