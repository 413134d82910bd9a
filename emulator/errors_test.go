package emulator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// way is how a client can cause an error.
type way struct {
	// when is for the documentation.
	when string
	meet func(*world) error
}

// onDemand returns a way for an error that the emulator only returns for an injected fault.
func onDemand(operation, code string, call func(*world) error) way {
	return way{"only as an injected fault", func(w *world) error {
		w.Expect(w.emulator.Inject(Fault{Operation: operation, Kind: ModelledError, Code: code})).To(Succeed())
		return call(w)
	}}
}

const badName = "not a name"

var (
	unknownARN = aws.String("arn:aws:codepipeline:us-east-1:111122223333:none")
	foreignARN = aws.String("arn:aws:codepipeline:us-east-1:444455556666:p")
	ourARN     = aws.String("arn:aws:codepipeline:us-east-1:111122223333:p")
)

// tagsOf returns tags.
func tagsOf(count int, prefix string) (list []types.Tag) {
	for i := range count {
		list = append(list, types.Tag{Key: aws.String(fmt.Sprintf("%s%d", prefix, i)), Value: aws.String("v")})
	}
	return list
}

func errorOf[Out any](_ *Out, err error) error { return err }

func (w *world) tag(arn *string, tags []types.Tag) error {
	return errorOf(w.pipelines.TagResource(w.ctx, &codepipeline.TagResourceInput{ResourceArn: arn, Tags: tags}))
}

func (w *world) untag(arn *string, key string) error {
	return errorOf(w.pipelines.UntagResource(w.ctx, &codepipeline.UntagResourceInput{ResourceArn: arn, TagKeys: []string{key}}))
}

func (w *world) listTags(arn, token *string) error {
	return errorOf(w.pipelines.ListTagsForResource(w.ctx, &codepipeline.ListTagsForResourceInput{ResourceArn: arn, NextToken: token}))
}

func (w *world) acknowledge(id, nonce string) error {
	return errorOf(w.pipelines.AcknowledgeJob(w.ctx, &codepipeline.AcknowledgeJobInput{JobId: &id, Nonce: &nonce}))
}

func (w *world) succeed(id string, adjust ...func(*codepipeline.PutJobSuccessResultInput)) error {
	in := &codepipeline.PutJobSuccessResultInput{JobId: &id}
	for _, change := range adjust {
		change(in)
	}
	return errorOf(w.pipelines.PutJobSuccessResult(w.ctx, in))
}

func (w *world) fail(id, message string) error {
	return errorOf(w.pipelines.PutJobFailureResult(w.ctx, &codepipeline.PutJobFailureResultInput{
		JobId: &id, FailureDetails: &types.FailureDetails{Type: types.FailureTypeJobFailed, Message: &message},
	}))
}

// unacknowledged begins a pipeline and returns the polled job.
func (w *world) unacknowledged() types.Job {
	w.begin()
	return w.poll(types.ActionCategoryBuild)[0]
}

func (w *world) createPipeline(adjust func(*codepipeline.CreatePipelineInput)) error {
	in := &codepipeline.CreatePipelineInput{Pipeline: threeStages()}
	w.createType(types.ActionCategoryBuild)
	w.createType(types.ActionCategoryTest, types.ActionConfigurationProperty{Name: aws.String("Tag")}, types.ActionConfigurationProperty{Name: aws.String("Token"), Secret: true})
	adjust(in)
	return errorOf(w.pipelines.CreatePipeline(w.ctx, in))
}

func (w *world) updatePipeline(adjust func(*types.PipelineDeclaration)) error {
	w.begin()
	declared := threeStages()
	adjust(declared)
	return errorOf(w.pipelines.UpdatePipeline(w.ctx, &codepipeline.UpdatePipelineInput{Pipeline: declared}))
}

