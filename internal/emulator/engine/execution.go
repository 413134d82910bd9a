package engine

import (
	"slices"
	"time"
)

// Statuses of executions, stages and actions.
const (
	inProgress = "InProgress"
	succeeded  = "Succeeded"
	failed     = "Failed"
	stopping   = "Stopping"
	stopped    = "Stopped"
	abandoned  = "Abandoned"
)

// execution is one way through a pipeline.
type execution struct {
	id        string
	pipeline  *pipeline
	declared  declaration
	status    string
	started   time.Time
	updated   time.Time
	stages    []*stageRun
	variables map[string]string
	artifacts map[string]artifact
	reason    string // of a stop
}

type stageRun struct {
	declared stageDeclaration
	status   string // empty: not reached
	actions  []*actionRun
}

// StartRequest is that of StartPipelineExecution.
type StartRequest struct {
	Name      string `json:"name"`
	Variables []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"variables"`
}

// ExecutionIDResponse names an execution.
type ExecutionIDResponse struct {
	PipelineExecutionID string `json:"pipelineExecutionId"`
}

// StartPipelineExecution starts a pipeline.
func (e *Engine) StartPipelineExecution(r StartRequest) (*ExecutionIDResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.Name)
	if err != nil {
		return nil, err
	}
	now := e.now()
	x := &execution{
		id: newID(), pipeline: p, declared: p.declaration, status: inProgress, started: now, updated: now,
		variables: map[string]string{}, artifacts: map[string]artifact{},
	}
	for _, v := range p.declaration.Variables {
		x.variables[v.Name] = v.DefaultValue
	}
	for _, v := range r.Variables {
		if _, declared := x.variables[v.Name]; !declared {
			return nil, fail("ValidationException", "Variable %s is not declared in pipeline %s", v.Name, r.Name)
		}
		x.variables[v.Name] = v.Value
	}
	for _, stage := range p.declaration.Stages {
		run := &stageRun{declared: stage}
		for _, action := range stage.Actions {
			run.actions = append(run.actions, &actionRun{declared: action, execution: x})
		}
		x.stages = append(x.stages, run)
	}
	p.executions = append(p.executions, x)
	e.advance()
	return &ExecutionIDResponse{x.id}, nil
}

// StopRequest is that of StopPipelineExecution.
type StopRequest struct {
	PipelineName        string `json:"pipelineName"`
	PipelineExecutionID string `json:"pipelineExecutionId"`
	Abandon             bool   `json:"abandon"`
	Reason              string `json:"reason"`
}

// StopPipelineExecution stops an execution: at once, abandoning its actions, or
// after the actions that are under way. Workers are not told.
func (e *Engine) StopPipelineExecution(r StopRequest) (*ExecutionIDResponse, error) {
	defer e.enter()()
	x, err := e.execution(r.PipelineName, r.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	switch {
	case x.status == stopping && !r.Abandon:
		return nil, fail("DuplicatedStopRequestException", "Pipeline execution %s is being stopped already", x.id)
	case x.status != inProgress && x.status != stopping:
		return nil, fail("PipelineExecutionNotStoppableException", "Pipeline execution %s is %s", x.id, x.status)
	}
	x.reason, x.status = r.Reason, stopping
	if r.Abandon {
		x.abandon(e)
	}
	e.advance()
	return &ExecutionIDResponse{x.id}, nil
}

// abandon ends an execution and its actions at once. Their jobs take no result
// any more.
func (x *execution) abandon(e *Engine) {
	if x.status != inProgress && x.status != stopping {
		return
	}
	for _, stage := range x.stages {
		for _, action := range stage.actions {
			if action.status == inProgress {
				action.end(e, abandoned)
			}
		}
		if stage.status == inProgress {
			stage.status = stopped
		}
	}
	x.status, x.updated = stopped, e.now()
}

func (e *Engine) execution(pipelineName, id string) (*execution, error) {
	p, err := e.pipeline(pipelineName)
	if err != nil {
		return nil, err
	}
	for _, x := range p.executions {
		if x.id == id {
			return x, nil
		}
	}
	return nil, fail("PipelineExecutionNotFoundException", "Pipeline '%s' does not have an execution with ID '%s'", pipelineName, id)
}

// advance does all that is due: jobs that time out, and executions that can go on.
func (e *Engine) advance() {
	e.expireJobs()
	for _, p := range e.pipelines {
		for _, x := range p.executions {
			e.advanceExecution(x)
		}
	}
}

// advanceExecution takes an execution as far as it can go now.
func (e *Engine) advanceExecution(x *execution) {
	for i, stage := range x.stages {
		if stage.status == succeeded {
			continue
		}
		if x.status != inProgress && x.status != stopping {
			return
		}
		if stage.status == "" {
			if x.status == stopping {
				x.settle(e, stopped)
				return
			}
			if x.stageTaken(i) {
				return // one execution at a time is in a stage
			}
			stage.status = inProgress
		}
		e.advanceStage(x, stage)
		if stage.status != succeeded {
			return
		}
	}
	if x.status == inProgress || x.status == stopping {
		x.settle(e, succeeded)
	}
}

func (x *execution) settle(e *Engine, status string) {
	x.status, x.updated = status, e.now()
}

// stageTaken says whether another execution is in the stage, or waits for it
// and is older.
func (x *execution) stageTaken(stage int) bool {
	if x.declared.ExecutionMode == "PARALLEL" {
		return false
	}
	for _, other := range x.pipeline.executions {
		if other == x {
			return false
		}
		live := other.status == inProgress || other.status == stopping
		if live && stage < len(other.stages) && other.stages[stage].status != succeeded {
			return true
		}
	}
	return false
}

// advanceStage starts the actions of the lowest runOrder that has not ended
// well, and ends the stage when all have ended.
func (e *Engine) advanceStage(x *execution, stage *stageRun) {
	for _, order := range stage.orders() {
		running, bad := false, false
		for _, action := range stage.actions {
			if action.declared.RunOrder != order {
				continue
			}
			if action.status == "" && x.status == inProgress {
				e.startAction(action)
			}
			running = running || action.status == inProgress
			bad = bad || action.status == failed || action.status == abandoned
			bad = bad || (action.status == "" && x.status == stopping)
		}
		switch {
		case running:
			return
		case x.status == stopping:
			stage.status = stopped
			x.settle(e, stopped)
			return
		case bad:
			stage.status = failed
			x.settle(e, failed)
			return
		}
	}
	stage.status = succeeded
	x.updated = e.now()
}

// orders lists the stage's runOrders, lowest first.
func (s *stageRun) orders() []int {
	var orders []int
	for _, action := range s.actions {
		orders = append(orders, action.declared.RunOrder)
	}
	slices.Sort(orders)
	return slices.Compact(orders)
}
