package engine

import (
	"maps"
	"reflect"
	"slices"
)

// mask is what CodePipeline shows instead of a secret value.
const mask = "****"

// masked returns a declaration with masked secret values.
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
	shown := maps.Clone(configuration)
	for _, p := range t.Properties {
		if _, set := shown[p.Name]; set && p.Secret {
			shown[p.Name] = mask
		}
	}
	return shown
}

// keepSecrets replaces masks with the known values of secret properties: clients that read, edit
// and write a pipeline send masks. before is the previous declaration, or nil for a new pipeline.
//
// According to the API reference of ActionConfigurationProperty, the mask preserves the value if no
// other value of the action changes. It does not define what happens otherwise. Here it is an
// error, so that no secret is lost.
func (e *Engine) keepSecrets(made Declaration, before *Declaration) error {
	for _, stage := range made.Stages {
		for i := range stage.Actions {
			a := &stage.Actions[i]
			masked := e.maskedSecrets(a)
			if len(masked) == 0 {
				continue
			}
			var known *ActionDeclaration
			if before != nil {
				known = before.action(stage.Name, a.Name)
			}
			if err := a.keepSecrets(known, masked); err != nil {
				return err
			}
		}
	}
	return nil
}

// maskedSecrets returns the secret properties of an action whose value is the mask.
func (e *Engine) maskedSecrets(a *ActionDeclaration) []string {
	var masked []string
	if t, ok := e.actionTypes[a.ActionTypeID]; ok {
		for _, p := range t.Properties {
			if p.Secret && a.Configuration[p.Name] == mask {
				masked = append(masked, p.Name)
			}
		}
	}
	return masked
}

// keepSecrets keeps the secrets of one action. known is nil for a new action.
func (a *ActionDeclaration) keepSecrets(known *ActionDeclaration, masked []string) error {
	if known == nil {
		return fail("InvalidActionDeclarationException", "Action configuration for the new action '%s' contains an invalid configuration for the secret property '%s'. '%s' may be used in secret properties only when updating an existing action.", a.Name, masked[0], mask)
	}
	kept := *a
	kept.Configuration = maps.Clone(a.Configuration)
	for _, name := range masked {
		kept.Configuration[name] = known.Configuration[name]
	}
	if !reflect.DeepEqual(kept, *known) {
		return fail("InvalidActionDeclarationException", "Action configuration for the action '%s' contains an invalid configuration for the secret property '%s'. '%s' keeps the value of a secret property only if no other value of the action changes: give the value.", a.Name, masked[0], mask)
	}
	a.Configuration = kept.Configuration
	return nil
}
