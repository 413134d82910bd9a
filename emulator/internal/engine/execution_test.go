package engine

import (
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func order(n int) func(*ActionDeclaration) { return func(a *ActionDeclaration) { a.RunOrder = n } }

func configured(key, value string) func(*ActionDeclaration) {
	return func(a *ActionDeclaration) {
		a.Configuration = map[string]string{key: value}
	}
}

// actionsOf returns the sorted names of the actions with jobs.
func actionsOf(jobs map[string]JobResponse) []string { return slices.Sorted(maps.Keys(jobs)) }

func TestActionsOfOneRunOrderRunTogetherAndTheNextAfterAll(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("late", order(2)), custom("a", order(1)), custom("b"))
	jobs := w.poll()
	w.Expect(actionsOf(jobs)).To(Equal([]string{"a", "b"}))
	for _, j := range jobs {
		w.acknowledge(j)
	}
	w.succeedWith(jobs["a"], nil)
	w.Expect(w.poll()).To(BeEmpty())
	w.succeedWith(jobs["b"], nil)
	w.succeedWith(w.claim(), nil)
	w.Expect(w.status(id)).To(Equal(succeeded))
}

func TestStagesRunOneAfterAnother(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	w.create(declared(
		StageDeclaration{Name: "One", Actions: []ActionDeclaration{custom("one")}},
		StageDeclaration{Name: "Two", Actions: []ActionDeclaration{custom("two")}},
	))
	id := w.start()
	w.Expect(w.stageStatus("Source")).To(Equal(succeeded))
	j := w.claim()
	w.Expect(j.Data.PipelineContext.Stage.Name).To(Equal("One"))
	w.Expect(w.stageStatus("Two")).To(BeEmpty())
	w.succeedWith(j, nil)
	j = w.claim()
	w.Expect(j.Data.PipelineContext.Stage.Name).To(Equal("Two"))
	w.Expect(j.Data.PipelineContext.PipelineName).To(Equal("p"))
	w.Expect(j.Data.PipelineContext.PipelineARN).To(Equal("arn:aws:codepipeline:us-east-1:111122223333:p"))
	w.Expect(j.Data.PipelineContext.PipelineExecutionID).To(Equal(id))
	w.succeedWith(j, nil)
	w.Expect(w.status(id)).To(Equal(succeeded))
}

func TestConsumerGetsTheArtifactPlaceOfItsProducer(t *testing.T) {
	w := newWorld(t)
	w.begin(
		custom("make", func(a *ActionDeclaration) { a.InputArtifacts, a.OutputArtifacts = named("code"), named("out") }),
		custom("use", order(2), func(a *ActionDeclaration) { a.InputArtifacts = named("out", "code") }),
	)
	maker := w.claim()
	w.Expect(maker.Data.InputArtifacts).To(HaveLen(1))
	w.Expect(maker.Data.InputArtifacts[0].Revision).To(Equal("etag-of-app.zip"))
	w.Expect(maker.Data.InputArtifacts[0].Location.S3Location.BucketName).To(Equal("artifacts"))
	w.upload(maker)
	w.succeedWith(maker, nil)
	user := w.claim()
	w.Expect(user.Data.InputArtifacts).To(Equal([]Artifact{maker.Data.OutputArtifacts[0], maker.Data.InputArtifacts[0]}))
}

func TestMissingOutputObjectFailsTheAction(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("make", func(a *ActionDeclaration) { a.OutputArtifacts = named("out") }))
	w.succeedWith(w.claim(), nil)
	w.Expect(w.status(id)).To(Equal(failed))
	w.Expect(w.action("make").Output.ExecutionResult.ErrorDetails.Message).To(ContainSubstring("output artifact out was not uploaded"))
}

func TestMissingSourceObjectFailsTheExecution(t *testing.T) {
	w := newWorld(t)
	delete(w.objects, "sources/app.zip")
	id := w.begin(custom("b"))
	w.Expect(w.status(id)).To(Equal(failed))
	w.Expect(w.action("fetch").Output.ExecutionResult.ErrorDetails.Code).To(Equal("RevisionUnavailable"))
}

