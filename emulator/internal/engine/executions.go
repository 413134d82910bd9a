package engine

import "slices"

// ExecutionRequest names an execution.
type ExecutionRequest struct {
	PipelineName        string `json:"pipelineName"`
	PipelineExecutionID string `json:"pipelineExecutionId"`
}

// ExecutionResponse is that of GetPipelineExecution.
type ExecutionResponse struct {
	PipelineExecution PipelineExecution `json:"pipelineExecution"`
}

// PipelineExecution is an execution as GetPipelineExecution returns it.
type PipelineExecution struct {
	PipelineName        string             `json:"pipelineName"`
	PipelineVersion     int                `json:"pipelineVersion"`
	PipelineExecutionID string             `json:"pipelineExecutionId"`
	Status              string             `json:"status"`
	StatusSummary       string             `json:"statusSummary,omitempty"`
	ArtifactRevisions   []ArtifactRevision `json:"artifactRevisions"`
	Variables           []ResolvedVariable `json:"variables"`
	Trigger             Trigger            `json:"trigger"`
	ExecutionMode       string             `json:"executionMode"`
	ExecutionType       string             `json:"executionType"`
}

// ArtifactRevision is the revision of a source action's artifact.
type ArtifactRevision struct {
	Name                     string  `json:"name"`
	RevisionID               string  `json:"revisionId"`
	RevisionChangeIdentifier string  `json:"revisionChangeIdentifier"`
	RevisionSummary          string  `json:"revisionSummary,omitempty"`
	Created                  float64 `json:"created"`
	RevisionURL              string  `json:"revisionUrl,omitempty"`
}

// Trigger is what started an execution.
type Trigger struct {
	Type   string `json:"triggerType"`
	Detail string `json:"triggerDetail"`
}

// SourceRevision is the revision that a source action used.
type SourceRevision struct {
	ActionName      string `json:"actionName"`
	RevisionID      string `json:"revisionId"`
	RevisionSummary string `json:"revisionSummary,omitempty"`
	RevisionURL     string `json:"revisionUrl,omitempty"`
}

// ResolvedVariable is a variable of a pipeline with its value in an execution.
type ResolvedVariable struct {
	Name          string `json:"name"`
	ResolvedValue string `json:"resolvedValue"`
}

// GetPipelineExecution returns the status of an execution.
func (e *Engine) GetPipelineExecution(r ExecutionRequest) (*ExecutionResponse, error) {
	defer e.enter()()
	x, err := e.execution(r.PipelineName, r.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	shown := PipelineExecution{
		PipelineName: r.PipelineName, PipelineVersion: x.declared.Version, PipelineExecutionID: x.id,
		Status: x.status, StatusSummary: x.reason, ExecutionMode: x.declared.ExecutionMode, ExecutionType: "STANDARD",
		Trigger: x.trigger, ArtifactRevisions: e.artifactRevisions(x), Variables: []ResolvedVariable{},
	}
	for _, v := range x.declared.Variables {
		shown.Variables = append(shown.Variables, ResolvedVariable{v.Name, x.variables[v.Name]})
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
	Summaries []ExecutionSummary `json:"pipelineExecutionSummaries"`
	NextToken string             `json:"nextToken,omitempty"`
}

// ExecutionSummary is an execution as ListPipelineExecutions returns it.
type ExecutionSummary struct {
	PipelineExecutionID string           `json:"pipelineExecutionId"`
	Status              string           `json:"status"`
	StartTime           float64          `json:"startTime"`
	LastUpdateTime      float64          `json:"lastUpdateTime"`
	SourceRevisions     []SourceRevision `json:"sourceRevisions"`
	Trigger             Trigger          `json:"trigger"`
	ExecutionMode       string           `json:"executionMode"`
	ExecutionType       string           `json:"executionType"`
	StatusSummary       string           `json:"statusSummary,omitempty"`
	StopTrigger         *StopTrigger     `json:"stopTrigger,omitempty"`
}

// StopTrigger is why an execution was stopped.
type StopTrigger struct {
	Reason string `json:"reason,omitempty"`
}

// ListPipelineExecutions lists a pipeline's executions, newest first.
func (e *Engine) ListPipelineExecutions(r ListExecutionsRequest) (*ListExecutionsResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	list := []ExecutionSummary{}
	wanted := r.Filter.SucceededInStage.StageName
	for _, x := range slices.Backward(p.executions) {
		if run := x.stage(wanted); wanted != "" && (run == nil || run.status != succeeded) {
			continue
		}
		list = append(list, e.summary(x))
	}
	list, next, err := paged(r.page, list, 100)
	if err != nil {
		return nil, err
	}
	return &ListExecutionsResponse{list, next}, nil
}

func (e *Engine) summary(x *execution) ExecutionSummary {
	summary := ExecutionSummary{
		PipelineExecutionID: x.id, Status: x.status, StatusSummary: x.reason,
		StartTime: epoch(x.started), LastUpdateTime: epoch(x.updated),
		SourceRevisions: e.sourceRevisions(x), Trigger: x.trigger,
		ExecutionMode: x.declared.ExecutionMode, ExecutionType: "STANDARD",
	}
	if x.status == stopping || x.status == stopped {
		summary.StopTrigger = &StopTrigger{x.reason}
	}
	return summary
}

func (e *Engine) triggered(by string) Trigger {
	return Trigger{by, "arn:aws:iam::" + e.options.AccountID + ":user/emulator"}
}

// artifactRevisions returns the revisions that the source actions found, for each of their
// artifacts.
func (e *Engine) artifactRevisions(x *execution) []ArtifactRevision {
	list := []ArtifactRevision{}
	for _, action := range x.stages[0].actions {
		if action.revision == nil {
			continue
		}
		r, link := action.revision, e.revisionURL(action)
		for _, output := range action.outputs {
			list = append(list, ArtifactRevision{output.Name, r.Revision, r.ChangeIdentifier, r.RevisionSummary, r.Created, link})
		}
	}
	return list
}

// sourceRevisions returns the same revisions, for each source action.
func (e *Engine) sourceRevisions(x *execution) []SourceRevision {
	list := []SourceRevision{}
	for _, action := range x.stages[0].actions {
		if r := action.revision; r != nil {
			list = append(list, SourceRevision{action.declared.Name, r.Revision, r.RevisionSummary, e.revisionURL(action)})
		}
	}
	return list
}
