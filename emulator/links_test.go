package emulator

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// linked returns an action type whose URLs begin with a property with the scheme and host.
func linked() *codepipeline.CreateCustomActionTypeInput {
	in := typeInput(types.ActionCategoryBuild, types.ActionConfigurationProperty{Name: aws.String("Host"), Required: true, Key: true})
	in.Settings = &types.ActionTypeSettings{
		EntityUrlTemplate:    aws.String("{Config:Host}/jobs"),
		ExecutionUrlTemplate: aws.String("{Config:Host}/runs/{ExternalExecutionId}"),
		RevisionUrlTemplate:  aws.String("{Config:Host}/commits/{RevisionId}"),
	}
	return in
}

// beginLinked begins a pipeline with an action of the type linked.
func (w *world) beginLinked() {
	_, err := w.pipelines.CreateCustomActionType(w.ctx, linked())
	w.Expect(err).NotTo(HaveOccurred())
	w.put(w.s3, "sources", "app.zip", "source bytes")
	_, err = w.pipelines.CreatePipeline(w.ctx, pipeline.New("p", "artifacts").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Build", pipeline.NewAction("compile", customType(types.ActionCategoryBuild)).Configure("Host", "https://ci.example:8080")).
		CreateInput())
	w.Expect(err).NotTo(HaveOccurred())
	w.start()
}

func (w *world) buildState() types.ActionState {
	state, err := w.pipelines.GetPipelineState(w.ctx, &codepipeline.GetPipelineStateInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	return state.StageStates[1].ActionStates[0]
}

func TestURLTemplatesAreFilledInAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		escape bool
		run    string
	}{
		"by default":                     {false, "https://ci.example:8080/runs/team-a/run 7"},
		"with Options.EscapeExternalIDs": {true, "https://ci.example:8080/runs/team-a%2Frun%207"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.EscapeExternalIDs = c.escape })
			w.beginLinked()
			before := w.buildState()
			w.Expect(*before.EntityUrl).To(Equal("https://ci.example:8080/jobs"))
			w.Expect(before.LatestExecution.ExternalExecutionUrl).To(BeNil(), "the external ID is not known")
			w.Expect(before.RevisionUrl).To(BeNil(), "the revision is not known")

			w.Expect(w.succeed(*w.claim(types.ActionCategoryBuild).Id, func(in *codepipeline.PutJobSuccessResultInput) {
				in.ExecutionDetails = &types.ExecutionDetails{ExternalExecutionId: aws.String("team-a/run 7")}
				in.CurrentRevision = &types.CurrentRevision{Revision: aws.String("refs/7"), ChangeIdentifier: aws.String("c")}
			})).To(Succeed())
			after := w.buildState()
			w.Expect(*after.LatestExecution.ExternalExecutionUrl).To(Equal(c.run))
			w.Expect(*after.RevisionUrl).To(Equal("https://ci.example:8080/commits/refs/7"))
			actions, err := w.pipelines.ListActionExecutions(w.ctx, &codepipeline.ListActionExecutionsInput{PipelineName: aws.String("p")})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(*actions.ActionExecutionDetails[0].Output.ExecutionResult.ExternalExecutionUrl).To(Equal(c.run))
		})
	}
}
