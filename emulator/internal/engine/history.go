package engine

import (
	"cmp"
	"slices"
)

// ListActionsRequest is that of ListActionExecutions.
type ListActionsRequest struct {
	PipelineName string `json:"pipelineName"`
	Filter       struct {
		PipelineExecutionID       string `json:"pipelineExecutionId"`
		LatestInPipelineExecution struct {
			PipelineExecutionID string `json:"pipelineExecutionId"`
			StartTimeRange      string `json:"startTimeRange"`
		} `json:"latestInPipelineExecution"`
	} `json:"filter"`
	page
}

// ListActionsResponse is that of ListActionExecutions.
type ListActionsResponse struct {
	Details   []ActionExecutionDetail `json:"actionExecutionDetails"`
	NextToken string                  `json:"nextToken,omitempty"`
}

// ActionExecutionDetail is an action execution as ListActionExecutions returns it.
type ActionExecutionDetail struct {
	PipelineExecutionID string       `json:"pipelineExecutionId"`
	ActionExecutionID   string       `json:"actionExecutionId"`
	PipelineVersion     int          `json:"pipelineVersion"`
	StageName           string       `json:"stageName"`
	ActionName          string       `json:"actionName"`
	StartTime           float64      `json:"startTime"`
	LastUpdateTime      float64      `json:"lastUpdateTime"`
	Status              string       `json:"status"`
	Input               ActionInput  `json:"input"`
	Output              ActionOutput `json:"output"`
}

// ActionInput is what an action execution started with.
type ActionInput struct {
	ActionTypeID          TypeID            `json:"actionTypeId"`
	Configuration         map[string]string `json:"configuration,omitempty"`
	ResolvedConfiguration map[string]string `json:"resolvedConfiguration,omitempty"`
	RoleARN               string            `json:"roleArn,omitempty"`
	Region                string            `json:"region"`
	InputArtifacts        []ArtifactDetail  `json:"inputArtifacts"`
	Namespace             string            `json:"namespace,omitempty"`
}

// ActionOutput is what an action execution produced.
type ActionOutput struct {
	OutputArtifacts []ArtifactDetail  `json:"outputArtifacts"`
	ExecutionResult ExecutionResult   `json:"executionResult"`
	OutputVariables map[string]string `json:"outputVariables,omitempty"`
}

// ExecutionResult is what the worker reported about an action execution.
type ExecutionResult struct {
	ExternalExecutionID      string        `json:"externalExecutionId,omitempty"`
	ExternalExecutionSummary string        `json:"externalExecutionSummary,omitempty"`
	ExternalExecutionURL     string        `json:"externalExecutionUrl,omitempty"`
	ErrorDetails             *ErrorDetails `json:"errorDetails,omitempty"`
}

// ArtifactDetail is an artifact of an action execution.
type ArtifactDetail struct {
	Name       string   `json:"name"`
	S3Location S3Detail `json:"s3location"`
}

// S3Detail is the S3 location of an ArtifactDetail.
type S3Detail struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// ListActionExecutions lists action executions, newest first.
func (e *Engine) ListActionExecutions(r ListActionsRequest) (*ListActionsResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	latest := r.Filter.LatestInPipelineExecution
	wanted := cmp.Or(r.Filter.PipelineExecutionID, latest.PipelineExecutionID)
	list := []ActionExecutionDetail{}
	for _, x := range slices.Backward(p.executions) {
		if wanted != "" && x.id != wanted {
			continue
		}
		for _, stage := range slices.Backward(x.stages) {
			runs := stage.actions
			if latest.StartTimeRange != "Latest" {
				runs = append(slices.Clone(stage.past), runs...)
			}
			for _, action := range slices.Backward(runs) {
				if action.status != "" {
					list = append(list, e.detail(stage.declared.Name, action))
				}
			}
		}
	}
	if wanted != "" && len(list) == 0 {
		if _, err := e.execution(r.PipelineName, wanted); err != nil {
			return nil, err
		}
	}
	list, next, err := paged(r.page, list, 100)
	if err != nil {
		return nil, err
	}
	return &ListActionsResponse{list, next}, nil
}

func (e *Engine) detail(stage string, a *actionRun) ActionExecutionDetail {
	state := e.actionState(a).LatestExecution
	return ActionExecutionDetail{
		PipelineExecutionID: a.execution.id,
		ActionExecutionID:   a.id,
		PipelineVersion:     a.execution.declared.Version,
		StageName:           stage,
		ActionName:          a.declared.Name,
		StartTime:           epoch(a.started),
		LastUpdateTime:      epoch(a.updated),
		Status:              a.shownStatus(),
		Input: ActionInput{
			ActionTypeID:          a.declared.ActionTypeID,
			Configuration:         e.maskedConfiguration(a.declared.ActionTypeID, a.declared.Configuration),
			ResolvedConfiguration: e.maskedConfiguration(a.declared.ActionTypeID, a.resolved),
			RoleARN:               a.declared.RoleARN,
			Region:                cmp.Or(a.declared.Region, e.options.Region),
			InputArtifacts:        details(a.inputs),
			Namespace:             a.declared.Namespace,
		},
		Output: ActionOutput{
			OutputArtifacts: details(a.outputs),
			ExecutionResult: ExecutionResult{state.ExternalExecutionID, state.Summary, state.ExternalExecutionURL, state.ErrorDetails},
			OutputVariables: a.variables,
		},
	}
}

func details(artifacts []Artifact) []ArtifactDetail {
	list := []ArtifactDetail{}
	for _, a := range artifacts {
		list = append(list, ArtifactDetail{a.Name, S3Detail{a.Location.S3Location.BucketName, a.Location.S3Location.ObjectKey}})
	}
	return list
}
