package emulator

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// declaration returns the pipeline from GetPipeline.
func (w *world) declaration() *types.PipelineDeclaration {
	got, err := w.pipelines.GetPipeline(w.ctx, &codepipeline.GetPipelineInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	return got.Pipeline
}

func (w *world) update(declared *types.PipelineDeclaration) error {
	return errorOf(w.pipelines.UpdatePipeline(w.ctx, &codepipeline.UpdatePipelineInput{Pipeline: declared}))
}

// finishBuild lets the stage Build of threeStages succeed.
func (w *world) finishBuild() {
	job := w.claim(types.ActionCategoryBuild)
	w.Expect(w.upload(w.s3Of(job.Data), job.Data.OutputArtifacts[0], "compiled")).To(Succeed())
	w.Expect(w.succeed(*job.Id, func(in *codepipeline.PutJobSuccessResultInput) { in.OutputVariables = map[string]string{"tag": "v7"} })).To(Succeed())
}

// messageOf returns the message of an error response.
func messageOf(err error) string {
	var known smithy.APIError
	if errors.As(err, &known) {
		return known.ErrorMessage()
	}
	return ""
}

// TestMasksOfSecretsComeBack edits a pipeline as described in AWS's guide: read, edit, write.
func TestMasksOfSecretsComeBack(t *testing.T) {
	const newAction = "Action configuration for the new action '%s' contains an invalid configuration for the secret property 'Token'. " +
		"'****' may be used in secret properties only when updating an existing action."
	const changed = "Action configuration for the action 'check' contains an invalid configuration for the secret property 'Token'. " +
		"'****' keeps the value of a secret property only if no other value of the action changes: give the value."
	check := func(d *types.PipelineDeclaration) *types.ActionDeclaration { return &d.Stages[2].Actions[0] }
	cases := map[string]struct {
		edit    func(*types.PipelineDeclaration)
		refusal string // empty if accepted
		secret  string // the value that the worker gets afterwards
	}{
		"nothing is edited": {func(*types.PipelineDeclaration) {}, "", secretValue},
		"another action":    {func(d *types.PipelineDeclaration) { d.Stages[1].Actions[0].RunOrder = aws.Int32(7) }, "", secretValue},
		"the order of the action is given as it was": {func(d *types.PipelineDeclaration) { check(d).RunOrder = nil }, "", secretValue},
		"a new value": {func(d *types.PipelineDeclaration) { check(d).Configuration["Token"] = "another" }, "", "another"},
		"a new action": {func(d *types.PipelineDeclaration) {
			second := pipeline.NewAction("again", customType(types.ActionCategoryTest)).Configure("Token", "****").Declaration()
			d.Stages[2].Actions = append(d.Stages[2].Actions, second)
		}, "again", secretValue},
		"a renamed action": {func(d *types.PipelineDeclaration) { check(d).Name = aws.String("verify") }, "verify", secretValue},
		"a renamed stage":  {func(d *types.PipelineDeclaration) { d.Stages[2].Name = aws.String("Verify") }, "check", secretValue},
		"another property": {func(d *types.PipelineDeclaration) { check(d).Configuration["Tag"] = "v1" }, changed, secretValue},
		"a property less":  {func(d *types.PipelineDeclaration) { delete(check(d).Configuration, "Tag") }, changed, secretValue},
		"another member":   {func(d *types.PipelineDeclaration) { check(d).RunOrder = aws.Int32(2) }, changed, secretValue},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.begin()
			declared := w.declaration()
			w.Expect(check(declared).Configuration).To(HaveKeyWithValue("Token", "****"))
			c.edit(declared)
			err := w.update(declared)
			if c.refusal == "" {
				w.Expect(err).NotTo(HaveOccurred())
			} else {
				w.expectCode(err, "InvalidActionDeclarationException")
				w.Expect(messageOf(err)).To(Or(Equal(c.refusal), Equal(fmt.Sprintf(newAction, c.refusal))))
			}
			w.Expect(w.stop(w.latest())).To(Succeed())
			w.finishBuild() // of the stopping execution
			w.start()
			w.finishBuild()
			w.Expect(w.claim(types.ActionCategoryTest).Data.ActionConfiguration.Configuration).To(HaveKeyWithValue("Token", c.secret))
			w.expectNoSecretInJournal()
		})
	}
}

func TestNewPipelineWithAMaskIsRefused(t *testing.T) {
	w := newWorld(t)
	err := w.createPipeline(func(in *codepipeline.CreatePipelineInput) {
		in.Pipeline.Stages[2].Actions[0].Configuration["Token"] = "****"
	})
	w.expectCode(err, "InvalidActionDeclarationException")
	w.Expect(messageOf(err)).To(HavePrefix("Action configuration for the new action 'check' contains an invalid configuration for the secret property 'Token'."))
	list, err := w.pipelines.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Pipelines).To(BeEmpty())
}

