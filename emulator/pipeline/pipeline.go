// Package pipeline declares pipelines of AWS CodePipeline in a few lines, for tests
// and demos:
//
//	declared := pipeline.New("app", "artifacts").
//		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
//		Stage("Build", pipeline.NewAction("compile", pipeline.CustomType("Build", "Builder", "1")).Inputs("code"))
//	_, err := client.CreatePipeline(ctx, declared.CreateInput())
//
// It returns types of the AWS SDK, which also work with the real service: the package does not
// depend on the emulator. It is a separate package, so that only its users depend on the SDK's
// CodePipeline client. It does not validate anything, because the service does.
package pipeline

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// DefaultRoleARN is a pipeline's default role. It suffices for the emulator, which does not assume
// it.
const DefaultRoleARN = "arn:aws:iam::111122223333:role/pipelines"

// Pipeline declares a pipeline. It is a value: each method returns a changed copy.
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

// New returns a pipeline of type V2, without stages, whose artifacts are in an S3 bucket. The
// service requires at least two stages, the first of which must only have source actions.
func New(name, bucket string) Pipeline {
	return Pipeline{name: name, bucket: bucket, roleARN: DefaultRoleARN, pipelineType: types.PipelineTypeV2}
}

// Stage adds a stage. Its actions run in parallel, unless Action.RunOrder sets an order.
func (p Pipeline) Stage(name string, actions ...Action) Pipeline {
	p.stages = append(slices.Clip(p.stages), stage{name, slices.Clone(actions)})
	return p
}

// Role sets the ARN of the role that the service assumes. The default is DefaultRoleARN.
func (p Pipeline) Role(arn string) Pipeline {
	p.roleARN = arn
	return p
}

// Type sets the pipeline's type.
func (p Pipeline) Type(t types.PipelineType) Pipeline {
	p.pipelineType = t
	return p
}

// Mode sets the execution mode. The default is SUPERSEDED.
func (p Pipeline) Mode(mode types.ExecutionMode) Pipeline {
	p.mode = mode
	return p
}

// Variable adds a variable. If defaultValue is empty, each execution must be started with a value.
func (p Pipeline) Variable(name, defaultValue string) Pipeline {
	p.variables = append(slices.Clip(p.variables), variable{name, defaultValue})
	return p
}

// EncryptionKey sets the ID or ARN of the KMS key that encrypts artifacts. The default is AWS's own
// key.
func (p Pipeline) EncryptionKey(id string) Pipeline {
	p.keyID = id
	return p
}

// Declaration returns the pipeline for CreatePipeline and UpdatePipeline. Each call returns a new
// one, which the caller may change.
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

// CustomType returns the ID of a custom action type, for actions, workers and PollForJobs.
func CustomType(category types.ActionCategory, provider, version string) *types.ActionTypeId {
	return typeID(category, types.ActionOwnerCustom, provider, version)
}

func typeID(category types.ActionCategory, owner types.ActionOwner, provider, version string) *types.ActionTypeId {
	return &types.ActionTypeId{Category: category, Owner: owner, Provider: aws.String(provider), Version: aws.String(version)}
}

// Action declares an action. It is a value: each method returns a changed copy.
type Action struct {
	name, namespace string
	typeID          types.ActionTypeId
	configuration   map[string]string
	inputs, outputs []string
	runOrder        int32
}

// NewAction returns an action of any type: see CustomType. If id is nil, the type is empty, which
// the service refuses.
func NewAction(name string, id *types.ActionTypeId) Action {
	if id == nil {
		id = &types.ActionTypeId{}
	}
	return Action{name: name, typeID: copyID(*id)}
}

// S3Source returns a source action that reads an S3 object when an execution starts. Outputs sets
// its artifact.
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

// RunOrder sets the action's order in its stage, from 1. The action runs after all actions with
// lower orders have succeeded. Actions with the same order run in parallel.
func (a Action) RunOrder(order int32) Action {
	a.runOrder = order
	return a
}

// Declaration returns the action as the SDK's type. Each call returns a new one.
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

// copyID returns a copy that shares no pointers with the ID.
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
