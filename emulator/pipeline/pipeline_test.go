package pipeline_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

var builder = pipeline.CustomType(types.ActionCategoryBuild, "Builder", "1")

func TestAnActionWithoutATypeIsDeclared(t *testing.T) {
	g := NewWithT(t)
	declared := pipeline.NewAction("x", nil).Declaration()
	g.Expect(declared.ActionTypeId).To(Equal(&types.ActionTypeId{Provider: aws.String(""), Version: aws.String("")}))
}

func TestDeclarationHasEverything(t *testing.T) {
	g := NewWithT(t)
	tag := types.Tag{Key: aws.String("team"), Value: aws.String("a")}
	input := pipeline.New("app", "artifacts").
		Role("arn:aws:iam::444455556666:role/r").EncryptionKey("key-1").Mode(types.ExecutionModeParallel).
		Variable("level", "low").Variable("target", "").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Build",
			pipeline.NewAction("compile", builder).Namespace("built").RunOrder(2).Configure("Level", "#{variables.level}").Inputs("code").Outputs("app", "docs"),
			pipeline.ManualApproval("ask")).
		CreateInput(tag)
	g.Expect(input.Tags).To(Equal([]types.Tag{tag}))
	g.Expect(input.Pipeline).To(Equal(&types.PipelineDeclaration{
		Name: aws.String("app"), RoleArn: aws.String("arn:aws:iam::444455556666:role/r"),
		PipelineType: types.PipelineTypeV2, ExecutionMode: types.ExecutionModeParallel,
		ArtifactStore: &types.ArtifactStore{
			Type: types.ArtifactStoreTypeS3, Location: aws.String("artifacts"),
			EncryptionKey: &types.EncryptionKey{Id: aws.String("key-1"), Type: types.EncryptionKeyTypeKms},
		},
		Variables: []types.PipelineVariableDeclaration{{Name: aws.String("level"), DefaultValue: aws.String("low")}, {Name: aws.String("target")}},
		Stages: []types.StageDeclaration{
			{Name: aws.String("Source"), Actions: []types.ActionDeclaration{{
				Name:            aws.String("fetch"),
				ActionTypeId:    &types.ActionTypeId{Category: types.ActionCategorySource, Owner: types.ActionOwnerAws, Provider: aws.String("S3"), Version: aws.String("1")},
				Configuration:   map[string]string{"S3Bucket": "sources", "S3ObjectKey": "app.zip"},
				OutputArtifacts: []types.OutputArtifact{{Name: aws.String("code")}},
			}}},
			{Name: aws.String("Build"), Actions: []types.ActionDeclaration{
				{
					Name:            aws.String("compile"),
					ActionTypeId:    &types.ActionTypeId{Category: types.ActionCategoryBuild, Owner: types.ActionOwnerCustom, Provider: aws.String("Builder"), Version: aws.String("1")},
					Configuration:   map[string]string{"Level": "#{variables.level}"},
					InputArtifacts:  []types.InputArtifact{{Name: aws.String("code")}},
					OutputArtifacts: []types.OutputArtifact{{Name: aws.String("app")}, {Name: aws.String("docs")}},
					Namespace:       aws.String("built"), RunOrder: aws.Int32(2),
				},
				{
					Name:         aws.String("ask"),
					ActionTypeId: &types.ActionTypeId{Category: types.ActionCategoryApproval, Owner: types.ActionOwnerAws, Provider: aws.String("Manual"), Version: aws.String("1")},
				},
			}},
		},
	}))
}

func TestValuesDoNotChange(t *testing.T) {
	g := NewWithT(t)
	action := pipeline.NewAction("a", builder).Configure("k", "v").Inputs("one").Outputs("one")
	base := pipeline.New("p", "b").Stage("S", action).Variable("v", "1")
	before := base.Declaration()

	_ = action.Configure("k", "changed").Inputs("two").Outputs("two").Namespace("n").RunOrder(3)
	first, second := base.Stage("First", action).Variable("first", ""), base.Stage("Second", action).Variable("second", "")
	g.Expect(*first.Declaration().Stages[1].Name + *second.Declaration().Stages[1].Name).To(Equal("FirstSecond"))
	g.Expect(*first.Declaration().Variables[1].Name + *second.Declaration().Variables[1].Name).To(Equal("firstsecond"))
	changed := base.Declaration()
	*changed.Name, *changed.Stages[0].Actions[0].ActionTypeId.Provider = "changed", "changed"
	changed.Stages[0].Actions[0].Configuration["k"] = "changed"
	g.Expect(base.Declaration()).To(Equal(before))
	g.Expect(*builder.Provider).To(Equal("Builder"))
}

func TestEmulatorTakesTheDeclaration(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{CreateOnly: true})
	client := newClient(server)
	created, err := client.CreatePipeline(t.Context(), pipeline.New("app", "artifacts").
		Type(types.PipelineTypeV1).
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Approve", pipeline.ManualApproval("ask")).
		CreateInput())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(created.Pipeline.PipelineType).To(Equal(types.PipelineTypeV1))
}
