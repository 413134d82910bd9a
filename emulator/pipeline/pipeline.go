// Package pipeline declares pipelines of AWS CodePipeline in a few lines, for tests
// and demos:
//
//	declared := pipeline.New("app", "artifacts").
//		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
//		Stage("Build", pipeline.NewAction("compile", pipeline.CustomType("Build", "Builder", "1")).Inputs("code"))
//	_, err := client.CreatePipeline(ctx, declared.CreateInput())
//
// What it returns are the types of the AWS SDK, complete enough for the real
// service: the package knows nothing of the emulator. It is a package of its own so
// that only those who use it depend on the SDK's client of CodePipeline. It checks
// nothing; the service does.
package pipeline

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// DefaultRoleARN is the role of a pipeline without another one. It is good for the
// emulator, which assumes no role.
const DefaultRoleARN = "arn:aws:iam::111122223333:role/pipelines"

// Pipeline is the declaration of a pipeline. It is a value: each method returns a
// changed copy.
type Pipeline struct {
	name, bucket, roleARN, keyID string
	pipelineType                 types.PipelineType
	mode                         types.ExecutionMode
	variables                    []variable
	stages                       []stage
}

type variable struct{ name, value string }

type stage struct {
	name    string
	actions []Action
}

// New returns a pipeline of type V2, without stages, that keeps its artifacts in an
// S3 bucket. The service wants two stages at least, the first of which has source
// actions only.
func New(name, bucket string) Pipeline {
	return Pipeline{name: name, bucket: bucket, roleARN: DefaultRoleARN, pipelineType: types.PipelineTypeV2}
}

// Stage adds a stage. Its actions run side by side unless Action.RunOrder says
// otherwise.
func (p Pipeline) Stage(name string, actions ...Action) Pipeline {
	p.stages = append(slices.Clip(p.stages), stage{name, slices.Clone(actions)})
	return p
}

// Role sets the ARN of the role that the service assumes, DefaultRoleARN otherwise.
func (p Pipeline) Role(arn string) Pipeline {
	p.roleARN = arn
	return p
}

// Type sets the pipeline's type.
func (p Pipeline) Type(t types.PipelineType) Pipeline {
	p.pipelineType = t
	return p
}

// Mode sets the execution mode, SUPERSEDED otherwise.
func (p Pipeline) Mode(mode types.ExecutionMode) Pipeline {
	p.mode = mode
	return p
}

// Variable adds a variable of the pipeline. Without a default value, an empty string,
// each execution must be started with one.
func (p Pipeline) Variable(name, defaultValue string) Pipeline {
	p.variables = append(slices.Clip(p.variables), variable{name, defaultValue})
	return p
}

// EncryptionKey sets the ID or ARN of the KMS key by which artifacts are encrypted,
// AWS's own otherwise.
func (p Pipeline) EncryptionKey(id string) Pipeline {
	p.keyID = id
	return p
}

// Declaration returns the pipeline as CreatePipeline and UpdatePipeline take it. Each
// call returns a new one, which the caller may change.
func (p Pipeline) Declaration() *types.PipelineDeclaration {
	declared := &types.PipelineDeclaration{
		Name: aws.String(p.name), RoleArn: aws.String(p.roleARN), PipelineType: p.pipelineType, ExecutionMode: p.mode,
		ArtifactStore: &types.ArtifactStore{Type: types.ArtifactStoreTypeS3, Location: aws.String(p.bucket)},
	}
	if p.keyID != "" {
		declared.ArtifactStore.EncryptionKey = &types.EncryptionKey{Id: aws.String(p.keyID), Type: types.EncryptionKeyTypeKms}
	}
	for _, v := range p.variables {
		declared.Variables = append(declared.Variables, types.PipelineVariableDeclaration{Name: aws.String(v.name), DefaultValue: optional(v.value)})
	}
	for _, s := range p.stages {
		actions := make([]types.ActionDeclaration, len(s.actions))
		for i, a := range s.actions {
			actions[i] = a.Declaration()
		}
		declared.Stages = append(declared.Stages, types.StageDeclaration{Name: aws.String(s.name), Actions: actions})
	}
	return declared
}

