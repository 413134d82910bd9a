package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
)

// suite makes a client call all operations, with success and with errors.
type suite struct {
	*world
	console
	dir string
	// executions for later parts: one that succeeded and one that was stopped.
	done, stopped string
}

func (w *world) runSuite(c console, dir string) {
	s := &suite{world: w, console: c, dir: dir}
	s.bringSource()
	s.makeActionTypes()
	s.fillActionTypes()
	s.makePipelines()
	s.changePipelines()
	s.tagResources()
	job := s.claimFirstJob()
	s.failContinuedJob(job)
	s.retryAndSucceed()
	s.approve()
	s.stop()
	s.listExecutions()
	s.listActions()
	s.deleteAll()
	s.expectAllOperations()
}

// ok makes a call that must succeed, and reads the response into response unless that is nil.
func (s *suite) ok(response any, operation, format string, values ...any) {
	s.t.Helper()
	s.Expect(s.call(operation, fmt.Sprintf(format, values...), response)).To(Succeed())
}

// refusal is a call that must fail.
type refusal struct{ code, operation, request string }

func bad(code, operation, format string, values ...any) refusal {
	return refusal{code, operation, fmt.Sprintf(format, values...)}
}

// refused makes calls that change nothing, a few concurrently because the AWS CLI starts slowly.
func (s *suite) refused(calls ...refusal) {
	s.t.Helper()
	answers := make([]error, len(calls))
	var group errgroup.Group
	group.SetLimit(4)
	for i, c := range calls {
		group.Go(func() error {
			answers[i] = s.call(c.operation, c.request, nil)
			return nil
		})
	}
	s.Expect(group.Wait()).To(Succeed())
	for i, c := range calls {
		s.Expect(answers[i]).To(HaveOccurred(), "%s %s", c.operation, c.request)
		s.Expect(codeOf(answers[i])).To(Equal(c.code), "%s %s: %v", c.operation, c.request, answers[i])
	}
}

// pages reads all pages of a list. The AWS CLI returns them as a single one.
func pages[Page any](s *suite, operation, members string, next func(Page) *string) (all []Page) {
	s.t.Helper()
	for token, first := (*string)(nil), true; first || token != nil; first = false {
		request := members
		if token != nil {
			request = fmt.Sprintf(`%s, "nextToken": %q`, members, *token)
		}
		var page Page
		s.ok(&page, operation, `{%s}`, request)
		all, token = append(all, page), next(page)
	}
	return all
}

func (s *suite) bringSource() {
	file := filepath.Join(s.dir, "app.zip")
	s.Expect(os.WriteFile(file, []byte("by hand"), 0o600)).To(Succeed())
	s.Expect(s.makeBucket("made-by-hand")).To(Succeed())
	s.Expect(s.copyFile(file, "made-by-hand", "app.zip")).To(Succeed())
}

const (
	buildType = `{"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}`
	noDetails = `"inputArtifactDetails": {"minimumCount": 0, "maximumCount": 0}, "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 0}`
)

