package engine

import (
	"cmp"
	"slices"
	"time"
)

// pipeline is a declaration and its executions.
type pipeline struct {
	declaration Declaration
	created     time.Time
	updated     time.Time
	// versions are the previous declarations, oldest first.
	versions []Declaration
	tags     map[string]string
	// executions are in order, oldest first. live are those that have not ended.
	executions, live []*execution
	// touched is true if the pipeline is in the engine's list of touched ones.
	touched bool
}

// maxVersions bounds the earlier versions that a pipeline keeps.
const maxVersions = 100

// PipelineRequest is that of CreatePipeline and UpdatePipeline.
type PipelineRequest struct {
	Pipeline Declaration `json:"pipeline"`
	Tags     []Tag       `json:"tags"`
}

// PipelineResponse is that of CreatePipeline, UpdatePipeline and GetPipeline.
type PipelineResponse struct {
	Pipeline Declaration       `json:"pipeline"`
	Metadata *PipelineMetadata `json:"metadata,omitempty"`
	Tags     []Tag             `json:"tags,omitempty"`
}

// PipelineMetadata has the ARN and the times of a pipeline.
type PipelineMetadata struct {
	ARN     string  `json:"pipelineArn"`
	Created float64 `json:"created"`
	Updated float64 `json:"updated"`
}

// CreatePipeline creates a pipeline and starts it once, unless its variables need values or the
// options forbid it.
func (e *Engine) CreatePipeline(r PipelineRequest) (*PipelineResponse, error) {
	defer e.enter()()
	if _, ok := e.pipelines[r.Pipeline.Name]; ok {
		return nil, fail("PipelineNameInUseException", "A pipeline with name '%s' already exists", r.Pipeline.Name)
	}
	tags, err := tagged(nil, r.Tags)
	if err != nil {
		return nil, err
	}
	if len(e.pipelines) >= maxPipelines {
		return nil, fail("LimitExceededException", "The account has reached its limit of %d pipelines", maxPipelines)
	}
	made, err := e.complete(r.Pipeline)
	if err != nil {
		return nil, err
	}
	if err := e.keepSecrets(made, nil); err != nil {
		return nil, err
	}
	made.Version = 1
	now := e.now()
	p := &pipeline{declaration: made, tags: tags, created: now, updated: now}
	e.pipelines[made.Name] = p
	if variables, err := made.variables(StartRequest{}); err == nil && !e.options.CreateOnly {
		e.begin(p, &execution{variables: variables, trigger: e.triggered("CreatePipeline")})
	}
	return &PipelineResponse{Pipeline: e.masked(made), Tags: listed(tags)}, nil
}

// UpdatePipeline replaces a pipeline's declaration. Running executions continue with the
// declaration with which they started, unless their running action was removed.
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
	if err := e.keepSecrets(made, &known.declaration); err != nil {
		return nil, err
	}
	made.Version = known.declaration.Version + 1
	known.versions = append(known.versions, known.declaration)
	known.versions = known.versions[max(0, len(known.versions)-maxVersions):]
	known.declaration, known.updated = made, e.now()
	e.cancelRemoved(known)
	e.advance()
	return &PipelineResponse{Pipeline: e.masked(made)}, nil
}

// NameRequest names a pipeline.
type NameRequest struct {
	Name string `json:"name"`
}

// GetPipelineRequest is that of GetPipeline.
type GetPipelineRequest struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// GetPipeline returns a pipeline's declaration: the newest one, or that of a version.
func (e *Engine) GetPipeline(r GetPipelineRequest) (*PipelineResponse, error) {
	defer e.enter()()
	known, err := e.pipeline(r.Name)
	if err != nil {
		return nil, err
	}
	declared, err := known.version(r.Version)
	if err != nil {
		return nil, err
	}
	return &PipelineResponse{Pipeline: e.masked(declared), Metadata: &PipelineMetadata{
		ARN: e.pipelineARN(r.Name), Created: epoch(known.created), Updated: epoch(known.updated),
	}}, nil
}

func (p *pipeline) version(number int) (Declaration, error) {
	if number == 0 || number == p.declaration.Version {
		return p.declaration, nil
	}
	for _, earlier := range p.versions {
		if earlier.Version == number {
			return earlier, nil
		}
	}
	return Declaration{}, fail("PipelineVersionNotFoundException", "Pipeline '%s' does not have a version %d", p.declaration.Name, number)
}

// DeletePipeline deletes a pipeline. It is not an error if it does not exist.
func (e *Engine) DeletePipeline(r NameRequest) (*struct{}, error) {
	defer e.enter()()
	if known, ok := e.pipelines[r.Name]; ok {
		for _, x := range known.live {
			x.abandon(e)
		}
	}
	delete(e.pipelines, r.Name)
	return nil, nil
}

// ListPipelinesRequest is that of ListPipelines.
type ListPipelinesRequest struct{ page }

// ListPipelinesResponse is that of ListPipelines.
type ListPipelinesResponse struct {
	Pipelines []PipelineSummary `json:"pipelines"`
	NextToken string            `json:"nextToken,omitempty"`
}

// PipelineSummary is a pipeline as ListPipelines returns it.
type PipelineSummary struct {
	Name          string  `json:"name"`
	Version       int     `json:"version"`
	PipelineType  string  `json:"pipelineType"`
	ExecutionMode string  `json:"executionMode"`
	Created       float64 `json:"created"`
	Updated       float64 `json:"updated"`
}

// ListPipelines lists all pipelines.
func (e *Engine) ListPipelines(r ListPipelinesRequest) (*ListPipelinesResponse, error) {
	defer e.enter()()
	list := []PipelineSummary{}
	for _, p := range e.pipelines {
		d := p.declaration
		list = append(list, PipelineSummary{d.Name, d.Version, d.PipelineType, d.ExecutionMode, epoch(p.created), epoch(p.updated)})
	}
	slices.SortFunc(list, func(a, b PipelineSummary) int { return cmp.Compare(a.Name, b.Name) })
	list, next, err := paged(r.page, list, 1000)
	if err != nil {
		return nil, err
	}
	return &ListPipelinesResponse{list, next}, nil
}

func (e *Engine) pipeline(name string) (*pipeline, error) {
	if known, ok := e.pipelines[name]; ok {
		return known, nil
	}
	return nil, fail("PipelineNotFoundException", "Account '%s' does not have a pipeline with name '%s'", e.options.AccountID, name)
}
