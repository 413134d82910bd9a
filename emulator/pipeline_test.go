package emulator

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

func TestPipelinePassesBytesFromSourceToTest(t *testing.T) {
	w := newWorld(t)
	id := w.begin()
	build := w.claim(types.ActionCategoryBuild)
	client := w.s3Of(build.Data)
	source, code := w.readPlace(client, build.Data.InputArtifacts[0])
	w.Expect(source + code).To(Equal("source bytes"))
	w.Expect(w.upload(client, build.Data.OutputArtifacts[0], source+", compiled")).To(Succeed())
	_, err := w.pipelines.PutJobSuccessResult(w.ctx, &codepipeline.PutJobSuccessResultInput{JobId: build.Id, ContinuationToken: aws.String("half"),
		ExecutionDetails: &types.ExecutionDetails{PercentComplete: aws.Int32(50), Summary: aws.String("half"), ExternalExecutionId: aws.String("x")}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.poll(types.ActionCategoryBuild)).To(BeEmpty())
	w.clock.Step(5 * time.Second)
	next := w.claim(types.ActionCategoryBuild)
	w.Expect(*next.Data.ContinuationToken).To(Equal("half"))
	_, err = w.pipelines.PutJobSuccessResult(w.ctx, &codepipeline.PutJobSuccessResultInput{JobId: next.Id, OutputVariables: map[string]string{"tag": "v7"}})
	w.Expect(err).NotTo(HaveOccurred())

	check := w.claim(types.ActionCategoryTest)
	w.Expect(check.Data.ActionConfiguration.Configuration).To(Equal(map[string]string{"Tag": "v7", "Token": secretValue}))
	binary, code := w.readPlace(w.s3Of(check.Data), check.Data.InputArtifacts[0])
	w.Expect(binary + code).To(Equal("source bytes, compiled"))
	_, err = w.pipelines.PutJobSuccessResult(w.ctx, &codepipeline.PutJobSuccessResultInput{JobId: check.Id})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.status(id)).To(Equal(types.PipelineExecutionStatusSucceeded))
	w.expectJournalOfModelledErrors()
	w.expectNoSecretInJournal()
}

func (w *world) expectNoSecretInJournal() {
	journal := w.emulator.Journal()
	text, err := json.Marshal(journal)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(text)).NotTo(ContainSubstring(secretValue))
}

// expectJournalOfModelledErrors finds errors that the model does not have.
func (w *world) expectJournalOfModelledErrors() {
	for _, call := range w.emulator.Journal() {
		if call.Error != "" {
			w.Expect(w.emulator.model.Operations[call.Operation].Errors).To(ContainElement(call.Error), call.Operation)
		}
	}
}

const nowhere = "00000000-0000-4000-8000-000000000000"

func TestApproval(t *testing.T) {
	w := newWorld(t)
	id := w.begin(func(d *types.PipelineDeclaration) {
		d.Stages = d.Stages[:2]
		d.Stages[1].Actions = []types.ActionDeclaration{pipeline.ManualApproval("ok").Declaration()}
	})
	state, err := w.pipelines.GetPipelineState(w.ctx, &codepipeline.GetPipelineStateInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	answer, err := w.pipelines.PutApprovalResult(w.ctx, &codepipeline.PutApprovalResultInput{
		PipelineName: aws.String("p"), StageName: aws.String("Build"), ActionName: aws.String("ok"),
		Token:  state.StageStates[1].ActionStates[0].LatestExecution.Token,
		Result: &types.ApprovalResult{Status: types.ApprovalStatusApproved, Summary: aws.String("")},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*answer.ApprovedAt).To(BeTemporally("~", w.clock.Now(), time.Millisecond))
	w.Expect(w.status(id)).To(Equal(types.PipelineExecutionStatusSucceeded))
}