// tags returns n tags as JSON.
func tags(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"key": "k%d", "value": ""}`, i)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func (s *suite) makeActionTypes() {
	const create, named = "CreateCustomActionType", `{"category": "Build", "provider": "worker", "version": %q, ` + noDetails + `, "tags": %s}`
	var made codepipeline.CreateCustomActionTypeOutput
	s.ok(&made, create, `{"category": "Build", "provider": "worker", "version": "1",
		"settings": {"entityUrlTemplate": "https://ci.example/{Config:Level}", "executionUrlTemplate": "https://ci.example/runs/{ExternalExecutionId}",
			"revisionUrlTemplate": "https://ci.example/revisions"},
		"configurationProperties": [
			{"name": "Level", "required": true, "key": true, "secret": false, "queryable": true, "description": "of care", "type": "String"},
			{"name": "Token", "required": false, "key": false, "secret": true}],
		"inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}, "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
		"tags": [{"key": "team", "value": "a"}]}`)
	s.Expect(made.ActionType.Id).To(Equal(customType(types.ActionCategoryBuild)))
	s.Expect(made.ActionType.ActionConfigurationProperties).To(HaveLen(2))
	s.Expect(*made.ActionType.Settings.RevisionUrlTemplate).To(Equal("https://ci.example/revisions"))
	s.Expect(made.Tags).To(Equal([]types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}))
	s.ok(nil, create, named, "old", `[]`)
	s.ok(nil, "DeleteCustomActionType", `{"category": "Build", "provider": "worker", "version": "old"}`)
	s.refused(
		bad("ValidationException", create, named, "1", `[]`),
		bad("ValidationException", create, named, "bad name!", `[]`),
		bad("TooManyTagsException", create, named, "2", tags(51)),
		bad("InvalidTagsException", create, named, "2", `[{"key": "aws:x", "value": "y"}]`),
		bad("ValidationException", "DeleteCustomActionType", `{"category": "Build", "provider": "bad name!", "version": "1"}`),
	)
}

// fillActionTypes creates as many action types as an account may have, which is more than a page.
func (s *suite) fillActionTypes() {
	for i := range 49 {
		input := typeInput(types.ActionCategoryInvoke)
		input.Version = aws.String(fmt.Sprintf("v%d", i))
		_, err := s.pipelines.CreateCustomActionType(s.ctx, input)
		s.Expect(err).NotTo(HaveOccurred())
	}
	all := []types.ActionType{}
	for _, page := range pages(s, "ListActionTypes", `"actionOwnerFilter": "Custom"`, func(o codepipeline.ListActionTypesOutput) *string { return o.NextToken }) {
		all = append(all, page.ActionTypes...)
	}
	s.Expect(all).To(HaveLen(50))
	s.refused(
		bad("LimitExceededException", "CreateCustomActionType", `{"category": "Test", "provider": "worker", "version": "1", %s}`, noDetails),
		bad("InvalidNextTokenException", "ListActionTypes", `{"nextToken": "none"}`),
	)
}

const (
	sourceStage = `{"name": "Source", "actions": [{"name": "fetch", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
		"configuration": {"S3Bucket": "made-by-hand", "S3ObjectKey": "app.zip"}, "outputArtifacts": [{"name": "code"}]}]}`
	buildStage = `{"name": "Build", "actions": [{"name": "compile", "actionTypeId": ` + buildType + `, "namespace": "built",
		"configuration": {"Level": "#{variables.level}", "Token": "` + secretValue + `"},
		"inputArtifacts": [{"name": "code"}], "outputArtifacts": [{"name": "binary"}]}]}`
	approvalStage = `{"name": "Release", "actions": [{"name": "approve", "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
		"configuration": {"CustomData": "#{built.tag}"}}]}`
)

// declared returns a pipeline as JSON.
func declared(name string, stages ...string) string {
	return fmt.Sprintf(`{"name": %q, "roleArn": "arn:aws:iam::111122223333:role/r", "artifactStore": {"type": "S3", "location": "made-by-hand"},
		"pipelineType": "V2", "variables": [{"name": "level", "defaultValue": "low"}], "stages": [%s]}`, name, strings.Join(stages, ", "))
}

func (s *suite) makePipelines() {
	const create, tagged = "CreatePipeline", `{"pipeline": %s, "tags": %s}`
	good := declared("p", sourceStage, buildStage, approvalStage)
	var made codepipeline.CreatePipelineOutput
	s.ok(&made, create, tagged, good, `[{"key": "team", "value": "b"}]`)
	s.Expect(made.Tags).To(Equal([]types.Tag{{Key: aws.String("team"), Value: aws.String("b")}}))
	s.Expect(*made.Pipeline.Version).To(BeEquivalentTo(1))
	s.Expect(made.Pipeline.Stages).To(HaveLen(3))
	s.Expect(made.Pipeline.Stages[1].Actions[0].Configuration).To(HaveKeyWithValue("Token", "****"))
	other := declared("q", sourceStage, buildStage)
	s.ok(nil, create, `{"pipeline": %s}`, other)
	unmade := strings.Replace(buildStage, `"code"`, `"none"`, 1)
	s.refused(
		bad("PipelineNameInUseException", create, tagged, good, `[]`),
		bad("ValidationException", create, tagged, declared("bad name!", sourceStage, buildStage), `[]`),
		bad("InvalidStructureException", create, tagged, declared("r", sourceStage), `[]`),
		bad("InvalidStageDeclarationException", create, tagged, declared("r", sourceStage, buildStage, buildStage), `[]`),
		bad("InvalidActionDeclarationException", create, tagged, declared("r", sourceStage, unmade), `[]`),
		bad("TooManyTagsException", create, tagged, declared("r", sourceStage, buildStage), tags(51)),
		bad("InvalidTagsException", create, tagged, declared("r", sourceStage, buildStage), `[{"key": "AWS:x", "value": "y"}]`),
		bad("InvalidStructureException", "UpdatePipeline", `{"pipeline": %s}`, declared("p", sourceStage)),
		bad("InvalidStageDeclarationException", "UpdatePipeline", `{"pipeline": %s}`, declared("p", sourceStage, buildStage, buildStage)),
		bad("InvalidActionDeclarationException", "UpdatePipeline", `{"pipeline": %s}`, declared("p", sourceStage, unmade)),
	)
}

func (s *suite) changePipelines() {
	var updated codepipeline.UpdatePipelineOutput
	s.ok(&updated, "UpdatePipeline", `{"pipeline": %s}`, declared("p", sourceStage, buildStage, strings.Replace(approvalStage, "Release", "Accept", 1)))
	s.Expect(*updated.Pipeline.Version).To(BeEquivalentTo(2))
	var first codepipeline.GetPipelineOutput
	s.ok(&first, "GetPipeline", `{"name": "p", "version": 1}`)
	s.Expect(*first.Pipeline.Stages[2].Name).To(Equal("Release"))
	s.Expect(*first.Metadata.PipelineArn).To(Equal(pipelineARN))
	s.Expect(*first.Metadata.Created).To(BeTemporally("~", s.clock.Now(), time.Millisecond))

	s.editPipeline()
	names := []string{}
	for _, page := range pages(s, "ListPipelines", `"maxResults": 1`, func(o codepipeline.ListPipelinesOutput) *string { return o.NextToken }) {
		for _, p := range page.Pipelines {
			names = append(names, *p.Name)
		}
	}
	s.Expect(names).To(Equal([]string{"p", "q"}))
	s.refused(
		bad("PipelineNotFoundException", "GetPipeline", `{"name": "none"}`),
		bad("PipelineVersionNotFoundException", "GetPipeline", `{"name": "p", "version": 9}`),
		bad("InvalidNextTokenException", "ListPipelines", `{"nextToken": "none"}`),
	)
}

// editPipeline reads and writes a pipeline as described in AWS's guide. The worker that gets the
// first job finds the secret unchanged.
func (s *suite) editPipeline() {
	var read map[string]json.RawMessage
	s.ok(&read, "GetPipeline", `{"name": "p"}`)
	declared := cmp.Or(string(read["pipeline"]), string(read["Pipeline"])) // the SDK's spelling
	s.Expect(declared).To(And(ContainSubstring("****"), Not(ContainSubstring(secretValue))))
	s.ok(nil, "UpdatePipeline", `{"pipeline": %s}`, strings.Replace(declared, "Accept", "Accept-it", 1))
	s.refused(bad("InvalidActionDeclarationException", "UpdatePipeline", `{"pipeline": %s}`, strings.Replace(declared, "compile", "make", 1)))
	s.ok(nil, "UpdatePipeline", `{"pipeline": %s}`, declared)
}

const (
	pipelineARN  = "arn:aws:codepipeline:us-east-1:111122223333:p"
	typeARN      = "arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Build/worker/1"
	absentARN    = "arn:aws:codepipeline:us-east-1:111122223333:none"
	elsewhereARN = "arn:aws:codepipeline:us-east-1:999999999999:p"
)

func (s *suite) tagResources() {
	const add, remove, list = `{"resourceArn": %q, "tags": %s}`, `{"resourceArn": %q, "tagKeys": ["team"]}`, `{"resourceArn": %q}`
	s.ok(nil, "TagResource", add, pipelineARN, `[{"key": "owner", "value": "c"}]`)
	s.ok(nil, "UntagResource", remove, pipelineARN)
	var left, ofType codepipeline.ListTagsForResourceOutput
	s.ok(&left, "ListTagsForResource", list, pipelineARN)
	s.Expect(left.Tags).To(Equal([]types.Tag{{Key: aws.String("owner"), Value: aws.String("c")}}))
	s.ok(&ofType, "ListTagsForResource", list, typeARN)
	s.Expect(ofType.Tags).To(Equal([]types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}))
	s.refused(
		bad("ResourceNotFoundException", "TagResource", add, absentARN, `[]`),
		bad("InvalidArnException", "TagResource", add, elsewhereARN, `[]`),
		bad("TooManyTagsException", "TagResource", add, pipelineARN, tags(50)),
		bad("InvalidTagsException", "TagResource", add, pipelineARN, `[{"key": "aws:x", "value": "y"}]`),
		bad("ResourceNotFoundException", "UntagResource", remove, absentARN),
		bad("InvalidArnException", "UntagResource", remove, elsewhereARN),
		bad("ResourceNotFoundException", "ListTagsForResource", list, absentARN),
		bad("InvalidArnException", "ListTagsForResource", list, elsewhereARN),
		bad("InvalidNextTokenException", "ListTagsForResource", `{"resourceArn": %q, "nextToken": "none"}`, pipelineARN),
	)
}

// startBy starts the pipeline p.
func (s *suite) startBy(members string) string {
	var started codepipeline.StartPipelineExecutionOutput
	s.ok(&started, "StartPipelineExecution", `{"name": "p"%s}`, members)
	return *started.PipelineExecutionId
}

// pollOne polls for a job, of which there must be exactly one.
func (s *suite) pollOne() types.Job {
	var polled codepipeline.PollForJobsOutput
	s.ok(&polled, "PollForJobs", `{"actionTypeId": %s, "maxBatchSize": 5, "queryParam": {"Level": "high"}}`, buildType)
	s.Expect(polled.Jobs).To(HaveLen(1))
	return polled.Jobs[0]
}

func (s *suite) acknowledge(j types.Job) {
	var answer codepipeline.AcknowledgeJobOutput
	s.ok(&answer, "AcknowledgeJob", `{"jobId": %q, "nonce": %q}`, *j.Id, *j.Nonce)
	s.Expect(answer.Status).To(Equal(types.JobStatusInProgress))
}

func (s *suite) claimFirstJob() types.Job {
	s.done = s.startBy(`, "clientRequestToken": "once", "variables": [{"name": "level", "value": "high"}]`)
	s.refused(
		bad("PipelineNotFoundException", "StartPipelineExecution", `{"name": "none"}`),
		bad("ValidationException", "StartPipelineExecution", `{"name": "p", "variables": [{"name": "none", "value": "x"}]}`),
		bad("ActionTypeNotFoundException", "PollForJobs", `{"actionTypeId": {"category": "Deploy", "owner": "Custom", "provider": "worker", "version": "1"}}`),
		bad("ValidationException", "PollForJobs", `{"actionTypeId": %s}`, buildType), // without the queryable property
	)
	j := s.pollOne()
	s.Expect(*j.Data.PipelineContext.PipelineExecutionId).To(Equal(s.done))
	s.Expect(j.Data.ActionConfiguration.Configuration).To(Equal(map[string]string{"Level": "high", "Token": secretValue}))
	content, code := s.readPlace(s.s3Of(j.Data), j.Data.InputArtifacts[0])
	s.Expect(content + code).To(Equal("by hand"))
	s.refused(
		bad("InvalidNonceException", "AcknowledgeJob", `{"jobId": %q, "nonce": "none"}`, *j.Id),
		bad("JobNotFoundException", "AcknowledgeJob", `{"jobId": %q, "nonce": "none"}`, nowhere),
		bad("JobNotFoundException", "GetJobDetails", `{"jobId": %q}`, nowhere),
		bad("InvalidJobStateException", "PutJobSuccessResult", `{"jobId": %q}`, *j.Id),
		bad("InvalidJobStateException", "PutJobFailureResult", failJob, *j.Id),
	)
	s.acknowledge(j)
	var known codepipeline.GetJobDetailsOutput
	s.ok(&known, "GetJobDetails", `{"jobId": %q}`, *j.Id)
	s.Expect(known.JobDetails.Data.OutputArtifacts).To(Equal(j.Data.OutputArtifacts))
	return j
}

const failJob = `{"jobId": %q, "failureDetails": {"type": "JobFailed", "message": "broken", "externalExecutionId": "run-1"}}`

// failContinuedJob continues the job with another one, which fails.
func (s *suite) failContinuedJob(j types.Job) {
	s.refused(
		bad("OutputVariablesSizeExceededException", "PutJobSuccessResult", `{"jobId": %q, "outputVariables": {"k": %q}}`, *j.Id, strings.Repeat("x", 122880)),
		bad("ValidationException", "PutJobSuccessResult", `{"jobId": %q, "continuationToken": "half", "outputVariables": {"k": "v"}}`, *j.Id),
		bad("JobNotFoundException", "PutJobSuccessResult", `{"jobId": %q}`, nowhere),
		bad("JobNotFoundException", "PutJobFailureResult", failJob, nowhere),
		bad("ValidationException", "PutJobFailureResult", `{"jobId": %q, "failureDetails": {"type": "None", "message": "m"}}`, *j.Id),
	)
	s.ok(nil, "PutJobSuccessResult", `{"jobId": %q, "continuationToken": "half",
		"executionDetails": {"summary": "half", "externalExecutionId": "run-0", "percentComplete": 50}}`, *j.Id)
	s.clock.Step(5 * time.Second)
	next := s.pollOne()
	s.Expect(*next.Data.ContinuationToken).To(Equal("half"))
	s.acknowledge(next)
	s.ok(nil, "PutJobFailureResult", failJob, *next.Id)
	var state codepipeline.GetPipelineStateOutput
	s.ok(&state, "GetPipelineState", `{"name": "p"}`)
	s.Expect(state.StageStates[1].LatestExecution.Status).To(Equal(types.StageExecutionStatusFailed))
	run := state.StageStates[1].ActionStates[0].LatestExecution
	s.Expect(*run.ErrorDetails.Message).To(Equal("broken"))
	s.Expect(*run.ExternalExecutionUrl).To(Equal("https://ci.example/runs/run-1"))
	s.refused(
		bad("InvalidJobStateException", "PutJobFailureResult", failJob, *next.Id),
		bad("PipelineNotFoundException", "GetPipelineState", `{"name": "none"}`),
	)
}

const retryStage = `{"pipelineName": %q, "stageName": %q, "pipelineExecutionId": %q, "retryMode": "FAILED_ACTIONS"}`

func (s *suite) retryAndSucceed() {
	var retried codepipeline.RetryStageExecutionOutput
	s.ok(&retried, "RetryStageExecution", retryStage, "p", "Build", s.done)
	s.Expect(*retried.PipelineExecutionId).To(Equal(s.done))
	s.refused(
		bad("StageNotRetryableException", "RetryStageExecution", retryStage, "p", "Build", s.done),
		bad("StageNotFoundException", "RetryStageExecution", retryStage, "p", "none", s.done),
		bad("PipelineNotFoundException", "RetryStageExecution", retryStage, "none", "Build", s.done),
	)
	j := s.pollOne()
	s.acknowledge(j)
	s.Expect(s.upload(s.s3Of(j.Data), j.Data.OutputArtifacts[0], "compiled")).To(Succeed())
	s.ok(nil, "PutJobSuccessResult", `{"jobId": %q, "outputVariables": {"tag": "v7"},
		"executionDetails": {"summary": "done", "externalExecutionId": "run-2", "percentComplete": 100},
		"currentRevision": {"revision": "abc", "changeIdentifier": "def", "created": "2026-01-02T03:04:05Z", "revisionSummary": "the newest"}}`, *j.Id)
}

func (s *suite) approve() {
	const put = `{"pipelineName": %q, "stageName": %q, "actionName": %q, "token": %q, "result": {"summary": "fine", "status": "Approved"}}`
	var state codepipeline.GetPipelineStateOutput
	s.ok(&state, "GetPipelineState", `{"name": "p"}`)
	s.Expect(*state.StageStates[2].LatestExecution.PipelineExecutionId).To(Equal(s.done))
	built := state.StageStates[1].ActionStates[0]
	s.Expect(*built.LatestExecution.Summary).To(Equal("done"))
	s.Expect(*built.LatestExecution.PercentComplete).To(BeEquivalentTo(100))
	s.Expect(*built.EntityUrl).To(Equal("https://ci.example/high"))
	s.Expect(*built.CurrentRevision.Created).To(BeTemporally("==", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
	token := *state.StageStates[2].ActionStates[0].LatestExecution.Token
	s.refused(
		bad("InvalidApprovalTokenException", "PutApprovalResult", put, "p", "Accept", "approve", nowhere),
		bad("StageNotFoundException", "PutApprovalResult", put, "p", "none", "approve", token),
		bad("ActionNotFoundException", "PutApprovalResult", put, "p", "Accept", "none", token),
		bad("PipelineNotFoundException", "PutApprovalResult", put, "none", "Accept", "approve", token),
	)
	var approved codepipeline.PutApprovalResultOutput
	s.ok(&approved, "PutApprovalResult", put, "p", "Accept", "approve", token)
	s.Expect(*approved.ApprovedAt).To(BeTemporally("~", s.clock.Now(), time.Millisecond))
	s.refused(bad("ApprovalAlreadyCompletedException", "PutApprovalResult", put, "p", "Accept", "approve", token))
}

// stop stops an execution, and starts another one.
func (s *suite) stop() {
	const stop = `{"pipelineName": %q, "pipelineExecutionId": %q, "abandon": %t, "reason": "enough"}`
	s.stopped = s.startBy("")
	var stopping codepipeline.StopPipelineExecutionOutput
	s.ok(&stopping, "StopPipelineExecution", stop, "p", s.stopped, false)
	s.Expect(*stopping.PipelineExecutionId).To(Equal(s.stopped))
	s.refused(bad("DuplicatedStopRequestException", "StopPipelineExecution", stop, "p", s.stopped, false))
	s.ok(nil, "StopPipelineExecution", stop, "p", s.stopped, true)
	s.startBy("")
	s.refused(
		bad("PipelineExecutionNotStoppableException", "StopPipelineExecution", stop, "p", s.stopped, true),
		bad("PipelineNotFoundException", "StopPipelineExecution", stop, "none", s.stopped, true),
		bad("NotLatestPipelineExecutionException", "RetryStageExecution", retryStage, "p", "Build", s.stopped),
	)
}

func (s *suite) listExecutions() {
	var known codepipeline.GetPipelineExecutionOutput
	s.ok(&known, "GetPipelineExecution", `{"pipelineName": "p", "pipelineExecutionId": %q}`, s.done)
	s.Expect(known.PipelineExecution.Status).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(known.PipelineExecution.Variables).To(Equal([]types.ResolvedPipelineVariable{{Name: aws.String("level"), ResolvedValue: aws.String("high")}}))
	s.Expect(*known.PipelineExecution.ArtifactRevisions[0].Name).To(Equal("code"))

	all := []types.PipelineExecutionSummary{}
	for _, page := range pages(s, "ListPipelineExecutions", `"pipelineName": "p", "maxResults": 2`, func(o codepipeline.ListPipelineExecutionsOutput) *string { return o.NextToken }) {
		all = append(all, page.PipelineExecutionSummaries...)
	}
	s.Expect(all).To(HaveLen(3))
	s.Expect(all[1].Status).To(Equal(types.PipelineExecutionStatusStopped))
	s.Expect(*all[1].StopTrigger.Reason).To(Equal("enough"))
	s.Expect(*all[2].PipelineExecutionId).To(Equal(s.done))
	var succeeded codepipeline.ListPipelineExecutionsOutput
	s.ok(&succeeded, "ListPipelineExecutions", `{"pipelineName": "p", "filter": {"succeededInStage": {"stageName": "Build"}}}`)
	s.Expect(succeeded.PipelineExecutionSummaries).To(HaveLen(1))
	s.Expect(*succeeded.PipelineExecutionSummaries[0].PipelineExecutionId).To(Equal(s.done))
	s.refused(
		bad("PipelineNotFoundException", "GetPipelineExecution", `{"pipelineName": "none", "pipelineExecutionId": %q}`, s.done),
		bad("PipelineExecutionNotFoundException", "GetPipelineExecution", `{"pipelineName": "p", "pipelineExecutionId": %q}`, nowhere),
		bad("PipelineNotFoundException", "ListPipelineExecutions", `{"pipelineName": "none"}`),
		bad("InvalidNextTokenException", "ListPipelineExecutions", `{"pipelineName": "p", "nextToken": "none"}`),
	)
}

func (s *suite) listActions() {
	var actions codepipeline.ListActionExecutionsOutput
	s.ok(&actions, "ListActionExecutions", `{"pipelineName": "p", "filter": {"pipelineExecutionId": %q}}`, s.done)
	names := []string{}
	for _, detail := range actions.ActionExecutionDetails {
		names = append(names, *detail.ActionName+" "+string(detail.Status))
	}
	s.Expect(names).To(Equal([]string{"approve Succeeded", "compile Succeeded", "compile Failed", "fetch Succeeded"}))
	approved, built := actions.ActionExecutionDetails[0], actions.ActionExecutionDetails[1]
	s.Expect(approved.Input.ResolvedConfiguration).To(HaveKeyWithValue("CustomData", "v7"))
	s.Expect(built.Input.Configuration).To(Equal(map[string]string{"Level": "#{variables.level}", "Token": "****"}))
	s.Expect(built.Output.OutputVariables).To(Equal(map[string]string{"tag": "v7"}))
	s.Expect(*built.Output.ExecutionResult.ExternalExecutionSummary).To(Equal("done"))
	s.refused(
		bad("PipelineNotFoundException", "ListActionExecutions", `{"pipelineName": "none"}`),
		bad("PipelineExecutionNotFoundException", "ListActionExecutions", `{"pipelineName": "p", "filter": {"pipelineExecutionId": %q}}`, nowhere),
		bad("InvalidNextTokenException", "ListActionExecutions", `{"pipelineName": "p", "nextToken": "none"}`),
	)
}

func (s *suite) deleteAll() {
	s.ok(nil, "DeletePipeline", `{"name": "q"}`)
	s.refused(
		bad("ValidationException", "DeletePipeline", `{"name": "bad name!"}`),
		bad("PipelineNotFoundException", "GetPipeline", `{"name": "q"}`),
	)
}

// expectAllOperations finds operations that were not called both with success and with an error.
func (s *suite) expectAllOperations() {
	s.expectJournalOfModelledErrors()
	s.expectNoSecretInJournal()
	done, refused := map[string]bool{}, map[string]bool{}
	for _, call := range s.emulator.Journal() {
		if call.Error == "" {
			done[call.Operation] = true
		} else {
			refused[call.Operation] = true
		}
	}
	for name := range s.emulator.model.Operations {
		s.Expect(done).To(HaveKey(name), "not done well")
		s.Expect(refused).To(HaveKey(name), "not refused")
	}
}
