package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestLimits tries each limit that is not in the model at the limit and one beyond it.
func TestLimits(t *testing.T) {
	cases := map[string]struct {
		// try makes a call of this size.
		try    func(w *world, size int) error
		least  int // 0 means none
		most   int // 0 means none
		beyond string
	}{
		"bytes of output variables":              {tryVariables, 0, 122880, "OutputVariablesSizeExceededException"},
		"custom action types":                    {tryTypes, 0, 50, "LimitExceededException"},
		"tags":                                   {tryTags, 0, 50, "TooManyTagsException"},
		"tags of a new pipeline":                 {tryPipelineTags, 0, 50, "TooManyTagsException"},
		"stages, at least":                       {tryStages, 2, 0, "InvalidStructureException"},
		"stages, at most":                        {tryStages, 0, 50, "LimitExceededException"},
		"actions":                                {tryActions, 0, 500, "LimitExceededException"},
		"pipelines":                              {tryPipelines, 0, 1000, "LimitExceededException"},
		"concurrent executions":                  {tryExecutions, 0, 50, "ConcurrentPipelineExecutionsLimitExceededException"},
		"input artifacts":                        {tryInputs, 1, 3, "InvalidActionDeclarationException"},
		"output artifacts":                       {tryOutputs, 1, 3, "InvalidActionDeclarationException"},
		"queryable properties":                   {tryQueryable, 0, 1, "ValidationException"},
		"minimumCount, with a maximumCount of 2": {tryMinimum, 0, 2, "ValidationException"},
		"minutes of an approval":                 {tryApproval, 0, 59, "ApprovalAlreadyCompletedException"},
		"hours of an action":                     {tryAction, 0, 23, "InvalidJobStateException"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.least > 0 {
				newWorld(t).expect(c.try, c.least, "")
				newWorld(t).expect(c.try, c.least-1, c.beyond)
			}
			if c.most > 0 {
				newWorld(t).expect(c.try, c.most-1, "")
				newWorld(t).expect(c.try, c.most, "")
				newWorld(t).expect(c.try, c.most+1, c.beyond)
			}
		})
	}
}

func (w *world) expect(try func(*world, int) error, size int, code string) {
	err := try(w, size)
	var known *Error
	got := ""
	if errors.As(err, &known) {
		got = known.Code
	}
	w.Expect(got).To(Equal(code), "at %d: %v", size, err)
}

func tryVariables(w *world, size int) error {
	w.begin(custom("b"))
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: w.claim().ID, OutputVariables: map[string]string{"KEY": strings.Repeat("v", size-3)}})
	return err
}

func tryTypes(w *world, count int) (err error) {
	for i := 0; i < count && err == nil; i++ {
		_, err = w.CreateActionType(typeRequest("Build", fmt.Sprintf("worker%d", i)))
	}
	return err
}

func tags(count int) (list []Tag) {
	for i := range count {
		list = append(list, Tag{fmt.Sprintf("key%d", i), "v"})
	}
	return list
}

func tryTags(w *world, count int) error {
	w.begin(custom("b"))
	_, err := w.TagResource(TagRequest{w.pipelineARN("p"), tags(count)})
	return err
}

func tryPipelineTags(w *world, count int) error {
	w.declareType("Build", "worker")
	_, err := w.CreatePipeline(PipelineRequest{declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}}), tags(count)})
	return err
}

func tryStages(w *world, count int) error {
	w.declareType("Build", "worker")
	d := declared()
	for i := range count - 1 {
		d.Stages = append(d.Stages, StageDeclaration{Name: fmt.Sprintf("S%d", i), Actions: []ActionDeclaration{custom("b")}})
	}
	_, err := w.CreatePipeline(PipelineRequest{Pipeline: d})
	return err
}

func tryActions(w *world, count int) error {
	w.declareType("Build", "worker")
	var actions []ActionDeclaration
	for i := range count - 1 { // the source is another action
		actions = append(actions, custom(fmt.Sprintf("a%d", i)))
	}
	_, err := w.CreatePipeline(PipelineRequest{Pipeline: declared(StageDeclaration{Name: "Build", Actions: actions})})
	return err
}

func tryPipelines(w *world, count int) (err error) {
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	for i := 0; i < count && err == nil; i++ {
		d.Name = fmt.Sprintf("p%d", i)
		_, err = w.CreatePipeline(PipelineRequest{Pipeline: d})
	}
	return err
}

func tryExecutions(w *world, count int) (err error) {
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	d.ExecutionMode = "QUEUED"
	w.create(d)
	for i := 0; i < count && err == nil; i++ {
		_, err = w.StartPipelineExecution(StartRequest{Name: "p"})
	}
	return err
}

// withArtifacts declares an action type with one to three input and output artifacts.
func (w *world) withArtifacts(change func(*CreateActionTypeRequest)) {
	request := typeRequest("Build", "worker")
	change(&request)
	_, err := w.CreateActionType(request)
	w.Expect(err).NotTo(HaveOccurred())
}

func tryInputs(w *world, count int) error {
	w.withArtifacts(func(r *CreateActionTypeRequest) { r.Inputs = ArtifactDetails{1, 3} })
	_, err := w.CreatePipeline(PipelineRequest{Pipeline: declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) {
		for range count {
			a.InputArtifacts = append(a.InputArtifacts, ArtifactName{Name: "code"})
		}
	})}})})
	return err
}

func tryOutputs(w *world, count int) error {
	w.withArtifacts(func(r *CreateActionTypeRequest) { r.Outputs = ArtifactDetails{1, 3} })
	_, err := w.CreatePipeline(PipelineRequest{Pipeline: declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) {
		for i := range count {
			a.OutputArtifacts = append(a.OutputArtifacts, ArtifactName{Name: fmt.Sprintf("out%d", i)})
		}
	})}})})
	return err
}

func tryQueryable(w *world, count int) error {
	request := typeRequest("Build", "worker")
	for i := range count {
		request.Properties = append(request.Properties, Property{Name: fmt.Sprintf("P%d", i), Required: true, Queryable: true})
	}
	_, err := w.CreateActionType(request)
	return err
}

func tryMinimum(w *world, count int) error {
	request := typeRequest("Build", "worker")
	request.Inputs = ArtifactDetails{count, 2}
	_, err := w.CreateActionType(request)
	return err
}

func tryApproval(w *world, minutes int) error {
	w.create(declared(StageDeclaration{Name: "Approve", Actions: []ActionDeclaration{{Name: "ask", ActionTypeID: approvalType.ID, TimeoutInMinutes: 60}}}))
	w.start()
	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	request := ApprovalRequest{PipelineName: "p", StageName: "Approve", ActionName: "ask", Token: state.StageStates[1].ActionStates[0].LatestExecution.Token}
	request.Result.Status = "Approved"
	w.clock.Step(time.Duration(minutes) * time.Minute)
	_, err = w.PutApprovalResult(request)
	return err
}

func tryAction(w *world, hours int) error {
	w.begin(custom("b"))
	j := w.claim()
	w.clock.Step(time.Duration(hours) * time.Hour)
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	return err
}