// declaring returns the ways that CreatePipeline and UpdatePipeline have in common.
func declaring(declare func(*world, func(*types.PipelineDeclaration)) error) map[string]way {
	with := func(change func(*types.PipelineDeclaration)) func(*world) error {
		return func(w *world) error { return declare(w, change) }
	}
	return map[string]way{
		"ValidationException":               {anyLimit, with(func(d *types.PipelineDeclaration) { d.Stages[0].Name = aws.String(badName) })},
		"InvalidStageDeclarationException":  {"two stages of one name, or a stage without actions", with(func(d *types.PipelineDeclaration) { d.Stages[1].Name = d.Stages[0].Name })},
		"InvalidActionDeclarationException": {"an action that its type does not allow; a name, namespace or artifact used twice; an input that nothing makes before; a custom action in another region; a queryable value that no poll can ask for; `****` for a secret that has no value to keep", with(func(d *types.PipelineDeclaration) { d.Stages[1].Actions[0].InputArtifacts[0].Name = aws.String("none") })},
		"InvalidBlockerDeclarationException": {"any blocker: they are reserved for future use", with(func(d *types.PipelineDeclaration) {
			d.Stages[1].Blockers = []types.BlockerDeclaration{{Name: aws.String("b"), Type: types.BlockerTypeSchedule}}
		})},
		"InvalidStructureException": {"fewer than two stages; a source action elsewhere than first; no or two kinds of artifact stores; what needs pipelineType V2 without it", with(func(d *types.PipelineDeclaration) { d.Stages = d.Stages[:1] })},
		"LimitExceededException": {"over 50 stages or 500 actions", with(func(d *types.PipelineDeclaration) {
			for i := range 50 {
				stage := d.Stages[1]
				stage.Name = aws.String(fmt.Sprintf("S%d", i))
				d.Stages = append(d.Stages, stage)
			}
		})},
	}
}

const anyLimit = "a limit of the model is broken"

// waysToMeet returns a way for each error of each operation in the model.
func waysToMeet() map[string]map[string]way {
	create := declaring(func(w *world, change func(*types.PipelineDeclaration)) error {
		return w.createPipeline(func(in *codepipeline.CreatePipelineInput) { change(in.Pipeline) })
	})
	maps.Copy(create, map[string]way{
		"LimitExceededException": {"over 50 stages or 500 actions; over 1000 pipelines", create["LimitExceededException"].meet},
		"PipelineNameInUseException": {"the name is taken", func(w *world) error {
			w.begin()
			return errorOf(w.pipelines.CreatePipeline(w.ctx, &codepipeline.CreatePipelineInput{Pipeline: threeStages()}))
		}},
		"TooManyTagsException": {"over 50 tags", func(w *world) error {
			return w.createPipeline(func(in *codepipeline.CreatePipelineInput) { in.Tags = tagsOf(51, "t") })
		}},
		"InvalidTagsException": {"a tag key begins with aws:, or is there twice", func(w *world) error {
			return w.createPipeline(func(in *codepipeline.CreatePipelineInput) { in.Tags = tagsOf(1, "aws:") })
		}},
		"ConcurrentModificationException": onDemand("CreatePipeline", "ConcurrentModificationException", func(w *world) error { return w.createPipeline(func(*codepipeline.CreatePipelineInput) {}) }),
	})
	return map[string]map[string]way{
		"CreatePipeline":         create,
		"UpdatePipeline":         declaring((*world).updatePipeline),
		"CreateCustomActionType": createTypeWays(),
		"DeleteCustomActionType": deleteTypeWays(),
		"ListActionTypes": {
			"ValidationException":       {anyLimit, func(w *world) error { return w.listTypes("", "x") }},
			"InvalidNextTokenException": {"a token that this operation did not give", func(w *world) error { return w.listTypes("x", "") }},
		},
		"PollForJobs":            pollWays(),
		"AcknowledgeJob":         acknowledgeWays(),
		"GetJobDetails":          detailsWays(),
		"PutJobSuccessResult":    successWays(),
		"PutJobFailureResult":    failureWays(),
		"TagResource":            tagWays(),
		"UntagResource":          untagWays(),
		"ListTagsForResource":    listTagsWays(),
		"GetPipeline":            getPipelineWays(),
		"DeletePipeline":         deletePipelineWays(),
		"ListPipelines":          listPipelinesWays(),
		"StartPipelineExecution": startWays(),
		"StopPipelineExecution":  stopWays(),
		"RetryStageExecution":    retryWays(),
		"GetPipelineExecution":   getExecutionWays(),
		"GetPipelineState":       stateWays(),
		"ListPipelineExecutions": listExecutionsWays(),
		"ListActionExecutions":   listActionsWays(),
		"PutApprovalResult":      approvalWays(),
	}
}

