package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
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

// expectJournalOfModelledErrors finds answers that the model does not have.
func (w *world) expectJournalOfModelledErrors() {
	for _, call := range w.emulator.Journal() {
		if call.Error != "" {
			w.Expect(w.emulator.model.Operations[call.Operation].Errors).To(ContainElement(call.Error), call.Operation)
		}
	}
}

const nowhere = "00000000-0000-4000-8000-000000000000"

// TestOperations does each operation well, and gets each of its errors that can
// be had.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	c, ctx, p := w.pipelines, w.ctx, aws.String("p")
	id := w.begin()
	ok := func(_ any, err error) { t.Helper(); w.Expect(err).NotTo(HaveOccurred()) }
	is := func(code string) func(any, error) {
		return func(_ any, err error) { t.Helper(); w.expectCode(err, code) }
	}
	none, absent := aws.String("none"), aws.String(nowhere)

	ok(c.ListActionTypes(ctx, &codepipeline.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom}))
	is("InvalidNextTokenException")(c.ListActionTypes(ctx, &codepipeline.ListActionTypesInput{NextToken: none}))
	ok(c.ListPipelines(ctx, &codepipeline.ListPipelinesInput{MaxResults: aws.Int32(1)}))
	ok(c.GetPipeline(ctx, &codepipeline.GetPipelineInput{Name: p, Version: aws.Int32(1)}))
	is("PipelineNotFoundException")(c.GetPipeline(ctx, &codepipeline.GetPipelineInput{Name: none}))
	is("PipelineVersionNotFoundException")(c.GetPipeline(ctx, &codepipeline.GetPipelineInput{Name: p, Version: aws.Int32(9)}))
	ok(c.GetPipelineState(ctx, &codepipeline.GetPipelineStateInput{Name: p}))
	is("PipelineNotFoundException")(c.GetPipelineState(ctx, &codepipeline.GetPipelineStateInput{Name: none}))
	w.Expect(w.status(id)).To(Equal(types.PipelineExecutionStatusInProgress))
	is("PipelineExecutionNotFoundException")(c.GetPipelineExecution(ctx, &codepipeline.GetPipelineExecutionInput{PipelineName: p, PipelineExecutionId: absent}))
	ok(c.ListPipelineExecutions(ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: p}))
	ok(c.ListActionExecutions(ctx, &codepipeline.ListActionExecutionsInput{PipelineName: p, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &id}}))
	is("PipelineNameInUseException")(c.CreatePipeline(ctx, &codepipeline.CreatePipelineInput{Pipeline: pipeline()}))
	broken := pipeline()
	broken.Name, broken.Stages = aws.String("q"), broken.Stages[:1]
	is("InvalidStructureException")(c.CreatePipeline(ctx, &codepipeline.CreatePipelineInput{Pipeline: broken}))
	ok(c.UpdatePipeline(ctx, &codepipeline.UpdatePipelineInput{Pipeline: pipeline()}))
	is("PipelineNotFoundException")(c.StartPipelineExecution(ctx, &codepipeline.StartPipelineExecutionInput{Name: none}))

	is("JobNotFoundException")(c.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: absent, Nonce: none}))
	j := w.poll(types.ActionCategoryBuild)[0]
	is("InvalidNonceException")(c.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: none}))
	ok(c.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: j.Nonce}))
	ok(c.GetJobDetails(ctx, &codepipeline.GetJobDetailsInput{JobId: j.Id}))
	is("JobNotFoundException")(c.GetJobDetails(ctx, &codepipeline.GetJobDetailsInput{JobId: absent}))
	large := map[string]string{"k": strings.Repeat("x", 122880)}
	is("OutputVariablesSizeExceededException")(c.PutJobSuccessResult(ctx, &codepipeline.PutJobSuccessResultInput{JobId: j.Id, OutputVariables: large}))
	failure := &types.FailureDetails{Type: types.FailureTypeJobFailed, Message: aws.String("broken")}
	ok(c.PutJobFailureResult(ctx, &codepipeline.PutJobFailureResultInput{JobId: j.Id, FailureDetails: failure}))
	is("InvalidJobStateException")(c.PutJobFailureResult(ctx, &codepipeline.PutJobFailureResultInput{JobId: j.Id, FailureDetails: failure}))
	is("InvalidJobStateException")(c.PutJobSuccessResult(ctx, &codepipeline.PutJobSuccessResultInput{JobId: j.Id}))
	is("ActionTypeNotFoundException")(c.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(types.ActionCategoryDeploy)}))
	is("ValidationException")(c.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(types.ActionCategoryBuild), QueryParam: map[string]string{"a": "b"}}))

	retry := &codepipeline.RetryStageExecutionInput{PipelineName: p, StageName: aws.String("Build"), PipelineExecutionId: &id, RetryMode: types.StageRetryModeFailedActions}
	ok(c.RetryStageExecution(ctx, retry))
	is("StageNotRetryableException")(c.RetryStageExecution(ctx, retry))
	ok(c.PutJobSuccessResult(ctx, &codepipeline.PutJobSuccessResultInput{JobId: w.claim(types.ActionCategoryBuild).Id, ContinuationToken: none}))
	stop := &codepipeline.StopPipelineExecutionInput{PipelineName: p, PipelineExecutionId: &id}
	ok(c.StopPipelineExecution(ctx, stop))
	is("DuplicatedStopRequestException")(c.StopPipelineExecution(ctx, stop))
	stop.Abandon = true
	ok(c.StopPipelineExecution(ctx, stop))
	is("PipelineExecutionNotStoppableException")(c.StopPipelineExecution(ctx, stop))
	is("StageNotFoundException")(c.PutApprovalResult(ctx, &codepipeline.PutApprovalResultInput{PipelineName: p, StageName: none, ActionName: none, Token: absent,
		Result: &types.ApprovalResult{Status: types.ApprovalStatusApproved, Summary: aws.String("")}}))

	arn := aws.String("arn:aws:codepipeline:us-east-1:111122223333:p")
	ok(c.TagResource(ctx, &codepipeline.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: none, Value: none}}}))
	ok(c.ListTagsForResource(ctx, &codepipeline.ListTagsForResourceInput{ResourceArn: arn}))
	ok(c.UntagResource(ctx, &codepipeline.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"none"}}))
	is("ResourceNotFoundException")(c.ListTagsForResource(ctx, &codepipeline.ListTagsForResourceInput{ResourceArn: aws.String(*arn + "x")}))
	ok(c.DeletePipeline(ctx, &codepipeline.DeletePipelineInput{Name: p}))
	ok(c.DeleteCustomActionType(ctx, &codepipeline.DeleteCustomActionTypeInput{Category: types.ActionCategoryTest, Provider: aws.String("worker"), Version: aws.String("1")}))
	is("ValidationException")(c.CreateCustomActionType(ctx, typeInput(types.ActionCategoryTest))) // another definition
	w.expectJournalOfModelledErrors()
	w.expectNoSecretInJournal()
	seen := map[string]bool{}
	for _, call := range w.emulator.Journal() {
		seen[call.Operation] = seen[call.Operation] || call.Error == ""
	}
	seen["PutApprovalResult"] = true // by the test of approvals
	for name := range w.emulator.model.Operations {
		w.Expect(seen[name]).To(BeTrue(), "%s was not done well", name)
	}
}

func TestApproval(t *testing.T) {
	w := newWorld(t)
	id := w.begin(func(d *types.PipelineDeclaration) {
		d.Stages = d.Stages[:2]
		d.Stages[1].Actions = []types.ActionDeclaration{{Name: aws.String("ok"), ActionTypeId: &types.ActionTypeId{
			Category: types.ActionCategoryApproval, Owner: types.ActionOwnerAws, Provider: aws.String("Manual"), Version: aws.String("1")}}}
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