func TestReferencesAreResolved(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker", Property{Name: "Text"})
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{
		custom("first", func(a *ActionDeclaration) { a.Namespace = "made" }),
		custom("second", order(2), configured("Text", "#{made.tag}/#{src.ObjectKey}/#{codepipeline.PipelineExecutionId}/#{variables.color}/#{variables.size}")),
	}})
	d.Variables = []Variable{{Name: "color", DefaultValue: "red"}, {Name: "size"}}
	w.create(d)
	request := StartRequest{Name: "p"}
	_, err := w.StartPipelineExecution(request)
	w.expectCode(err, "ValidationException") // size has no value
	request.Variables = append(request.Variables, struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}{"size", "big"})
	started, err := w.StartPipelineExecution(request)
	w.Expect(err).NotTo(HaveOccurred())
	w.succeedWith(w.claim(), map[string]string{"tag": "v1"})
	j := w.claim()
	want := "v1/app.zip/" + started.PipelineExecutionID + "/red/big"
	w.Expect(j.Data.ActionConfiguration.Configuration).To(HaveKeyWithValue("Text", want))
	detail := w.action("second")
	w.Expect(detail.Input.ResolvedConfiguration).To(HaveKeyWithValue("Text", want))
	w.Expect(detail.Input.Configuration["Text"]).To(HavePrefix("#{made.tag}"))
	w.Expect(w.action("first").Output.OutputVariables).To(HaveKeyWithValue("tag", "v1"))
	response, err := w.GetPipelineExecution(ExecutionRequest{"p", started.PipelineExecutionID})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.PipelineExecution.Variables).To(Equal([]ResolvedVariable{{"color", "red"}, {"size", "big"}}))
	w.Expect(response.PipelineExecution.ArtifactRevisions).To(HaveLen(1))
	w.Expect(response.PipelineExecution.ArtifactRevisions[0].Name).To(Equal("code"))
	w.Expect(response.PipelineExecution.ArtifactRevisions[0].RevisionID).To(Equal("etag-of-app.zip"))
}

func TestUnresolvableReferenceFailsTheAction(t *testing.T) {
	for _, text := range []string{"#{made.tag}", "#{src.Nope}", "#{variables.nope}", "#{codepipeline.Nope}", "#{x}"} {
		t.Run(text, func(t *testing.T) {
			w := newWorld(t)
			w.declareType("Build", "worker", Property{Name: "Text"})
			w.create(declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", configured("Text", text))}}))
			id := w.start()
			w.Expect(w.status(id)).To(Equal(failed))
			w.Expect(w.poll()).To(BeEmpty())
			w.Expect(w.action("b").Output.ExecutionResult.ErrorDetails.Code).To(Equal("ConfigurationError"))
		})
	}
}

func TestStartWithAnUndeclaredVariableStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	w.create(declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}}))
	request := StartRequest{Name: "p"}
	request.Variables = append(request.Variables, struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}{"nope", "x"})
	_, err := w.StartPipelineExecution(request)
	w.expectCode(err, "ValidationException")
	w.Expect(w.poll()).To(BeEmpty())
}

func TestRepeatedStartWithOneTokenStartsOnce(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	w.create(declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}}))
	first, err := w.StartPipelineExecution(StartRequest{Name: "p", ClientRequestToken: "t"})
	w.Expect(err).NotTo(HaveOccurred())
	again, err := w.StartPipelineExecution(StartRequest{Name: "p", ClientRequestToken: "t"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(again).To(Equal(first))
	other, err := w.StartPipelineExecution(StartRequest{Name: "p", ClientRequestToken: "u"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(other).NotTo(Equal(first))
}

func TestFailedActionFailsStageAndExecution(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("a"), custom("b"), custom("later", order(2)))
	jobs := w.poll()
	for _, j := range jobs {
		w.acknowledge(j)
	}
	w.failJob(jobs["a"])
	w.Expect(w.status(id)).To(Equal(inProgress), "the parallel action still runs")
	w.succeedWith(jobs["b"], nil)
	w.Expect(w.status(id)).To(Equal(failed))
	w.Expect(w.stageStatus("Build")).To(Equal(failed))
	w.Expect(w.action("a").Output.ExecutionResult.ErrorDetails).To(Equal(&ErrorDetails{"JobFailed", "broken"}))
	w.Expect(w.poll()).To(BeEmpty())
}

func TestStopWaitsForRunningActions(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("a"), custom("later", order(2)))
	j := w.claim()
	stop := StopRequest{PipelineName: "p", PipelineExecutionID: id, Reason: "enough"}
	_, err := w.StopPipelineExecution(stop)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.status(id)).To(Equal(stopping))
	_, err = w.StopPipelineExecution(stop)
	w.expectCode(err, "DuplicatedStopRequestException")
	w.succeedWith(j, nil)
	w.Expect(w.status(id)).To(Equal(stopped))
	w.Expect(w.stageStatus("Build")).To(Equal(stopped))
	w.Expect(w.poll()).To(BeEmpty())
	_, err = w.StopPipelineExecution(stop)
	w.expectCode(err, "PipelineExecutionNotStoppableException")
	stop.PipelineExecutionID = newID()
	_, err = w.StopPipelineExecution(stop)
	w.expectCode(err, "PipelineExecutionNotStoppableException")
	list, err := w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Summaries[0].StopTrigger.Reason).To(Equal("enough"))
}