func (w *world) listTypes(token, region string) error {
	in := &codepipeline.ListActionTypesInput{}
	if token != "" {
		in.NextToken = &token
	}
	if region != "" {
		in.RegionFilter = &region
	}
	return errorOf(w.pipelines.ListActionTypes(w.ctx, in))
}

func (w *world) createTypeWith(adjust func(*codepipeline.CreateCustomActionTypeInput)) error {
	in := typeInput(types.ActionCategoryBuild)
	adjust(in)
	return errorOf(w.pipelines.CreateCustomActionType(w.ctx, in))
}

func createTypeWays() map[string]way {
	return map[string]way{
		"ValidationException": {anyLimit + "; the version exists, or was deleted and had another definition; properties that contradict each other", func(w *world) error {
			w.createType(types.ActionCategoryBuild)
			return w.createTypeWith(func(*codepipeline.CreateCustomActionTypeInput) {})
		}},
		"LimitExceededException": {"over 50 custom action types (--max-action-types)", func(w *world) error {
			for i := range 50 {
				w.Expect(w.createTypeWith(func(in *codepipeline.CreateCustomActionTypeInput) { in.Version = aws.String(fmt.Sprint(i)) })).To(Succeed())
			}
			return w.createTypeWith(func(in *codepipeline.CreateCustomActionTypeInput) { in.Version = aws.String("50") })
		}},
		"TooManyTagsException": {"over 50 tags", func(w *world) error {
			return w.createTypeWith(func(in *codepipeline.CreateCustomActionTypeInput) { in.Tags = tagsOf(51, "t") })
		}},
		"InvalidTagsException": {"a tag key begins with aws:, or is there twice", func(w *world) error {
			return w.createTypeWith(func(in *codepipeline.CreateCustomActionTypeInput) { in.Tags = tagsOf(1, "AWS:") })
		}},
		"ConcurrentModificationException": onDemand("CreateCustomActionType", "ConcurrentModificationException", func(w *world) error {
			return w.createTypeWith(func(*codepipeline.CreateCustomActionTypeInput) {})
		}),
	}
}

func deleteTypeWays() map[string]way {
	remove := func(version string) func(*world) error {
		return func(w *world) error {
			return errorOf(w.pipelines.DeleteCustomActionType(w.ctx, &codepipeline.DeleteCustomActionTypeInput{
				Category: types.ActionCategoryBuild, Provider: aws.String("worker"), Version: &version,
			}))
		}
	}
	return map[string]way{
		"ValidationException":             {anyLimit, remove(badName)},
		"ConcurrentModificationException": onDemand("DeleteCustomActionType", "ConcurrentModificationException", remove("1")),
	}
}

func pollWays() map[string]way {
	poll := func(batch int32, query map[string]string) func(*world) error {
		return func(w *world) error {
			return errorOf(w.pipelines.PollForJobs(w.ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(types.ActionCategoryBuild), MaxBatchSize: &batch, QueryParam: query}))
		}
	}
	return map[string]way{
		"ValidationException":         {anyLimit + "; an owner other than Custom; a queryParam is missing, or given for a type without a queryable property", poll(0, nil)},
		"ActionTypeNotFoundException": {"the type was not created, or is deleted", poll(1, nil)},
	}
}