// CreateInput returns the request that creates the pipeline.
func (p Pipeline) CreateInput(tags ...types.Tag) *codepipeline.CreatePipelineInput {
	return &codepipeline.CreatePipelineInput{Pipeline: p.Declaration(), Tags: slices.Clone(tags)}
}

// CustomType returns the ID of a custom action type, which actions, workers and
// PollForJobs name.
func CustomType(category types.ActionCategory, provider, version string) *types.ActionTypeId {
	return typeID(category, types.ActionOwnerCustom, provider, version)
}

func typeID(category types.ActionCategory, owner types.ActionOwner, provider, version string) *types.ActionTypeId {
	return &types.ActionTypeId{Category: category, Owner: owner, Provider: aws.String(provider), Version: aws.String(version)}
}

// Action is the declaration of an action. It is a value: each method returns a
// changed copy.
type Action struct {
	name, namespace string
	typeID          types.ActionTypeId
	configuration   map[string]string
	inputs, outputs []string
	runOrder        int32
}

// NewAction returns an action of any type: see CustomType. With a nil ID, the type is
// left empty, which the service refuses.
func NewAction(name string, id *types.ActionTypeId) Action {
	if id == nil {
		id = &types.ActionTypeId{}
	}
	return Action{name: name, typeID: copyID(*id)}
}

// S3Source returns a source action that takes an object of S3, when an execution
// starts. Outputs names its artifact.
func S3Source(name, bucket, key string) Action {
	return NewAction(name, typeID(types.ActionCategorySource, types.ActionOwnerAws, "S3", "1")).
		Configure("S3Bucket", bucket).Configure("S3ObjectKey", key)
}

// ManualApproval returns an action that waits for PutApprovalResult.
func ManualApproval(name string) Action {
	return NewAction(name, typeID(types.ActionCategoryApproval, types.ActionOwnerAws, "Manual", "1"))
}

// Configure sets a configuration property. The value may refer to variables, such as
// "#{build.TAG}".
func (a Action) Configure(property, value string) Action {
	configuration := map[string]string{}
	maps.Copy(configuration, a.configuration)
	configuration[property] = value
	a.configuration = configuration
	return a
}

// Inputs adds the names of input artifacts.
func (a Action) Inputs(artifacts ...string) Action {
	a.inputs = append(slices.Clip(a.inputs), artifacts...)
	return a
}

// Outputs adds the names of output artifacts.
func (a Action) Outputs(artifacts ...string) Action {
	a.outputs = append(slices.Clip(a.outputs), artifacts...)
	return a
}

// Namespace sets the name by which later actions refer to the action's output
// variables.
func (a Action) Namespace(name string) Action {
	a.namespace = name
	return a
}

// RunOrder sets when the action runs within its stage, from 1: after all actions of
// lower orders have succeeded. Actions of the same order run side by side.
func (a Action) RunOrder(order int32) Action {
	a.runOrder = order
	return a
}

// Declaration returns the action as the SDK has it. Each call returns a new one.
func (a Action) Declaration() types.ActionDeclaration {
	id := copyID(a.typeID)
	declared := types.ActionDeclaration{
		Name: aws.String(a.name), ActionTypeId: &id, Configuration: maps.Clone(a.configuration), Namespace: optional(a.namespace),
	}
	for _, name := range a.inputs {
		declared.InputArtifacts = append(declared.InputArtifacts, types.InputArtifact{Name: aws.String(name)})
	}
	for _, name := range a.outputs {
		declared.OutputArtifacts = append(declared.OutputArtifacts, types.OutputArtifact{Name: aws.String(name)})
	}
	if a.runOrder != 0 {
		declared.RunOrder = aws.Int32(a.runOrder)
	}
	return declared
}

// copyID returns an ID that shares no pointer with the given one.
func copyID(id types.ActionTypeId) types.ActionTypeId {
	id.Provider, id.Version = aws.String(aws.ToString(id.Provider)), aws.String(aws.ToString(id.Version))
	return id
}

// optional returns nil for an empty string.
func optional(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}
