package engine

import "time"

// Event is a state change of an action execution, with the content of EventBridge's "CodePipeline
// Action Execution State Change".
type Event struct {
	Time time.Time
	// Region and AccountID identify the pipeline's engine.
	Region, AccountID string
	// State is STARTED, SUCCEEDED, FAILED, ABANDONED or CANCELED.
	State                 string
	Pipeline, PipelineARN string
	// PipelineVersion is the version of the declaration with which the execution started.
	PipelineVersion int
	ExecutionID     string
	// Attempt counts the execution's start and the retries of its stages.
	Attempt           int
	Started           time.Time
	Stage, Action     string
	ActionExecutionID string
	Owner, Category   string
	Provider, Version string
	// Inputs are set if the action has started, and Outputs if it has succeeded.
	Inputs, Outputs []ArtifactDetail
	// Result is set if the action has succeeded or failed, and there is information about it.
	Result *EventResult
}

// EventResult is how an action ended.
type EventResult struct {
	ExternalID, ExternalURL string
	// Summary is the worker's summary, or why the action failed.
	Summary string
	// Code is the type of the failure.
	Code string
}

// states maps the statuses of actions to the states in events.
var states = map[string]string{inProgress: "STARTED", succeeded: "SUCCEEDED", failed: "FAILED", abandoned: "ABANDONED", cancelled: "CANCELED"}

// notify reports an action's new status to Options.Notify.
func (e *Engine) notify(a *actionRun) {
	if e.options.Notify == nil {
		return
	}
	x, name := a.execution, a.execution.declared.Name
	event := Event{
		Time: e.now(), Region: e.options.Region, AccountID: e.options.AccountID, State: states[a.status],
		Pipeline: name, PipelineARN: e.pipelineARN(name), PipelineVersion: x.declared.Version,
		ExecutionID: x.id, Attempt: x.retries + 1, Started: a.started,
		Stage: a.stage, Action: a.declared.Name, ActionExecutionID: a.id,
		Owner: a.declared.ActionTypeID.Owner, Category: a.declared.ActionTypeID.Category,
		Provider: a.declared.ActionTypeID.Provider, Version: a.declared.ActionTypeID.Version,
	}
	switch a.status {
	case inProgress:
		event.Inputs = details(a.inputs)
	case succeeded:
		event.Outputs, event.Result = details(a.outputs), e.eventResult(a)
	case failed:
		event.Result = e.eventResult(a)
	}
	e.options.Notify(event)
}

// eventResult returns the result of an ended action, or nil if there is no information about it.
func (e *Engine) eventResult(a *actionRun) *EventResult {
	result := EventResult{
		ExternalID: a.externalID, Summary: a.summary,
		ExternalURL: e.link(a, func(s *Settings) string { return s.ExecutionURLTemplate }),
	}
	if a.failure != nil {
		result.Summary, result.Code = a.failure.Message, a.failure.Type
	}
	if result == (EventResult{}) {
		return nil
	}
	return &result
}