func acknowledgeWays() map[string]way {
	return map[string]way{
		"ValidationException":   {anyLimit, func(w *world) error { return w.acknowledge("x", "1") }},
		"InvalidNonceException": {"the nonce is not of the newest dispatch, or the job is claimed", func(w *world) error { return w.acknowledge(*w.unacknowledged().Id, "another") }},
		"JobNotFoundException":  {"no such job, or it ended over an hour ago (--job-retention)", func(w *world) error { return w.acknowledge(nowhere, "1") }},
	}
}

func detailsWays() map[string]way {
	get := func(id string) func(*world) error {
		return func(w *world) error {
			return errorOf(w.pipelines.GetJobDetails(w.ctx, &codepipeline.GetJobDetailsInput{JobId: &id}))
		}
	}
	return map[string]way{
		"ValidationException":  {anyLimit, get("x")},
		"JobNotFoundException": {"no such job, or it has ended", get(nowhere)},
	}
}

func successWays() map[string]way {
	return map[string]way{
		"ValidationException": {anyLimit + "; outputVariables beside a continuationToken", func(w *world) error {
			return w.succeed(*w.unacknowledged().Id, func(in *codepipeline.PutJobSuccessResultInput) {
				in.ContinuationToken, in.OutputVariables = aws.String("t"), map[string]string{"A": "b"}
			})
		}},
		"JobNotFoundException":     {"no such job, or it ended over an hour ago (--job-retention)", func(w *world) error { return w.succeed(nowhere) }},
		"InvalidJobStateException": {"the job is not in progress: not acknowledged, ended, timed out, or its execution was stopped or cancelled", func(w *world) error { return w.succeed(*w.unacknowledged().Id) }},
		"OutputVariablesSizeExceededException": {"keys and values have over 122,880 bytes", func(w *world) error {
			return w.succeed(*w.unacknowledged().Id, func(in *codepipeline.PutJobSuccessResultInput) {
				in.OutputVariables = map[string]string{"A": strings.Repeat("x", 122880)}
			})
		}},
	}
}

func failureWays() map[string]way {
	return map[string]way{
		"ValidationException":      {anyLimit, func(w *world) error { return w.fail(nowhere, "") }},
		"JobNotFoundException":     {"no such job, or it ended over an hour ago (--job-retention)", func(w *world) error { return w.fail(nowhere, "m") }},
		"InvalidJobStateException": {"the job is not in progress: not acknowledged, ended, timed out, or its execution was stopped or cancelled", func(w *world) error { return w.fail(*w.unacknowledged().Id, "m") }},
	}
}

func tagWays() map[string]way {
	return map[string]way{
		"ValidationException":       {anyLimit, func(w *world) error { return w.tag(aws.String("x"), tagsOf(1, "t")) }},
		"ResourceNotFoundException": {"no such pipeline or action type", func(w *world) error { return w.tag(unknownARN, tagsOf(1, "t")) }},
		"InvalidArnException":       {"an ARN of another account or region", func(w *world) error { return w.tag(foreignARN, tagsOf(1, "t")) }},
		"TooManyTagsException":      {"over 50 tags", func(w *world) error { w.begin(); return w.tag(ourARN, tagsOf(51, "t")) }},
		"InvalidTagsException":      {"a tag key begins with aws:, or is there twice", func(w *world) error { w.begin(); return w.tag(ourARN, tagsOf(1, "aws:")) }},
		"ConcurrentModificationException": onDemand("TagResource", "ConcurrentModificationException", func(w *world) error {
			return w.tag(unknownARN, tagsOf(1, "t"))
		}),
	}
}

