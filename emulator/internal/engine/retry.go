package engine

import "reflect"

// RetryRequest is that of RetryStageExecution.
type RetryRequest struct {
	PipelineName        string `json:"pipelineName"`
	StageName           string `json:"stageName"`
	PipelineExecutionID string `json:"pipelineExecutionId"`
	RetryMode           string `json:"retryMode"`
}

// RetryStageExecution runs the failed actions of a failed stage again, or all of its actions, in
// the failed execution.
func (e *Engine) RetryStageExecution(r RetryRequest) (*ExecutionIDResponse, error) {
	defer e.enter()()
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	if p.declaration.stage(r.StageName) == nil {
		return nil, fail("StageNotFoundException", "Pipeline '%s' does not have a stage '%s'", r.PipelineName, r.StageName)
	}
	x, err := e.execution(r.PipelineName, r.PipelineExecutionID)
	if err != nil { // the model has no PipelineExecutionNotFoundException for this operation
		return nil, fail("StageNotRetryableException", "Pipeline '%s' does not have an execution with ID '%s'", r.PipelineName, r.PipelineExecutionID)
	}
	if !reflect.DeepEqual(x.declared.Stages, p.declaration.Stages) {
		return nil, fail("StageNotRetryableException", "The structure of pipeline '%s' has changed since execution %s", r.PipelineName, x.id)
	}
	stage := x.stage(r.StageName)
	if stage == nil || x.live() || (stage.status != failed && stage.status != stopped) {
		return nil, fail("StageNotRetryableException", "Stage '%s' has not failed in execution %s", r.StageName, x.id)
	}
	if x.declared.ExecutionMode != "PARALLEL" && p.reachedAfter(x, r.StageName) {
		return nil, fail("NotLatestPipelineExecutionException", "Execution %s is not the latest of stage '%s'", x.id, r.StageName)
	}
	if err := e.checkConcurrency(p); err != nil {
		return nil, err
	}
	stage.again(x, r.RetryMode == "ALL_ACTIONS")
	x.status, x.reason, x.updated = inProgress, "", e.now()
	x.retries++
	p.collectLive()
	e.touch(p)
	e.advance()
	return &ExecutionIDResponse{x.id}, nil
}

// reachedAfter reports whether an execution newer than x has entered the stage.
func (p *pipeline) reachedAfter(x *execution, stage string) bool {
	newer := false
	for _, other := range p.executions {
		run := other.stage(stage)
		if newer && run != nil && run.status != "" {
			return true
		}
		newer = newer || other == x
	}
	return false
}

// again makes the stage ready to run again. Succeeded actions run again only if all is true.
func (s *stageRun) again(x *execution, all bool) {
	s.status = ""
	for i, run := range s.actions {
		if run.status == "" || (run.status == succeeded && !all) {
			continue
		}
		s.past = append(s.past, run)
		s.actions[i] = newActionRun(x, run.stage, run.declared)
	}
}

// collectLive rebuilds the list of live executions, in order.
func (p *pipeline) collectLive() {
	p.live = nil
	for _, x := range p.executions {
		if x.live() {
			p.live = append(p.live, x)
		}
	}
}
