package engine

import (
	"cmp"
	"slices"
	"time"
)

// pipeline is a declaration and its executions.
type pipeline struct {
	declaration declaration
	created     time.Time
	updated     time.Time
	// executions, oldest first.
	executions []*execution
}

// PipelineRequest is that of CreatePipeline and UpdatePipeline.
type PipelineRequest struct {
	Pipeline declaration `json:"pipeline"`
	Tags     []tag       `json:"tags"`
}

// PipelineResponse is that of CreatePipeline, UpdatePipeline and GetPipeline.
type PipelineResponse struct {
	Pipeline declaration       `json:"pipeline"`
	Metadata *pipelineMetadata `json:"metadata,omitempty"`
	Tags     []tag             `json:"tags,omitempty"`
}

type pipelineMetadata struct {
	ARN     string  `json:"pipelineArn"`
	Created float64 `json:"created"`
	Updated float64 `json:"updated"`
}

// CreatePipeline makes a pipeline. The service also starts it once; the emulator
// does not: whoever makes a pipeline in a test starts it when its actions are
// ready.
func (e *Engine) CreatePipeline(r PipelineRequest) (*PipelineResponse, error) {
	defer e.enter()()
	if _, ok := e.pipelines[r.Pipeline.Name]; ok {
		return nil, fail("PipelineNameInUseException", "A pipeline with name '%s' already exists", r.Pipeline.Name)
	}
	made, err := e.complete(r.Pipeline)
	if err != nil {
		return nil, err
	}
	made.Version = 1
	now := e.now()
	e.pipelines[made.Name] = &pipeline{declaration: made, created: now, updated: now}
	return &PipelineResponse{Pipeline: e.masked(made), Tags: r.Tags}, nil
}

// UpdatePipeline replaces a pipeline's declaration. Running executions go on
// with the one that they began with.
func (e *Engine) UpdatePipeline(r PipelineRequest) (*PipelineResponse, error) {
	defer e.enter()()
	known, err := e.pipeline(r.Pipeline.Name)
	if err != nil {
		return nil, err
	}
	made, err := e.complete(r.Pipeline)
	if err != nil {
		return nil, err
	}
	made.Version = known.declaration.Version + 1
	known.declaration, known.updated = made, e.now()
	return &PipelineResponse{Pipeline: e.masked(made)}, nil
}

// NameRequest names a pipeline.
type NameRequest struct {
	Name string `json:"name"`
}

// GetPipeline reads a pipeline's declaration.
func (e *Engine) GetPipeline(r NameRequest) (*PipelineResponse, error) {
	defer e.enter()()
	known, err := e.pipeline(r.Name)
	if err != nil {
		return nil, err
	}
	return &PipelineResponse{Pipeline: e.masked(known.declaration), Metadata: &pipelineMetadata{
		ARN: e.pipelineARN(r.Name), Created: epoch(known.created), Updated: epoch(known.updated),
	}}, nil
}

// DeletePipeline deletes a pipeline. One that is not there is no error.
func (e *Engine) DeletePipeline(r NameRequest) (*struct{}, error) {
	defer e.enter()()
	if known, ok := e.pipelines[r.Name]; ok {
		for _, x := range known.executions {
			x.abandon(e)
		}
	}
	delete(e.pipelines, r.Name)
	return nil, nil
}

// ListPipelinesResponse is that of ListPipelines.
type ListPipelinesResponse struct {
	Pipelines []pipelineSummary `json:"pipelines"`
}

type pipelineSummary struct {
	Name          string  `json:"name"`
	Version       int     `json:"version"`
	PipelineType  string  `json:"pipelineType"`
	ExecutionMode string  `json:"executionMode"`
	Created       float64 `json:"created"`
	Updated       float64 `json:"updated"`
}

// ListPipelines lists all pipelines.
func (e *Engine) ListPipelines(struct{}) (*ListPipelinesResponse, error) {
	defer e.enter()()
	list := []pipelineSummary{}
	for _, p := range e.pipelines {
		d := p.declaration
		list = append(list, pipelineSummary{d.Name, d.Version, d.PipelineType, d.ExecutionMode, epoch(p.created), epoch(p.updated)})
	}
	slices.SortFunc(list, func(a, b pipelineSummary) int { return cmp.Compare(a.Name, b.Name) })
	return &ListPipelinesResponse{Pipelines: list}, nil
}