func untagWays() map[string]way {
	return map[string]way{
		"ValidationException":             {anyLimit, func(w *world) error { return w.untag(aws.String("x"), "t") }},
		"ResourceNotFoundException":       {"no such pipeline or action type", func(w *world) error { return w.untag(unknownARN, "t") }},
		"InvalidArnException":             {"an ARN of another account or region", func(w *world) error { return w.untag(foreignARN, "t") }},
		"InvalidTagsException":            {"a tag key begins with aws:, or is there twice", func(w *world) error { w.begin(); return w.untag(ourARN, "aws:t") }},
		"ConcurrentModificationException": onDemand("UntagResource", "ConcurrentModificationException", func(w *world) error { return w.untag(unknownARN, "t") }),
	}
}

func listTagsWays() map[string]way {
	return map[string]way{
		"ValidationException":       {anyLimit, func(w *world) error { return w.listTags(aws.String("x"), nil) }},
		"ResourceNotFoundException": {"no such pipeline or action type", func(w *world) error { return w.listTags(unknownARN, nil) }},
		"InvalidArnException":       {"an ARN of another account or region", func(w *world) error { return w.listTags(foreignARN, nil) }},
		"InvalidNextTokenException": {"a token that this operation did not give", func(w *world) error { w.begin(); return w.listTags(ourARN, aws.String("x")) }},
	}
}

const noPipeline = "no such pipeline"

func getPipelineWays() map[string]way {
	get := func(w *world, name string, version *int32) error {
		return errorOf(w.pipelines.GetPipeline(w.ctx, &codepipeline.GetPipelineInput{Name: &name, Version: version}))
	}
	return map[string]way{
		"ValidationException":              {anyLimit, func(w *world) error { return get(w, badName, nil) }},
		"PipelineNotFoundException":        {noPipeline, func(w *world) error { return get(w, "p", nil) }},
		"PipelineVersionNotFoundException": {"no such version, or over 100 versions ago", func(w *world) error { w.begin(); return get(w, "p", aws.Int32(2)) }},
	}
}

func deletePipelineWays() map[string]way {
	remove := func(name string) func(*world) error {
		return func(w *world) error {
			return errorOf(w.pipelines.DeletePipeline(w.ctx, &codepipeline.DeletePipelineInput{Name: &name}))
		}
	}
	return map[string]way{
		"ValidationException":             {anyLimit, remove(badName)},
		"ConcurrentModificationException": onDemand("DeletePipeline", "ConcurrentModificationException", remove("p")),
	}
}

func listPipelinesWays() map[string]way {
	return map[string]way{
		"ValidationException": {anyLimit, func(w *world) error {
			return errorOf(w.pipelines.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{MaxResults: aws.Int32(1001)}))
		}},
		"InvalidNextTokenException": {"a token that this operation did not give", func(w *world) error {
			return errorOf(w.pipelines.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{NextToken: aws.String("-1")}))
		}},
	}
}

func startWays() map[string]way {
	start := func(w *world, name string) error {
		return errorOf(w.pipelines.StartPipelineExecution(w.ctx, &codepipeline.StartPipelineExecutionInput{Name: &name}))
	}
	return map[string]way{
		"ValidationException":       {anyLimit + "; a variable that is not declared, or has no value; a source revision that the action does not take", func(w *world) error { return start(w, badName) }},
		"PipelineNotFoundException": {noPipeline, func(w *world) error { return start(w, "p") }},
		"ConflictException":         onDemand("StartPipelineExecution", "ConflictException", func(w *world) error { return start(w, "p") }),
		"ConcurrentPipelineExecutionsLimitExceededException": {"over 50 live executions (--max-concurrent-executions) in the modes QUEUED and PARALLEL", func(w *world) error {
			w.begin(parallel)
			for range 49 {
				w.start()
			}
			return start(w, "p")
		}},
	}
}

func parallel(d *types.PipelineDeclaration) {
	d.PipelineType, d.ExecutionMode = types.PipelineTypeV2, types.ExecutionModeParallel
}

func (w *world) stop(id string) error {
	return errorOf(w.pipelines.StopPipelineExecution(w.ctx, &codepipeline.StopPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &id}))
}