// latest returns the pipeline's newest execution.
func (w *world) latest() string {
	list, err := w.pipelines.ListPipelineExecutions(w.ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	return *list.PipelineExecutionSummaries[0].PipelineExecutionId
}

// TestUpdatesThatCancel updates a pipeline while its action "compile" runs.
func TestUpdatesThatCancel(t *testing.T) {
	other := pipeline.NewAction("other", customType(types.ActionCategoryBuild)).Declaration()
	build := func(d *types.PipelineDeclaration) *types.StageDeclaration { return &d.Stages[1] }
	cases := map[string]struct {
		edit    func(*types.PipelineDeclaration)
		cancels bool
	}{
		"the action is removed": {func(d *types.PipelineDeclaration) { d.Stages = d.Stages[:2]; build(d).Actions[0] = other }, true},
		"the action is renamed": {func(d *types.PipelineDeclaration) { build(d).Actions[0].Name = aws.String("make") }, true},
		"its stage is removed": {func(d *types.PipelineDeclaration) {
			d.Stages = append(d.Stages[:1], types.StageDeclaration{Name: aws.String("Accept"), Actions: []types.ActionDeclaration{pipeline.ManualApproval("ok").Declaration()}})
		}, true},
		"its stage is renamed":         {func(d *types.PipelineDeclaration) { build(d).Name = aws.String("Compile") }, true},
		"it is configured differently": {func(d *types.PipelineDeclaration) { build(d).Actions[0].RunOrder = aws.Int32(3) }, false},
		"an action is added":           {func(d *types.PipelineDeclaration) { build(d).Actions = append(build(d).Actions, other) }, false},
		"a later stage is removed": {func(d *types.PipelineDeclaration) {
			d.Stages[2].Actions = []types.ActionDeclaration{other}
			d.Stages[2].Name = aws.String("More")
		}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
			id := p.begin()
			job := p.claim(types.ActionCategoryBuild)
			p.states()
			declared := p.declaration()
			c.edit(declared)
			p.Expect(p.update(declared)).To(Succeed())
			if !c.cancels {
				p.Expect(p.states()).To(BeEmpty())
				p.Expect(p.status(id)).To(Equal(types.PipelineExecutionStatusInProgress))
				p.Expect(p.fail(*job.Id, "it is still open")).To(Succeed())
				return
			}
			p.Expect(p.states()).To(Equal("compile CANCELED"))
			p.expectCancelled(id, *job.Id)
		})
	}
}

// expectCancelled expects that an update cancelled the execution while the job ran.
func (w *world) expectCancelled(execution, job string) {
	w.t.Helper()
	w.Expect(w.status(execution)).To(Equal(types.PipelineExecutionStatusCancelled))
	w.expectCode(w.succeed(job), "InvalidJobStateException")
	w.expectCode(w.fail(job, "too late"), "InvalidJobStateException")
	w.expectCode(errorOf(w.pipelines.GetJobDetails(w.ctx, &codepipeline.GetJobDetailsInput{JobId: &job})), "JobNotFoundException")
	w.Expect(w.poll(types.ActionCategoryBuild)).To(BeEmpty())
	w.expectCode(w.stop(execution), "PipelineExecutionNotStoppableException")
	actions, err := w.pipelines.ListActionExecutions(w.ctx, &codepipeline.ListActionExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*actions.ActionExecutionDetails[0].ActionName).To(Equal("compile"))
	w.Expect(actions.ActionExecutionDetails[0].Status).To(Equal(types.ActionExecutionStatusAbandoned), "the model has no other status for it")
	list, err := w.pipelines.ListPipelineExecutions(w.ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.PipelineExecutionSummaries[0].Status).To(Equal(types.PipelineExecutionStatusCancelled))
}

func TestCancelledStageIsShown(t *testing.T) {
	w := newWorld(t)
	w.begin()
	declared := w.declaration()
	declared.Stages[1].Actions[0].Name = aws.String("make")
	w.Expect(w.update(declared)).To(Succeed())
	state, err := w.pipelines.GetPipelineState(w.ctx, &codepipeline.GetPipelineStateInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(state.StageStates[1].LatestExecution.Status).To(Equal(types.StageExecutionStatusCancelled))
}

// TestCancelledExecutionFreesItsStage lets a second execution wait for the stage.
func TestCancelledExecutionFreesItsStage(t *testing.T) {
	w := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
	first := w.begin()
	job := w.claim(types.ActionCategoryBuild)
	second := w.start()
	w.Expect(w.poll(types.ActionCategoryBuild)).To(BeEmpty(), "it waits")
	w.states()
	declared := w.declaration()
	declared.Stages[1].Actions[0].Name = aws.String("make")
	w.Expect(w.update(declared)).To(Succeed())
	w.Expect(w.states()).To(Equal("compile CANCELED, compile STARTED"))
	w.Expect(w.status(first)).To(Equal(types.PipelineExecutionStatusCancelled))
	next := w.claim(types.ActionCategoryBuild)
	w.Expect(*next.Id).NotTo(Equal(*job.Id))
	w.Expect(*next.Data.PipelineContext.PipelineExecutionId).To(Equal(second))
	w.Expect(*next.Data.PipelineContext.Action.Name).To(Equal("compile"), "it has the declaration that it began with")
}
