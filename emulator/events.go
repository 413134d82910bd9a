package emulator

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/queues"
)

// bridgeEvent is an event as EventBridge sends it to a queue.
type bridgeEvent struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       time.Time `json:"time"`
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	Detail     detail    `json:"detail"`
}

type detail struct {
	Pipeline          string                  `json:"pipeline"`
	ExecutionID       string                  `json:"execution-id"`
	StartTime         time.Time               `json:"start-time"`
	Stage             string                  `json:"stage"`
	Result            *executionResult        `json:"execution-result,omitempty"`
	Inputs            []engine.ArtifactDetail `json:"input-artifacts,omitempty"`
	Outputs           []engine.ArtifactDetail `json:"output-artifacts,omitempty"`
	ActionExecutionID string                  `json:"action-execution-id"`
	Action            string                  `json:"action"`
	State             string                  `json:"state"`
	Region            string                  `json:"region"`
	Type              detailType              `json:"type"`
	Version           decimal                 `json:"version"`
	Attempt           decimal                 `json:"pipeline-execution-attempt"`
}

// decimal is a number in the form of events: 1.0 for 1. Decoders of integers refuse it.
type decimal float64

// MarshalJSON writes one decimal place.
func (d decimal) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(d), 'f', 1, 64), nil
}

type detailType struct {
	Owner    string `json:"owner"`
	Category string `json:"category"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

type executionResult struct {
	URL       string `json:"external-execution-url,omitempty"`
	Summary   string `json:"external-execution-summary,omitempty"`
	ID        string `json:"external-execution-id,omitempty"`
	ErrorCode string `json:"error-code,omitempty"`
}

// publish sends an event to the event queue of its account and region. The engine calls it while it
// holds its lock, so it must not call the engine.
func (e *Emulator) publish(event engine.Event) {
	known := bridgeEvent{
		Version: "0", ID: uuid.NewString(), DetailType: "CodePipeline Action Execution State Change", Source: "aws.codepipeline",
		Account: event.AccountID, Time: event.Time.UTC().Truncate(time.Second), Region: event.Region, Resources: []string{event.PipelineARN},
		Detail: detail{
			Pipeline: event.Pipeline, ExecutionID: event.ExecutionID, StartTime: event.Started.UTC().Truncate(time.Millisecond),
			Stage: event.Stage, ActionExecutionID: event.ActionExecutionID, Action: event.Action, State: event.State, Region: event.Region,
			Type:   detailType{Owner: event.Owner, Category: event.Category, Provider: event.Provider, Version: event.Version},
			Inputs: event.Inputs, Outputs: event.Outputs,
			Version: decimal(event.PipelineVersion), Attempt: decimal(event.Attempt),
		},
	}
	if r := event.Result; r != nil {
		known.Detail.Result = &executionResult{URL: r.ExternalURL, Summary: r.Summary, ID: r.ExternalID, ErrorCode: r.Code}
	}
	body, err := json.Marshal(known)
	if err != nil {
		e.log.Error("An event can't be written", "error", err)
		return
	}
	e.queues.Send(queues.Name{Account: event.AccountID, Region: event.Region, Queue: e.options.EventQueue}, string(body))
}
