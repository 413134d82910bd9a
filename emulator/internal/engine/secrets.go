package engine

import "slices"

// mask is what CodePipeline shows in place of a secret value.
const mask = "****"

// masked is a declaration as it is shown: without secret values.
func (e *Engine) masked(d Declaration) Declaration {
	d.Stages = slices.Clone(d.Stages)
	for i := range d.Stages {
		d.Stages[i].Actions = slices.Clone(d.Stages[i].Actions)
		for k := range d.Stages[i].Actions {
			a := &d.Stages[i].Actions[k]
			a.Configuration = e.maskedConfiguration(a.ActionTypeID, a.Configuration)
		}
	}
	return d
}

func (e *Engine) maskedConfiguration(id TypeID, configuration map[string]string) map[string]string {
	t, ok := e.actionTypes[id]
	if !ok || configuration == nil {
		return configuration
	}
	shown := map[string]string{}
	for name, value := range configuration {
		shown[name] = value
	}
	for _, p := range t.Properties {
		if _, set := shown[p.Name]; set && p.Secret {
			shown[p.Name] = mask
		}
	}
	return shown
}
