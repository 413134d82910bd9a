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
	superseded = "Superseded"
	abandoned  = "Abandoned"
	cancelled  = "Cancelled"
)

// execution is an execution of a pipeline.
type execution struct {
	id        string
	pipeline  *pipeline
	declared  Declaration
	status    string
	started   time.Time
	updated   time.Time
	stages    []*stageRun
	variables map[string]string
	artifacts map[string]Artifact
	reason    string // why it was stopped
	// requestToken makes a repeated StartPipelineExecution a no-op.
	requestToken string
	trigger      Trigger
	// retries counts the retries of stages.
	retries int
	// overrides are the revisions that the start requested, by source action.
	overrides map[string]SourceOverride
}

// live reports whether the execution has not ended.
func (x *execution) live() bool { return x.status == inProgress || x.status == stopping }

type stageRun struct {
	declared StageDeclaration
	status   string // empty if not reached
	actions  []*actionRun
	// past are the runs that were replaced by retries, oldest first.
	past []*actionRun
}

// StopRequest is that of StopPipelineExecution.
type StopRequest struct {
	PipelineName        string `json:"pipelineName"`
	PipelineExecutionID string `json:"pipelineExecutionId"`
	Abandon             bool   `json:"abandon"`
	Reason              string `json:"reason"`
}

// StopPipelineExecution stops an execution: immediately, abandoning its actions, or after the
// running actions. Workers are not notified.
func (e *Engine) StopPipelineExecution(r StopRequest) (*ExecutionIDResponse, error) {
	defer e.enter()()
	if _, err := e.pipeline(r.PipelineName); err != nil {
		return nil, err
	}
	x, err := e.execution(r.PipelineName, r.PipelineExecutionID)
	if err != nil { // the model has no PipelineExecutionNotFoundException for this operation
		return nil, fail("PipelineExecutionNotStoppableException", "Pipeline '%s' does not have an execution with ID '%s'", r.PipelineName, r.PipelineExecutionID)
	}
	switch {
	case x.status == stopping && !r.Abandon:
		return nil, fail("DuplicatedStopRequestException", "Pipeline execution %s is being stopped already", x.id)
	case !x.live():
		return nil, fail("PipelineExecutionNotStoppableException", "Pipeline execution %s is %s", x.id, x.status)
	}
	x.reason, x.status = r.Reason, stopping
	if r.Abandon {
		x.abandon(e)
	}
	e.touch(x.pipeline)
	e.advance()
	return &ExecutionIDResponse{x.id}, nil
}

// abandon ends an execution because it was stopped.
func (x *execution) abandon(e *Engine) { x.endAtOnce(e, abandoned, stopped) }

// endAtOnce ends a live execution with its running actions and stages. Their jobs no longer accept
// a result.
func (x *execution) endAtOnce(e *Engine, actions, status string) {
	if !x.live() {
		return
	}
	for _, stage := range x.stages {
		for _, action := range stage.actions {
			if action.status == inProgress {
				action.end(e, actions)
			}
		}
		if stage.status == inProgress {
			stage.status = status
		}
	}
	x.settle(e, status)
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

// touch marks a pipeline for the next advance.
func (e *Engine) touch(p *pipeline) {
	if !p.touched {
		p.touched = true
		e.touched = append(e.touched, p)
	}
}

// advance applies all due changes: it ends actions that have timed out and advances executions that
// can continue.
func (e *Engine) advance() {
	e.expireActions()
	for len(e.touched) > 0 {
		p := e.touched[0]
		e.touched = e.touched[1:]
		p.touched = false
		e.advancePipeline(p)
	}
	e.forget()
}

// advancePipeline advances the live executions, and forgets the oldest ended ones.
func (e *Engine) advancePipeline(p *pipeline) {
	if len(p.live) == 0 {
		return
	}
	for _, x := range p.live {
		e.advanceExecution(x)
	}
	e.supersede(p)
	p.live = slices.DeleteFunc(p.live, func(x *execution) bool { return !x.live() })
	excess := len(p.executions) - len(p.live) - e.options.KeepExecutions
	if excess <= 0 {
		return
	}
	p.executions = slices.DeleteFunc(p.executions, func(x *execution) bool {
		if x.live() || excess == 0 {
			return false
		}
		excess--
		return true
	})
}

// supersede ends executions that wait for a stage for which a newer execution waits too, in the
// mode SUPERSEDED.
func (e *Engine) supersede(p *pipeline) {
	waiting := map[string]bool{}
	for _, x := range slices.Backward(p.live) {
		stage := x.awaited()
		if stage == "" || x.declared.ExecutionMode != "SUPERSEDED" {
			continue
		}
		if waiting[stage] {
			x.settle(e, superseded)
		}
		waiting[stage] = true
	}
}

// awaited returns the stage that the execution waits to enter, if any.
func (x *execution) awaited() string {
	if !x.live() {
		return ""
	}
	for _, stage := range x.stages {
		if stage.status == "" {
			return stage.declared.Name
		}
		if stage.status != succeeded {
			return ""
		}
	}
	return ""
}

// advanceExecution advances an execution as far as possible.
func (e *Engine) advanceExecution(x *execution) {
	for _, stage := range x.stages {
		if stage.status == succeeded {
			continue
		}
		if !x.live() {
			return
		}
		if stage.status == "" {
			if x.status == stopping {
				x.settle(e, stopped)
				return
			}
			if x.stageTaken(stage.declared.Name) {
				return // only one execution at a time may be in a stage
			}
			stage.status = inProgress
		}
		e.advanceStage(x, stage)
		if stage.status != succeeded {
			return
		}
	}
	if x.live() {
		x.settle(e, succeeded)
	}
}

func (x *execution) settle(e *Engine, status string) {
	x.status, x.updated = status, e.now()
}

// stageTaken reports whether another execution is in the stage, or an older one waits for it.
func (x *execution) stageTaken(stage string) bool {
	if x.declared.ExecutionMode == "PARALLEL" {
		return false
	}
	for _, other := range x.pipeline.live {
		if other == x {
			return false
		}
		run := other.stage(stage)
		if other.live() && run != nil && run.status != succeeded {
			return true
		}
	}
	return false
}

// stage returns a stage by name, or nil if the execution's declaration does not have it.
func (x *execution) stage(name string) *stageRun {
	for _, stage := range x.stages {
		if stage.declared.Name == name {
			return stage
		}
	}
	return nil
}

// advanceStage starts the actions with the lowest runOrder that has not succeeded, and ends the
// stage when all have ended.
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

// orders returns the stage's runOrders, lowest first.
func (s *stageRun) orders() []int {
	var orders []int
	for _, action := range s.actions {
		orders = append(orders, action.declared.RunOrder)
	}
	slices.Sort(orders)
	return slices.Compact(orders)
}
