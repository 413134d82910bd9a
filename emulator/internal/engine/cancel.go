package engine

// cancelRemoved cancels the live executions in which an action runs that the pipeline
// no longer declares by that name, in a stage of that name. AWS documents that an update
// can cancel executions, and not which updates do.
func (e *Engine) cancelRemoved(p *pipeline) {
	for _, x := range p.live {
		if x.runsRemoved(&p.declaration) {
			x.endAtOnce(e, cancelled, cancelled)
		}
	}
}

// runsRemoved reports whether one of the execution's running actions is not in d.
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

// shownStatus is the action's status as lists and states show it: the model's
// ActionExecutionStatus has no word for a cancelled action.
func (a *actionRun) shownStatus() string {
	if a.status == cancelled {
		return abandoned
	}
	return a.status
}
