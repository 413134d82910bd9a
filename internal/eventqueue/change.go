// Package eventqueue reads CodePipeline's events from an SQS queue: the operator polls
// when an action starts, without waiting for the interval, and immediately stops work whose
// execution was abandoned or cancelled. Without a queue, nothing is lost: polling finds all
// of this, but later.
package eventqueue

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// Change is a change of the state of an action execution.
type Change struct {
	// Account and Region are those of the pipeline.
	Account, Region string
	State           State
	// ActionExecutionID is the same as in a job's pipeline context.
	ActionExecutionID string
	// Custom is true if the action type's owner is Custom. The operator ignores all others.
	Custom bool
	Type   codepipeline.ActionTypeID
}

// State is the new state of an action execution.
type State string

// States of action executions (EventBridge: "CodePipeline Action Execution State
// Change"). The operator does not need others, such as SUCCEEDED.
const (
	Started State = "STARTED"
	// Abandoned: the execution was stopped and no longer waits for its actions.
	Abandoned State = "ABANDONED"
	// Canceled: the pipeline was changed while the action ran.
	Canceled State = "CANCELED"
)

// detailType is the detail-type of the events that the operator uses.
const detailType = "CodePipeline Action Execution State Change"

// message is an event as EventBridge puts it into a queue.
type message struct {
	DetailType string `json:"detail-type"`
	Account    string `json:"account"`
	Region     string `json:"region"`
	Detail     struct {
		ActionExecutionID string `json:"action-execution-id"`
		State             State  `json:"state"`
		Type              struct {
			Owner    string `json:"owner"`
			Category string `json:"category"`
			Provider string `json:"provider"`
			Version  string `json:"version"`
		} `json:"type"`
	} `json:"detail"`
}

// parse reads the body of a message.
func parse(body string) (Change, error) {
	var m message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return Change{}, errors.New("it is not the JSON of an event")
	}
	if m.DetailType != detailType {
		return Change{}, fmt.Errorf("its detail-type is not %q: check that the rule selects only these events, and does not change them", detailType)
	}
	if m.Account == "" || m.Region == "" || m.Detail.State == "" || m.Detail.ActionExecutionID == "" {
		return Change{}, errors.New("it lacks account, region, detail.state or detail.action-execution-id")
	}
	return Change{
		Account: m.Account, Region: m.Region, State: m.Detail.State,
		ActionExecutionID: m.Detail.ActionExecutionID,
		Custom:            m.Detail.Type.Owner == "Custom",
		Type:              codepipeline.ActionTypeID{Category: m.Detail.Type.Category, Provider: m.Detail.Type.Provider, Version: m.Detail.Type.Version},
	}, nil
}
