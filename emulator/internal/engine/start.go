package engine

import (
	"slices"
	"strings"
)

// StartRequest is that of StartPipelineExecution.
type StartRequest struct {
	Name      string `json:"name"`
	Variables []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"variables"`
	ClientRequestToken string           `json:"clientRequestToken"`
	SourceRevisions    []SourceOverride `json:"sourceRevisions"`
}

// SourceOverride is the revision that a source action must use.
type SourceOverride struct {
	ActionName    string `json:"actionName"`
	RevisionType  string `json:"revisionType"`
	RevisionValue string `json:"revisionValue"`
}

// ExecutionIDResponse names an execution.
type ExecutionIDResponse struct {
	PipelineExecutionID string `json:"pipelineExecutionId"`
}

// StartPipelineExecution starts a pipeline. A repeated call with the same clientRequestToken
// returns the execution that the first one started.
func (e *Engine) StartPipelineExecution(r StartRequest) (*ExecutionIDResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.Name)
	if err != nil {
		return nil, err
	}
	for _, x := range p.executions {
		if r.ClientRequestToken != "" && x.requestToken == r.ClientRequestToken {
			return &ExecutionIDResponse{x.id}, nil
		}
	}
	if err := e.checkConcurrency(p); err != nil {
		return nil, err
	}
	variables, err := p.declaration.variables(r)
	if err != nil {
		return nil, err
	}
	overrides, err := p.declaration.overrides(r.SourceRevisions)
	if err != nil {
		return nil, err
	}
	x := &execution{variables: variables, overrides: overrides, requestToken: r.ClientRequestToken, trigger: e.triggered("StartPipelineExecution")}
	e.begin(p, x)
	return &ExecutionIDResponse{x.id}, nil
}

// checkConcurrency refuses an execution if the pipeline already has the maximum number of live
// ones. In the mode SUPERSEDED, a newer one replaces the waiting ones.
func (e *Engine) checkConcurrency(p *pipeline) error {
	if p.declaration.ExecutionMode == "SUPERSEDED" || len(p.live) < e.options.MaxConcurrentExecutions {
		return nil
	}
	return fail("ConcurrentPipelineExecutionsLimitExceededException", "Pipeline '%s' has reached its limit of %d concurrent executions", p.declaration.Name, e.options.MaxConcurrentExecutions)
}

// begin starts an execution of a pipeline with its current declaration.
func (e *Engine) begin(p *pipeline, x *execution) {
	now := e.now()
	x.id, x.pipeline, x.declared, x.status = newID(), p, p.declaration, inProgress
	x.started, x.updated, x.artifacts = now, now, map[string]Artifact{}
	for _, stage := range p.declaration.Stages {
		run := &stageRun{declared: stage}
		for _, action := range stage.Actions {
			run.actions = append(run.actions, newActionRun(x, stage.Name, action))
		}
		x.stages = append(x.stages, run)
	}
	p.executions, p.live = append(p.executions, x), append(p.live, x)
	e.touch(p)
	e.advance()
}

// overrides returns the source revisions of a start, by action.
func (d *Declaration) overrides(list []SourceOverride) (map[string]SourceOverride, error) {
	overrides := map[string]SourceOverride{}
	for _, o := range list {
		source := slices.IndexFunc(d.Stages[0].Actions, func(a ActionDeclaration) bool { return a.Name == o.ActionName })
		if source < 0 {
			return nil, fail("ValidationException", "Pipeline '%s' does not have a source action '%s'", d.Name, o.ActionName)
		}
		a := d.Stages[0].Actions[source]
		if a.ActionTypeID != s3SourceType.ID || !strings.HasPrefix(o.RevisionType, "S3_") {
			return nil, fail("ValidationException", "The source action '%s' does not take a revision of type %s", o.ActionName, o.RevisionType)
		}
		if o.RevisionType == "S3_OBJECT_KEY" && a.Configuration["AllowOverrideForS3ObjectKey"] != "true" {
			return nil, fail("ValidationException", "The source action '%s' does not allow another object key", o.ActionName)
		}
		overrides[o.ActionName] = o
	}
	return overrides, nil
}

// variables returns the pipeline's variables with the values of a start.
func (d *Declaration) variables(r StartRequest) (map[string]string, error) {
	values, declared := map[string]string{}, map[string]bool{}
	for _, v := range d.Variables {
		declared[v.Name] = true
		if v.DefaultValue != "" {
			values[v.Name] = v.DefaultValue
		}
	}
	for _, v := range r.Variables {
		if !declared[v.Name] {
			return nil, fail("ValidationException", "Variable %s is not declared in pipeline %s", v.Name, r.Name)
		}
		values[v.Name] = v.Value
	}
	for _, v := range d.Variables {
		if _, set := values[v.Name]; !set {
			return nil, fail("ValidationException", "Variable %s of pipeline %s has no default value: the start must give one", v.Name, r.Name)
		}
	}
	return values, nil
}