func stopWays() map[string]way {
	return map[string]way{
		"ValidationException":                    {anyLimit, func(w *world) error { return w.stop("x") }},
		"PipelineNotFoundException":              {noPipeline, func(w *world) error { return w.stop(nowhere) }},
		"ConflictException":                      onDemand("StopPipelineExecution", "ConflictException", func(w *world) error { return w.stop(nowhere) }),
		"PipelineExecutionNotStoppableException": {"no such execution, or it has settled", func(w *world) error { w.begin(); return w.stop(nowhere) }},
		"DuplicatedStopRequestException": {"it is being stopped, and this is not to abandon it", func(w *world) error {
			id := w.begin()
			w.Expect(w.stop(id)).To(Succeed())
			return w.stop(id)
		}},
	}
}

func (w *world) retry(stage, id string) error {
	return errorOf(w.pipelines.RetryStageExecution(w.ctx, &codepipeline.RetryStageExecutionInput{
		PipelineName: aws.String("p"), StageName: &stage, PipelineExecutionId: &id, RetryMode: types.StageRetryModeFailedActions,
	}))
}

// beginAndFail returns an execution whose stage Build has failed.
func (w *world) beginAndFail(adjust ...func(*types.PipelineDeclaration)) string {
	id := w.begin(adjust...)
	w.Expect(w.fail(*w.claim(types.ActionCategoryBuild).Id, "broken")).To(Succeed())
	return id
}

func retryWays() map[string]way {
	return map[string]way{
		"ValidationException":        {anyLimit, func(w *world) error { return w.retry("Build", "x") }},
		"PipelineNotFoundException":  {noPipeline, func(w *world) error { return w.retry("Build", nowhere) }},
		"ConflictException":          onDemand("RetryStageExecution", "ConflictException", func(w *world) error { return w.retry("Build", nowhere) }),
		"StageNotFoundException":     {"no such stage", func(w *world) error { return w.retry("Nope", w.begin()) }},
		"StageNotRetryableException": {"no such execution, or the stage has not failed in it", func(w *world) error { return w.retry("Build", w.begin()) }},
		"NotLatestPipelineExecutionException": {"a newer execution has reached the stage, unless the mode is PARALLEL", func(w *world) error {
			id := w.beginAndFail()
			w.start()
			return w.retry("Build", id)
		}},
		"ConcurrentPipelineExecutionsLimitExceededException": {"over 50 live executions (--max-concurrent-executions) in the modes QUEUED and PARALLEL", func(w *world) error {
			id := w.beginAndFail(parallel)
			for range 50 {
				w.start()
			}
			return w.retry("Build", id)
		}},
	}
}

func getExecutionWays() map[string]way {
	get := func(w *world, id string) error {
		return errorOf(w.pipelines.GetPipelineExecution(w.ctx, &codepipeline.GetPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &id}))
	}
	return map[string]way{
		"ValidationException":                {anyLimit, func(w *world) error { return get(w, "x") }},
		"PipelineNotFoundException":          {noPipeline, func(w *world) error { return get(w, nowhere) }},
		"PipelineExecutionNotFoundException": {"no such execution, or it is forgotten (--keep-executions)", func(w *world) error { w.begin(); return get(w, nowhere) }},
	}
}

func stateWays() map[string]way {
	get := func(name string) func(*world) error {
		return func(w *world) error {
			return errorOf(w.pipelines.GetPipelineState(w.ctx, &codepipeline.GetPipelineStateInput{Name: &name}))
		}
	}
	return map[string]way{
		"ValidationException":       {anyLimit, get(badName)},
		"PipelineNotFoundException": {noPipeline, get("p")},
	}
}

func listExecutionsWays() map[string]way {
	list := func(w *world, name string, token *string) error {
		return errorOf(w.pipelines.ListPipelineExecutions(w.ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: &name, NextToken: token}))
	}
	return map[string]way{
		"ValidationException":       {anyLimit, func(w *world) error { return list(w, badName, nil) }},
		"PipelineNotFoundException": {noPipeline, func(w *world) error { return list(w, "p", nil) }},
		"InvalidNextTokenException": {"a token that this operation did not give", func(w *world) error { w.begin(); return list(w, "p", aws.String("x")) }},
	}
}

