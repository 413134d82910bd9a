package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// The quotas of a pipeline.
const (
	maxStages  = 50
	maxActions = 500
	// maxPipelines is for an account and region.
	maxPipelines = 1000
)

// complete checks a declaration and sets its defaults.
func (e *Engine) complete(d Declaration) (Declaration, error) {
	d.PipelineType = cmp.Or(d.PipelineType, "V1")
	d.ExecutionMode = cmp.Or(d.ExecutionMode, "SUPERSEDED")
	if err := e.checkStructure(d); err != nil {
		return d, err
	}
	d.Stages = slices.Clone(d.Stages)
	seen := names{stages: map[string]bool{}, namespaces: map[string]bool{}, artifacts: map[string]bool{}}
	for i := range d.Stages {
		d.Stages[i].Actions = slices.Clone(d.Stages[i].Actions)
		if err := e.checkStage(&d.Stages[i], i == 0, seen); err != nil {
			return d, err
		}
	}
	return d, nil
}

// checkStructure checks a declaration and its stages.
func (e *Engine) checkStructure(d Declaration) error {
	actions := 0
	for _, stage := range d.Stages {
		actions += len(stage.Actions)
	}
	switch {
	case len(d.Stages) < 2:
		return fail("InvalidStructureException", "Pipeline must contain at least two stages")
	case len(d.Stages) > maxStages:
		return fail("LimitExceededException", "Pipeline has %d stages: at most %d are allowed", len(d.Stages), maxStages)
	case actions > maxActions:
		return fail("LimitExceededException", "Pipeline has %d actions: at most %d are allowed", actions, maxActions)
	case (d.ArtifactStore == nil) == (len(d.ArtifactStores) == 0):
		return fail("InvalidStructureException", "Pipeline must have an artifactStore or artifactStores, and not both")
	case e.store(d) == nil:
		return fail("InvalidStructureException", "artifactStores must have one for the pipeline's region %s", e.options.Region)
	case d.PipelineType != "V2" && d.ExecutionMode != "SUPERSEDED":
		return fail("InvalidStructureException", "Pipelines of type %s must have the executionMode SUPERSEDED", d.PipelineType)
	case d.PipelineType != "V2" && len(d.Variables)+len(d.Triggers) > 0:
		return fail("InvalidStructureException", "Pipelines of type %s must have no variables or triggers", d.PipelineType)
	}
	return nil
}

// store returns the artifact store of the pipeline's region.
func (e *Engine) store(d Declaration) *ArtifactStore {
	if d.ArtifactStore != nil {
		return d.ArtifactStore
	}
	if regional, ok := d.ArtifactStores[e.options.Region]; ok {
		return &regional
	}
	return nil
}

// names are names that a declaration may use only once.
type names struct{ stages, namespaces, artifacts map[string]bool }

// checkStage checks a stage. seen are the names in the stages before it.
func (e *Engine) checkStage(stage *StageDeclaration, first bool, seen names) error {
	if seen.stages[stage.Name] {
		return fail("InvalidStageDeclarationException", "Two stages have the name %s", stage.Name)
	}
	seen.stages[stage.Name] = true
	if len(stage.Blockers) > 0 {
		return fail("InvalidBlockerDeclarationException", "Stage %s has blockers, which are reserved for future use", stage.Name)
	}
	if len(stage.Actions) == 0 {
		return fail("InvalidStageDeclarationException", "Stage %s has no actions", stage.Name)
	}
	taken := map[string]bool{}
	for k := range stage.Actions {
		a := &stage.Actions[k]
		a.complete()
		if taken[a.Name] {
			return fail("InvalidActionDeclarationException", "Two actions of stage %s have the name %s", stage.Name, a.Name)
		}
		taken[a.Name] = true
		if err := e.checkAction(a, first, seen); err != nil {
			return err
		}
	}
	return checkFlow(stage.Actions, seen.artifacts)
}

// complete sets defaults, because the service returns every member.
func (a *ActionDeclaration) complete() {
	a.RunOrder = max(a.RunOrder, 1)
	if a.InputArtifacts == nil {
		a.InputArtifacts = []ArtifactName{}
	}
	if a.OutputArtifacts == nil {
		a.OutputArtifacts = []ArtifactName{}
	}
	configuration := map[string]string{} // a copy, because keepSecrets changes it
	maps.Copy(configuration, a.Configuration)
	a.Configuration = configuration
}

