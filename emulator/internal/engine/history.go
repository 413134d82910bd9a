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
	Details   []actionExecutionDetail `json:"actionExecutionDetails"`
	NextToken string                  `json:"nextToken,omitempty"`
}

type actionExecutionDetail struct {
	PipelineExecutionID string       `json:"pipelineExecutionId"`
	ActionExecutionID   string       `json:"actionExecutionId"`
	PipelineVersion     int          `json:"pipelineVersion"`
	StageName           string       `json:"stageName"`
	ActionName          string       `json:"actionName"`
	StartTime           float64      `json:"startTime"`
	LastUpdateTime      float64      `json:"lastUpdateTime"`
	Status              string       `json:"status"`
	Input               actionInput  `json:"input"`
	Output              actionOutput `json:"output"`
}

type actionInput struct {
	ActionTypeID          typeID            `json:"actionTypeId"`
	Configuration         map[string]string `json:"configuration,omitempty"`
	ResolvedConfiguration map[string]string `json:"resolvedConfiguration,omitempty"`
	RoleARN               string            `json:"roleArn,omitempty"`
	Region                string            `json:"region"`
	InputArtifacts        []artifactDetail  `json:"inputArtifacts"`
	Namespace             string            `json:"namespace,omitempty"`
}

type actionOutput struct {
	OutputArtifacts []artifactDetail  `json:"outputArtifacts"`
	ExecutionResult executionResult   `json:"executionResult"`
	OutputVariables map[string]string `json:"outputVariables,omitempty"`
}

type executionResult struct {
	ExternalExecutionID      string        `json:"externalExecutionId,omitempty"`
	ExternalExecutionSummary string        `json:"externalExecutionSummary,omitempty"`
	ExternalExecutionURL     string        `json:"externalExecutionUrl,omitempty"`
	ErrorDetails             *errorDetails `json:"errorDetails,omitempty"`
}

type artifactDetail struct {
	Name       string   `json:"name"`
	S3Location s3Detail `json:"s3location"`
}

type s3Detail struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// ListActionExecutions lists what actions did, newest first.
func (e *Engine) ListActionExecutions(r ListActionsRequest) (*ListActionsResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	latest := r.Filter.LatestInPipelineExecution
	wanted := cmp.Or(r.Filter.PipelineExecutionID, latest.PipelineExecutionID)
	list := []actionExecutionDetail{}
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

func (e *Engine) detail(stage string, a *actionRun) actionExecutionDetail {
	state := e.actionState(a).LatestExecution
	return actionExecutionDetail{
		PipelineExecutionID: a.execution.id,
		ActionExecutionID:   a.id,
		PipelineVersion:     a.execution.declared.Version,
		StageName:           stage,
		ActionName:          a.declared.Name,
		StartTime:           epoch(a.started),
		LastUpdateTime:      epoch(a.updated),
		Status:              a.status,
		Input: actionInput{
			ActionTypeID:          a.declared.ActionTypeID,
			Configuration:         e.maskedConfiguration(a.declared.ActionTypeID, a.declared.Configuration),
			ResolvedConfiguration: e.maskedConfiguration(a.declared.ActionTypeID, a.resolved),
			RoleARN:               a.declared.RoleARN,
			Region:                cmp.Or(a.declared.Region, e.options.Region),
			InputArtifacts:        details(a.inputs),
			Namespace:             a.declared.Namespace,
		},
		Output: actionOutput{
			OutputArtifacts: details(a.outputs),
			ExecutionResult: executionResult{state.ExternalExecutionID, state.Summary, state.ExternalExecutionURL, state.ErrorDetails},
			OutputVariables: a.variables,
		},
	}
}

func details(artifacts []artifact) []artifactDetail {
	list := []artifactDetail{}
	for _, a := range artifacts {
		list = append(list, artifactDetail{a.Name, s3Detail{a.Location.S3Location.BucketName, a.Location.S3Location.ObjectKey}})
	}
	return list
}
