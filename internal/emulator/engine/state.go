package engine

import (
	"net/url"
	"slices"
	"strings"
)

// StateResponse is that of GetPipelineState.
type StateResponse struct {
	PipelineName    string       `json:"pipelineName"`
	PipelineVersion int          `json:"pipelineVersion"`
	StageStates     []stageState `json:"stageStates"`
	Created         float64      `json:"created"`
	Updated         float64      `json:"updated"`
}

type stageState struct {
	StageName              string          `json:"stageName"`
	InboundTransitionState transitionState `json:"inboundTransitionState"`
	ActionStates           []actionState   `json:"actionStates"`
	LatestExecution        *stageExecution `json:"latestExecution,omitempty"`
	// InboundExecutions wait to enter the stage, oldest first.
	InboundExecutions []stageExecution `json:"inboundExecutions,omitempty"`
}

type transitionState struct {
	Enabled bool `json:"enabled"`
}

type stageExecution struct {
	PipelineExecutionID string `json:"pipelineExecutionId"`
	Status              string `json:"status"`
	Type                string `json:"type"`
}

type actionState struct {
	ActionName      string           `json:"actionName"`
	CurrentRevision *actionRevision  `json:"currentRevision,omitempty"`
	LatestExecution *actionExecution `json:"latestExecution,omitempty"`
	EntityURL       string           `json:"entityUrl,omitempty"`
	RevisionURL     string           `json:"revisionUrl,omitempty"`
}

type actionRevision struct {
	RevisionID       string  `json:"revisionId"`
	RevisionChangeID string  `json:"revisionChangeId"`
	Created          float64 `json:"created"`
}

type actionExecution struct {
	ActionExecutionID    string        `json:"actionExecutionId"`
	Status               string        `json:"status"`
	Summary              string        `json:"summary,omitempty"`
	LastStatusChange     float64       `json:"lastStatusChange"`
	Token                string        `json:"token,omitempty"`
	ExternalExecutionID  string        `json:"externalExecutionId,omitempty"`
	ExternalExecutionURL string        `json:"externalExecutionUrl,omitempty"`
	PercentComplete      *int          `json:"percentComplete,omitempty"`
	ErrorDetails         *errorDetails `json:"errorDetails,omitempty"`
}

type errorDetails struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// GetPipelineState tells the latest execution of each stage and action.
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