func (e *Engine) checkAction(a *ActionDeclaration, first bool, seen names) error {
	switch isSource := a.ActionTypeID.Category == "Source"; {
	case first && !isSource:
		return fail("InvalidStructureException", "Pipeline should start with a stage that only contains source actions.")
	case !first && isSource:
		return fail("InvalidStructureException", "Action %s: only the first stage may contain source actions", a.Name)
	}
	if a.Namespace != "" && seen.namespaces[a.Namespace] {
		return fail("InvalidActionDeclarationException", "Action %s: another action has the namespace %s", a.Name, a.Namespace)
	}
	seen.namespaces[a.Namespace] = true
	for _, known := range builtIn {
		if a.ActionTypeID == known.ID {
			return known.checkAction(a)
		}
	}
	if a.ActionTypeID.Owner != "Custom" {
		return nil
	}
	if a.Region != "" && a.Region != e.options.Region {
		return fail("InvalidActionDeclarationException", "Action %s: custom actions run in the pipeline's region %s", a.Name, e.options.Region)
	}
	t, ok := e.actionTypes[a.ActionTypeID]
	if !ok || t.deleted {
		return e.notAvailable(a)
	}
	return t.checkAction(a)
}

// notAvailable returns the error for an action whose type does not exist. In this message, the
// service uses another order of the type's members and another name for the region.
func (e *Engine) notAvailable(a *ActionDeclaration) error {
	id, region := a.ActionTypeID, strings.ToUpper(strings.ReplaceAll(e.options.Region, "-", "_"))
	return fail("InvalidActionDeclarationException", "ActionType (Category: '%s', Provider: '%s', Owner: '%s', Version: '%s') in action '%s' is not available in region '%s'",
		id.Category, id.Provider, id.Owner, id.Version, a.Name, region)
}

// checkFlow checks that an earlier stage, or an action with a lower runOrder, produces each input
// artifact of a stage's actions, and that each output artifact is produced only once. made are the
// artifacts so far.
func checkFlow(actions []ActionDeclaration, made map[string]bool) error {
	inOrder := slices.Clone(actions)
	slices.SortStableFunc(inOrder, func(a, b ActionDeclaration) int { return cmp.Compare(a.RunOrder, b.RunOrder) })
	for i := 0; i < len(inOrder); {
		end := i
		for ; end < len(inOrder) && inOrder[end].RunOrder == inOrder[i].RunOrder; end++ {
			if err := checkInputs(inOrder[end], made); err != nil {
				return err
			}
		}
		for ; i < end; i++ {
			if err := addOutputs(inOrder[i], made); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkInputs(a ActionDeclaration, made map[string]bool) error {
	for _, input := range a.InputArtifacts {
		if !made[input.Name] {
			return fail("InvalidActionDeclarationException", "Action %s: input artifact %s is made by no action before it", a.Name, input.Name)
		}
	}
	return nil
}

func addOutputs(a ActionDeclaration, made map[string]bool) error {
	for _, output := range a.OutputArtifacts {
		if made[output.Name] {
			return fail("InvalidActionDeclarationException", "Action %s: output artifact %s is made by another action", a.Name, output.Name)
		}
		made[output.Name] = true
	}
	return nil
}

// checkAction checks an action against its type.
func (t *ActionType) checkAction(a *ActionDeclaration) error {
	if err := t.Inputs.check(a.Name, "input", len(a.InputArtifacts)); err != nil {
		return err
	}
	if err := t.Outputs.check(a.Name, "output", len(a.OutputArtifacts)); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, p := range t.Properties {
		known[p.Name] = true
		value, set := a.Configuration[p.Name]
		if p.Required && !set {
			return fail("InvalidActionDeclarationException", "Action configuration for action '%s' is missing required configuration '%s'", a.Name, p.Name)
		}
		if p.Queryable && !canBePolled(reference.ReplaceAllString(value, "x")) {
			return fail("InvalidActionDeclarationException", "Action configuration for action '%s' has an invalid value for the queryable configuration '%s': %s", a.Name, p.Name, queryableRule)
		}
	}
	for name := range a.Configuration {
		if !known[name] {
			return fail("InvalidActionDeclarationException", "Action %s: the configuration has the unknown property %s", a.Name, name)
		}
	}
	return nil
}

// check returns an error if the type of an action does not allow this number of artifacts.
func (d ArtifactDetails) check(action, kind string, count int) error {
	switch {
	case count < d.MinimumCount:
		return fail("InvalidActionDeclarationException", "Action %s declares %d %s artifacts which is less than the minimum count (%d)", action, count, kind, d.MinimumCount)
	case count > d.MaximumCount:
		return fail("InvalidActionDeclarationException", "Action %s declares %d %s artifacts which is more than the maximum count (%d)", action, count, kind, d.MaximumCount)
	}
	return nil
}