func listActionsWays() map[string]way {
	list := func(w *world, name, id string, token *string) error {
		return errorOf(w.pipelines.ListActionExecutions(w.ctx, &codepipeline.ListActionExecutionsInput{
			PipelineName: &name, NextToken: token, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &id},
		}))
	}
	return map[string]way{
		"ValidationException":                {anyLimit, func(w *world) error { return list(w, badName, nowhere, nil) }},
		"PipelineNotFoundException":          {noPipeline, func(w *world) error { return list(w, "p", nowhere, nil) }},
		"InvalidNextTokenException":          {"a token that this operation did not give", func(w *world) error { return list(w, "p", w.begin(), aws.String("x")) }},
		"PipelineExecutionNotFoundException": {"no such execution, or it is forgotten (--keep-executions)", func(w *world) error { w.begin(); return list(w, "p", nowhere, nil) }},
	}
}

// approve answers the approval of beginApproval's pipeline.
func (w *world) approve(stage, action, token string) error {
	return errorOf(w.pipelines.PutApprovalResult(w.ctx, &codepipeline.PutApprovalResultInput{
		PipelineName: aws.String("p"), StageName: &stage, ActionName: &action, Token: &token,
		Result: &types.ApprovalResult{Status: types.ApprovalStatusApproved, Summary: aws.String("fine")},
	}))
}

// beginApproval begins a pipeline that waits for an approval, and returns its token.
func (w *world) beginApproval() string {
	w.begin(func(d *types.PipelineDeclaration) {
		d.Stages = append(d.Stages[:1], types.StageDeclaration{Name: aws.String("Approve"), Actions: []types.ActionDeclaration{pipeline.ManualApproval("ask").Declaration()}})
	})
	state, err := w.pipelines.GetPipelineState(w.ctx, &codepipeline.GetPipelineStateInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	return *state.StageStates[1].ActionStates[0].LatestExecution.Token
}

func approvalWays() map[string]way {
	return map[string]way{
		"ValidationException":           {anyLimit, func(w *world) error { return w.approve("Approve", "ask", "x") }},
		"PipelineNotFoundException":     {noPipeline, func(w *world) error { return w.approve("Approve", "ask", nowhere) }},
		"StageNotFoundException":        {"no such stage", func(w *world) error { return w.approve("Nope", "ask", w.beginApproval()) }},
		"ActionNotFoundException":       {"no such action in the stage", func(w *world) error { return w.approve("Approve", "nope", w.beginApproval()) }},
		"InvalidApprovalTokenException": {"a token that the action does not have", func(w *world) error { w.beginApproval(); return w.approve("Approve", "ask", nowhere) }},
		"ApprovalAlreadyCompletedException": {"it was approved or rejected, or timed out, or its execution was stopped or cancelled", func(w *world) error {
			token := w.beginApproval()
			w.Expect(w.approve("Approve", "ask", token)).To(Succeed())
			return w.approve("Approve", "ask", token)
		}},
	}
}

// TestEveryModelledErrorCanBeMet causes each error of each operation in the model.
func TestEveryModelledErrorCanBeMet(t *testing.T) {
	known := newWorld(t).emulator.model.Operations
	ways := waysToMeet()
	NewWithT(t).Expect(slices.Collect(maps.Keys(ways))).To(ConsistOf(slices.Collect(maps.Keys(known))))
	for operation, errors := range ways {
		NewWithT(t).Expect(slices.Collect(maps.Keys(errors))).To(ConsistOf(known[operation].Errors), operation)
		for code, way := range errors {
			t.Run(operation+" "+code, func(t *testing.T) {
				w := newWorld(t)
				w.expectCode(way.meet(w), code)
			})
		}
	}
}
