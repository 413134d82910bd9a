package engine

// cancelRemoved cancels the live executions with a running action that the pipeline no longer
// declares with that name, in a stage with that name. AWS documents that an update can cancel
// executions, but not which updates do.
func (e *Engine) cancelRemoved(p *pipeline) {
	for _, x := range p.live {
		if x.runsRemoved(&p.declaration) {
			x.endAtOnce(e, cancelled, cancelled)
		}
	}
}

// runsRemoved reports whether d lacks one of the execution's running actions.
func (x *execution) runsRemoved(d *Declaration) bool {
	for _, stage := range x.stages {
		for _, action := range stage.actions {
			if action.status == inProgress && d.action(stage.declared.Name, action.declared.Name) == nil {
				return true
			}
		}
	}
	return false
}

// shownStatus returns the action's status for lists and states. The model's ActionExecutionStatus
// has no value for a cancelled action.
func (a *actionRun) shownStatus() string {
	if a.status == cancelled {
		return abandoned
	}
	return a.status
}
