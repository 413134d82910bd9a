package engine

import (
	"net/url"
	"strings"
)

// StateResponse is that of GetPipelineState.
type StateResponse struct {
	PipelineName    string       `json:"pipelineName"`
	PipelineVersion int          `json:"pipelineVersion"`
	StageStates     []StageState `json:"stageStates"`
	Created         float64      `json:"created"`
	Updated         float64      `json:"updated"`
}

// StageState is the state of a stage.
type StageState struct {
	StageName              string          `json:"stageName"`
	InboundTransitionState TransitionState `json:"inboundTransitionState"`
	ActionStates           []ActionState   `json:"actionStates"`
	LatestExecution        *StageExecution `json:"latestExecution,omitempty"`
	// InboundExecutions wait to enter the stage, oldest first. InboundExecution is the first of
	// them.
	InboundExecution  *StageExecution  `json:"inboundExecution,omitempty"`
	InboundExecutions []StageExecution `json:"inboundExecutions,omitempty"`
}

// TransitionState reports whether executions may enter a stage.
type TransitionState struct {
	Enabled bool `json:"enabled"`
}

// StageExecution is an execution in a stage.
type StageExecution struct {
	PipelineExecutionID string `json:"pipelineExecutionId"`
	Status              string `json:"status"`
	Type                string `json:"type"`
}

// ActionState is the state of an action.
type ActionState struct {
	ActionName      string           `json:"actionName"`
	CurrentRevision *ActionRevision  `json:"currentRevision,omitempty"`
	LatestExecution *ActionExecution `json:"latestExecution,omitempty"`
	EntityURL       string           `json:"entityUrl,omitempty"`
	RevisionURL     string           `json:"revisionUrl,omitempty"`
}

// ActionRevision is the latest revision that an action used.
type ActionRevision struct {
	RevisionID       string  `json:"revisionId"`
	RevisionChangeID string  `json:"revisionChangeId"`
	Created          float64 `json:"created"`
}

// ActionExecution is the latest execution of an action.
type ActionExecution struct {
	ActionExecutionID    string        `json:"actionExecutionId"`
	Status               string        `json:"status"`
	Summary              string        `json:"summary,omitempty"`
	LastStatusChange     float64       `json:"lastStatusChange"`
	Token                string        `json:"token,omitempty"`
	ExternalExecutionID  string        `json:"externalExecutionId,omitempty"`
	ExternalExecutionURL string        `json:"externalExecutionUrl,omitempty"`
	PercentComplete      *int          `json:"percentComplete,omitempty"`
	ErrorDetails         *ErrorDetails `json:"errorDetails,omitempty"`
}

// ErrorDetails is why an action failed.
type ErrorDetails struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// GetPipelineState returns the latest execution of each stage and action.
func (e *Engine) GetPipelineState(r NameRequest) (*StateResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.Name)
	if err != nil {
		return nil, err
	}
	state := &StateResponse{PipelineName: r.Name, PipelineVersion: p.declaration.Version, Created: epoch(p.created), Updated: epoch(p.updated)}
	for _, stage := range p.declaration.Stages {
		state.StageStates = append(state.StageStates, e.stageState(p, stage))
	}
	return state, nil
}

func (e *Engine) stageState(p *pipeline, declared StageDeclaration) StageState {
	state := StageState{StageName: declared.Name, InboundTransitionState: TransitionState{true}}
	var latest *stageRun
	for _, x := range p.executions {
		run := x.stage(declared.Name)
		if x.awaited() == declared.Name {
			state.InboundExecutions = append(state.InboundExecutions, StageExecution{x.id, inProgress, "STANDARD"})
		}
		if run != nil && run.status != "" {
			latest = run
			state.LatestExecution = &StageExecution{x.id, latest.status, "STANDARD"}
		}
	}
	if len(state.InboundExecutions) > 0 {
		state.InboundExecution = &state.InboundExecutions[0]
	}
	for _, action := range declared.Actions {
		shown := ActionState{ActionName: action.Name}
		if latest != nil {
			for _, run := range latest.actions {
				if run.declared.Name == action.Name && run.status != "" {
					shown = e.actionState(run)
				}
			}
		}
		state.ActionStates = append(state.ActionStates, shown)
	}
	return state
}

func (e *Engine) actionState(a *actionRun) ActionState {
	state := ActionState{ActionName: a.declared.Name, LatestExecution: &ActionExecution{
		ActionExecutionID:    a.id,
		Status:               a.shownStatus(),
		Summary:              a.summary,
		LastStatusChange:     epoch(a.updated),
		ExternalExecutionID:  a.externalID,
		ExternalExecutionURL: e.link(a, func(s *Settings) string { return s.ExecutionURLTemplate }),
		PercentComplete:      a.percent,
		ErrorDetails:         a.errorDetails(),
	}}
	state.EntityURL = e.link(a, func(s *Settings) string { return s.EntityURLTemplate })
	state.RevisionURL = e.revisionURL(a)
	if a.status == inProgress {
		state.LatestExecution.Token = a.approval
	}
	if a.revision != nil {
		state.CurrentRevision = &ActionRevision{a.revision.Revision, a.revision.ChangeIdentifier, a.revision.Created}
	}
	return state
}

func (a *actionRun) errorDetails() *ErrorDetails {
	if a.failure == nil {
		return nil
	}
	return &ErrorDetails{a.failure.Type, a.failure.Message}
}

func (e *Engine) revisionURL(a *actionRun) string {
	return e.link(a, func(s *Settings) string { return s.RevisionURLTemplate })
}

// link expands a URL template of the action's type. Values are inserted unchanged, so that one may
// have a scheme and a host. There is no link while the external ID or revision in it is unknown.
func (e *Engine) link(a *actionRun, template func(*Settings) string) string {
	t, ok := e.actionTypes[a.declared.ActionTypeID]
	if !ok || t.Settings == nil {
		return ""
	}
	text, revision := template(t.Settings), ""
	if a.revision != nil {
		revision = a.revision.Revision
	}
	for placeholder, value := range map[string]string{"{ExternalExecutionId}": a.externalID, "{RevisionId}": revision} {
		if value == "" && strings.Contains(text, placeholder) {
			return ""
		}
	}
	externalID := a.externalID
	if e.options.EscapeExternalIDs {
		externalID = url.PathEscape(externalID)
	}
	pairs := []string{"{ExternalExecutionId}", externalID, "{RevisionId}", revision}
	for key, value := range e.maskedConfiguration(a.declared.ActionTypeID, a.resolved) {
		pairs = append(pairs, "{Config:"+key+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