func TestAbandonedActionsTakeNoResult(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("a"))
	j := w.claim()
	_, err := w.StopPipelineExecution(StopRequest{PipelineName: "p", PipelineExecutionID: id, Abandon: true})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.status(id)).To(Equal(stopped))
	w.Expect(w.action("a").Status).To(Equal(abandoned))
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	w.expectCode(err, "InvalidJobStateException")
	_, err = w.PutJobFailureResult(FailureRequest{JobID: j.ID})
	w.expectCode(err, "InvalidJobStateException")
	w.Expect(w.action("a").Status).To(Equal(abandoned))
}

func TestStoppingExecutionCanBeAbandoned(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("a"))
	w.claim()
	for _, abandon := range []bool{false, true} {
		_, err := w.StopPipelineExecution(StopRequest{PipelineName: "p", PipelineExecutionID: id, Abandon: abandon})
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.Expect(w.status(id)).To(Equal(stopped))
}

func TestDeletedPipelineAbandonsItsJobs(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("a"))
	j := w.claim()
	_, err := w.DeletePipeline(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	w.expectCode(err, "InvalidJobStateException")
	_, err = w.DeletePipeline(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
}

func beginTwice(w *world, mode string) (older, newer string) {
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	d.ExecutionMode = mode
	w.create(d)
	return w.start(), w.start()
}

func TestExecutionsDoNotShareAStage(t *testing.T) {
	for _, mode := range []string{"", "SUPERSEDED", "QUEUED"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			older, newer := beginTwice(w, mode)
			j := w.claim()
			w.Expect(j.Data.PipelineContext.PipelineExecutionID).To(Equal(older))
			state, err := w.GetPipelineState(NameRequest{"p"})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(state.StageStates[1].InboundExecutions).To(Equal([]StageExecution{{newer, inProgress, "STANDARD"}}))
			w.succeedWith(j, nil)
			j = w.claim()
			w.Expect(j.Data.PipelineContext.PipelineExecutionID).To(Equal(newer))
			w.succeedWith(j, nil)
			w.Expect(w.status(newer)).To(Equal(succeeded))
		})
	}
}

func TestParallelExecutionsShareAStage(t *testing.T) {
	w := newWorld(t)
	beginTwice(w, "PARALLEL")
	for range 2 {
		response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Build", "worker")})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(response.Jobs).To(HaveLen(1))
	}
}

func TestNewestWaitingExecutionSupersedesTheOther(t *testing.T) {
	for mode, want := range map[string]string{"SUPERSEDED": superseded, "QUEUED": inProgress} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			running, waiting := beginTwice(w, mode)
			newest := w.start()
			w.Expect(w.status(running)).To(Equal(inProgress))
			w.Expect(w.status(waiting)).To(Equal(want))
			w.Expect(w.status(newest)).To(Equal(inProgress))
		})
	}
}

func TestFailedExecutionFreesItsStage(t *testing.T) {
	w := newWorld(t)
	older, newer := beginTwice(w, "")
	w.failJob(w.claim())
	w.Expect(w.status(older)).To(Equal(failed))
	w.Expect(w.claim().Data.PipelineContext.PipelineExecutionID).To(Equal(newer))
}

func TestWaitingExecutionStopsAtOnce(t *testing.T) {
	w := newWorld(t)
	_, newer := beginTwice(w, "")
	_, err := w.StopPipelineExecution(StopRequest{PipelineName: "p", PipelineExecutionID: newer})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.status(newer)).To(Equal(stopped))
}

func TestOldSettledExecutionsAreForgotten(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.KeepExecutions = 2 })
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	d.ExecutionMode = "PARALLEL"
	w.create(d)
	open := w.start()
	w.claim()
	var done []string
	for range 4 {
		done = append(done, w.start())
		w.failJob(w.claim())
		w.clock.Step(time.Second)
	}
	list, err := w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	var kept []string
	for _, x := range list.Summaries {
		kept = append(kept, x.PipelineExecutionID)
	}
	w.Expect(kept).To(Equal([]string{done[3], done[2], open}))
	w.Expect(w.pipelines["p"].live).To(HaveLen(1))
	_, err = w.GetPipelineExecution(ExecutionRequest{"p", done[0]})
	w.expectCode(err, "PipelineExecutionNotFoundException")
}