func (e *Engine) pipeline(name string) (*pipeline, error) {
	if known, ok := e.pipelines[name]; ok {
		return known, nil
	}
	return nil, fail("PipelineNotFoundException", "Account '%s' does not have a pipeline with name '%s'", e.options.AccountID, name)
}

// complete checks a declaration and fills in what it leaves out.
func (e *Engine) complete(d declaration) (declaration, error) {
	if len(d.Stages) < 2 {
		return d, fail("InvalidStructureException", "Pipeline must contain at least two stages")
	}
	if d.ArtifactStore == nil {
		return d, fail("InvalidStructureException", "Pipeline must have an artifactStore")
	}
	d.PipelineType = cmp.Or(d.PipelineType, "V1")
	d.ExecutionMode = cmp.Or(d.ExecutionMode, "SUPERSEDED")
	d.Stages = slices.Clone(d.Stages)
	made := map[string]bool{}
	for i, stage := range d.Stages {
		d.Stages[i].Actions = slices.Clone(stage.Actions)
		if len(stage.Actions) == 0 {
			return d, fail("InvalidStageDeclarationException", "Stage %s has no actions", stage.Name)
		}
		for k := range d.Stages[i].Actions {
			if err := e.completeAction(&d.Stages[i].Actions[k], i == 0, made); err != nil {
				return d, err
			}
		}
	}
	return d, nil
}

// completeAction checks one action; made are the artifacts of the actions before it.
func (e *Engine) completeAction(a *actionDeclaration, first bool, made map[string]bool) error {
	a.RunOrder = max(a.RunOrder, 1)
	if first != (a.ActionTypeID.Category == "Source") {
		return fail("InvalidStructureException", "Action %s: the first stage must have source actions, and only source actions", a.Name)
	}
	for _, input := range a.InputArtifacts {
		if !made[input.Name] {
			return fail("InvalidActionDeclarationException", "Action %s: input artifact %s is made by no action before it", a.Name, input.Name)
		}
	}
	for _, output := range a.OutputArtifacts {
		if made[output.Name] {
			return fail("InvalidActionDeclarationException", "Action %s: output artifact %s is made by another action", a.Name, output.Name)
		}
		made[output.Name] = true
	}
	if a.ActionTypeID.Owner != "Custom" {
		return nil
	}
	t, ok := e.actionTypes[a.ActionTypeID]
	if !ok || t.deleted {
		return fail("InvalidActionDeclarationException", "Action %s: ActionType (%s) is not available", a.Name, a.ActionTypeID)
	}
	return t.checkAction(a)
}

// checkAction holds an action against its type.
func (t *actionType) checkAction(a *actionDeclaration) error {
	if n := len(a.InputArtifacts); n < t.Inputs.MinimumCount || n > t.Inputs.MaximumCount {
		return fail("InvalidActionDeclarationException", "Action %s has %d input artifacts: its type takes %d to %d", a.Name, n, t.Inputs.MinimumCount, t.Inputs.MaximumCount)
	}
	if n := len(a.OutputArtifacts); n < t.Outputs.MinimumCount || n > t.Outputs.MaximumCount {
		return fail("InvalidActionDeclarationException", "Action %s has %d output artifacts: its type takes %d to %d", a.Name, n, t.Outputs.MinimumCount, t.Outputs.MaximumCount)
	}
	known := map[string]bool{}
	for _, p := range t.Properties {
		known[p.Name] = true
		if _, set := a.Configuration[p.Name]; p.Required && !set {
			return fail("InvalidActionDeclarationException", "Action %s: the configuration misses the required property %s", a.Name, p.Name)
		}
	}
	for name := range a.Configuration {
		if !known[name] {
			return fail("InvalidActionDeclarationException", "Action %s: the configuration has the unknown property %s", a.Name, name)
		}
	}
	return nil
}

// mask is what CodePipeline shows in place of a secret value.
const mask = "****"

// masked is a declaration as it is shown: without secret values.
func (e *Engine) masked(d declaration) declaration {
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

func (e *Engine) maskedConfiguration(id typeID, configuration map[string]string) map[string]string {
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
