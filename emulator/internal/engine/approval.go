package engine

import "time"

// approvalTimeout is how long CodePipeline waits for a manual approval.
const approvalTimeout = 7 * 24 * time.Hour

// ApprovalRequest is that of PutApprovalResult.
type ApprovalRequest struct {
	PipelineName string `json:"pipelineName"`
	StageName    string `json:"stageName"`
	ActionName   string `json:"actionName"`
	Token        string `json:"token"`
	Result       struct {
		Summary string `json:"summary"`
		Status  string `json:"status"`
	} `json:"result"`
}

// ApprovalResponse is that of PutApprovalResult.
type ApprovalResponse struct {
	ApprovedAt float64 `json:"approvedAt"`
}

// PutApprovalResult answers a manual approval, named by the token that
// GetPipelineState shows while it waits.
func (e *Engine) PutApprovalResult(r ApprovalRequest) (*ApprovalResponse, error) {
	defer e.enter()()
	a, err := e.approval(r)
	if err != nil {
		return nil, err
	}
	if a.status != inProgress {
		return nil, fail("ApprovalAlreadyCompletedException", "The approval action %s has been approved or rejected already", r.ActionName)
	}
	a.summary = r.Result.Summary
	if r.Result.Status == "Approved" {
		a.succeed(e)
	} else {
		a.fail(e, "ApprovalRejected", "The approval was rejected: "+r.Result.Summary)
	}
	e.advance()
	return &ApprovalResponse{epoch(e.now())}, nil
}

func (e *Engine) approval(r ApprovalRequest) (*actionRun, error) {
	p, err := e.pipeline(r.PipelineName)
	if err != nil {
		return nil, err
	}
	// Search the executions first: they use the declaration with which they started.
	for _, x := range p.executions {
		run := x.stage(r.StageName)
		if run == nil {
			continue
		}
		for _, a := range run.actions {
			if a.declared.Name == r.ActionName && a.approval != "" && a.approval == r.Token {
				return a, nil
			}
		}
	}
	stage := p.declaration.stage(r.StageName)
	if stage == nil {
		return nil, fail("StageNotFoundException", "Pipeline '%s' does not have a stage '%s'", r.PipelineName, r.StageName)
	}
	if stage.action(r.ActionName) == nil {
		return nil, fail("ActionNotFoundException", "Stage '%s' does not have an action '%s'", r.StageName, r.ActionName)
	}
	return nil, fail("InvalidApprovalTokenException", "The approval token is not valid for action '%s'", r.ActionName)
}

func (d *Declaration) stage(name string) *StageDeclaration {
	for i := range d.Stages {
		if d.Stages[i].Name == name {
			return &d.Stages[i]
		}
	}
	return nil
}

func (s *StageDeclaration) action(name string) *ActionDeclaration {
	for i := range s.Actions {
		if s.Actions[i].Name == name {
			return &s.Actions[i]
		}
	}
	return nil
}

// action returns an action by the names of its stage and the action.
func (d *Declaration) action(stage, name string) *ActionDeclaration {
	if declared := d.stage(stage); declared != nil {
		return declared.action(name)
	}
	return nil
}

func (a *actionRun) approvalTimeout() time.Duration {
	if minutes := a.declared.TimeoutInMinutes; minutes > 0 {
		return time.Duration(minutes) * time.Minute
	}
	return approvalTimeout
}