func (e *Engine) stageState(p *pipeline, declared stageDeclaration) stageState {
	state := stageState{StageName: declared.Name, InboundTransitionState: transitionState{true}}
	var latest *stageRun
	for _, x := range p.executions {
		run := x.stage(declared.Name)
		if x.awaited() == declared.Name {
			state.InboundExecutions = append(state.InboundExecutions, stageExecution{x.id, inProgress, "STANDARD"})
		}
		if run != nil && run.status != "" {
			latest = run
			state.LatestExecution = &stageExecution{x.id, latest.status, "STANDARD"}
		}
	}
	for _, action := range declared.Actions {
		shown := actionState{ActionName: action.Name}
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

func (e *Engine) actionState(a *actionRun) actionState {
	state := actionState{ActionName: a.declared.Name, LatestExecution: &actionExecution{
		ActionExecutionID:    a.id,
		Status:               a.status,
		Summary:              a.summary,
		LastStatusChange:     epoch(a.updated),
		ExternalExecutionID:  a.externalID,
		ExternalExecutionURL: e.link(a, func(s *settings) string { return s.ExecutionURLTemplate }),
		PercentComplete:      a.percent,
		ErrorDetails:         a.errorDetails(),
	}}
	state.EntityURL = e.link(a, func(s *settings) string { return s.EntityURLTemplate })
	state.RevisionURL = e.link(a, func(s *settings) string { return s.RevisionURLTemplate })
	if a.status == inProgress {
		state.LatestExecution.Token = a.approval
	}
	if a.revision != "" {
		state.CurrentRevision = &actionRevision{a.revision, a.revision, epoch(a.updated)}
	}
	return state
}

func (a *actionRun) errorDetails() *errorDetails {
	if a.failure == nil {
		return nil
	}
	return &errorDetails{a.failure.Type, a.failure.Message}
}

// link fills in a URL template of the action's type.
func (e *Engine) link(a *actionRun, template func(*settings) string) string {
	t, ok := e.actionTypes[a.declared.ActionTypeID]
	if !ok || t.Settings == nil {
		return ""
	}
	text := template(t.Settings)
	if strings.Contains(text, "{ExternalExecutionId}") && a.externalID == "" {
		return ""
	}
	pairs := []string{"{ExternalExecutionId}", url.PathEscape(a.externalID)}
	for key, value := range e.maskedConfiguration(a.declared.ActionTypeID, a.resolved) {
		pairs = append(pairs, "{Config:"+key+"}", url.PathEscape(value))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// ExecutionRequest names an execution.
type ExecutionRequest struct {
	PipelineName        string `json:"pipelineName"`
	PipelineExecutionID string `json:"pipelineExecutionId"`
}

// ExecutionResponse is that of GetPipelineExecution.
type ExecutionResponse struct {
	PipelineExecution pipelineExecution `json:"pipelineExecution"`
}

type pipelineExecution struct {
	PipelineName        string             `json:"pipelineName"`
	PipelineVersion     int                `json:"pipelineVersion"`
	PipelineExecutionID string             `json:"pipelineExecutionId"`
	Status              string             `json:"status"`
	StatusSummary       string             `json:"statusSummary,omitempty"`
	ArtifactRevisions   []artifactRevision `json:"artifactRevisions"`
	Variables           []resolvedVariable `json:"variables"`
	ExecutionMode       string             `json:"executionMode"`
	ExecutionType       string             `json:"executionType"`
}

type artifactRevision struct {
	Name       string `json:"name"`
	RevisionID string `json:"revisionId,omitempty"`
}

type resolvedVariable struct {
	Name          string `json:"name"`
	ResolvedValue string `json:"resolvedValue"`
}

// GetPipelineExecution tells how an execution goes.
func (e *Engine) GetPipelineExecution(r ExecutionRequest) (*ExecutionResponse, error) {
	defer e.enter()()
	x, err := e.execution(r.PipelineName, r.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	shown := pipelineExecution{
		PipelineName: r.PipelineName, PipelineVersion: x.declared.Version, PipelineExecutionID: x.id,
		Status: x.status, StatusSummary: x.reason, ExecutionMode: x.declared.ExecutionMode, ExecutionType: "STANDARD",
		ArtifactRevisions: []artifactRevision{}, Variables: []resolvedVariable{},
	}
	for _, action := range x.stages[0].actions {
		for _, output := range action.outputs {
			if output.Revision != "" {
				shown.ArtifactRevisions = append(shown.ArtifactRevisions, artifactRevision{output.Name, output.Revision})
			}
		}
	}
	for _, v := range x.declared.Variables {
		shown.Variables = append(shown.Variables, resolvedVariable{v.Name, x.variables[v.Name]})
	}
	return &ExecutionResponse{shown}, nil
}

// ListExecutionsRequest is that of ListPipelineExecutions.
type ListExecutionsRequest struct {
	PipelineName string `json:"pipelineName"`
	Filter       struct {
		SucceededInStage struct {
			StageName string `json:"stageName"`
		} `json:"succeededInStage"`
	} `json:"filter"`
	page
}

// ListExecutionsResponse is that of ListPipelineExecutions.
type ListExecutionsResponse struct {
	Summaries []executionSummary `json:"pipelineExecutionSummaries"`
	NextToken string             `json:"nextToken,omitempty"`
}

type executionSummary struct {
	PipelineExecutionID string       `json:"pipelineExecutionId"`
	Status              string       `json:"status"`
	StartTime           float64      `json:"startTime"`
	LastUpdateTime      float64      `json:"lastUpdateTime"`
	ExecutionMode       string       `json:"executionMode"`
	ExecutionType       string       `json:"executionType"`
	StatusSummary       string       `json:"statusSummary,omitempty"`
	StopTrigger         *stopTrigger `json:"stopTrigger,omitempty"`
}

type stopTrigger struct {
	Reason string `json:"reason,omitempty"`
}

// ListPipelineExecutions lists a pipeline's executions, newest first.
func (e *Engine) ListPipelineExecutions(r ListExecutionsRequest) (*ListExecutionsResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	list := []executionSummary{}
	wanted := r.Filter.SucceededInStage.StageName
	for _, x := range slices.Backward(p.executions) {
		if run := x.stage(wanted); wanted != "" && (run == nil || run.status != succeeded) {
			continue
		}
		list = append(list, x.summary())
	}
	list, next, err := paged(r.page, list, 100)
	if err != nil {
		return nil, err
	}
	return &ListExecutionsResponse{list, next}, nil
}

func (x *execution) summary() executionSummary {
	summary := executionSummary{
		PipelineExecutionID: x.id, Status: x.status, StatusSummary: x.reason,
		StartTime: epoch(x.started), LastUpdateTime: epoch(x.updated),
		ExecutionMode: x.declared.ExecutionMode, ExecutionType: "STANDARD",
	}
	if x.status == stopping || x.status == stopped {
		summary.StopTrigger = &stopTrigger{x.reason}
	}
	return summary
}
