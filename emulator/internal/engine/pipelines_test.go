package engine

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
)

func TestDeclarationsAreChecked(t *testing.T) {
	stages := func(actions ...ActionDeclaration) func(*Declaration) {
		return func(d *Declaration) { d.Stages = []StageDeclaration{sourceStage(), {Name: "Build", Actions: actions}} }
	}
	makes := func(a *ActionDeclaration) { a.OutputArtifacts = named("out") }
	takes := func(a *ActionDeclaration) { a.InputArtifacts = named("out") }
	space := func(a *ActionDeclaration) { a.Namespace = "src" }
	stores := func(region string) func(*Declaration) {
		return func(d *Declaration) {
			d.ArtifactStore, d.ArtifactStores = nil, map[string]ArtifactStore{region: *d.ArtifactStore}
		}
	}
	cases := map[string]struct {
		change func(*Declaration)
		code   string // empty if valid
	}{
		"one stage":                       {func(d *Declaration) { d.Stages = d.Stages[:1] }, "InvalidStructureException"},
		"no artifact store":               {func(d *Declaration) { d.ArtifactStore = nil }, "InvalidStructureException"},
		"two kinds of artifact stores":    {func(d *Declaration) { d.ArtifactStores = map[string]ArtifactStore{"us-east-1": *d.ArtifactStore} }, "InvalidStructureException"},
		"artifact store elsewhere":        {stores("eu-west-1"), "InvalidStructureException"},
		"artifact stores":                 {stores("us-east-1"), ""},
		"V1, and parallel":                {func(d *Declaration) { d.PipelineType, d.ExecutionMode = "", "PARALLEL" }, "InvalidStructureException"},
		"V1, with variables":              {func(d *Declaration) { d.PipelineType, d.Variables = "V1", []Variable{{Name: "v"}} }, "InvalidStructureException"},
		"V1, with triggers":               {func(d *Declaration) { d.PipelineType, d.Triggers = "V1", []json.RawMessage{json.RawMessage("{}")} }, "InvalidStructureException"},
		"blockers":                        {func(d *Declaration) { d.Stages[1].Blockers = []json.RawMessage{json.RawMessage("{}")} }, "InvalidBlockerDeclarationException"},
		"custom action elsewhere":         {stages(custom("b", func(a *ActionDeclaration) { a.Region = "eu-west-1" })), "InvalidActionDeclarationException"},
		"S3 source without a key":         {func(d *Declaration) { delete(d.Stages[0].Actions[0].Configuration, "S3ObjectKey") }, "InvalidActionDeclarationException"},
		"no action":                       {stages(), "InvalidStageDeclarationException"},
		"source later":                    {stages(sourceStage().Actions[0]), "InvalidStructureException"},
		"no source first":                 {func(d *Declaration) { d.Stages[0].Actions = []ActionDeclaration{custom("b")} }, "InvalidStructureException"},
		"two stages of one name":          {func(d *Declaration) { d.Stages[1].Name = "Source" }, "InvalidStageDeclarationException"},
		"two actions of one name":         {stages(custom("b"), custom("b")), "InvalidActionDeclarationException"},
		"two namespaces of one name":      {stages(custom("b", space)), "InvalidActionDeclarationException"},
		"input that nobody makes":         {stages(custom("b", takes)), "InvalidActionDeclarationException"},
		"input made at the same time":     {stages(custom("a", makes), custom("b", takes)), "InvalidActionDeclarationException"},
		"input made later":                {stages(custom("a", makes, order(2)), custom("b", takes)), "InvalidActionDeclarationException"},
		"input made before, listed later": {stages(custom("b", takes, order(2)), custom("a", makes)), ""},
		"output made twice":               {stages(custom("a", makes), custom("b", makes)), "InvalidActionDeclarationException"},
		"unknown type":                    {stages(custom("b", func(a *ActionDeclaration) { a.ActionTypeID.Version = "2" })), "InvalidActionDeclarationException"},
		"unknown property":                {stages(custom("b", configured("Nope", "x"))), "InvalidActionDeclarationException"},
		"missing property":                {stages(custom("b", func(a *ActionDeclaration) { a.ActionTypeID.Provider = "strict" })), "InvalidActionDeclarationException"},
		"too many inputs": {stages(custom("b", configured("Must", "x"), func(a *ActionDeclaration) {
			a.ActionTypeID.Provider, a.InputArtifacts = "strict", named("code")
		})), "InvalidActionDeclarationException"},
		"too few outputs": {stages(custom("b", configured("Must", "x"), func(a *ActionDeclaration) { a.ActionTypeID.Provider = "strict" })), "InvalidActionDeclarationException"},
		"good":            {stages(custom("b", makes, configured("Must", "x"), func(a *ActionDeclaration) { a.ActionTypeID.Provider = "strict" })), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.declareType("Build", "worker")
			strict := typeRequest("Build", "strict", Property{Name: "Must", Required: true})
			strict.Inputs, strict.Outputs = ArtifactDetails{}, ArtifactDetails{1, 1}
			_, err := w.CreateActionType(strict)
			w.Expect(err).NotTo(HaveOccurred())
			d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
			c.change(&d)
			_, err = w.CreatePipeline(PipelineRequest{Pipeline: d})
			if c.code == "" {
				w.Expect(err).NotTo(HaveOccurred())
				return
			}
			w.expectCode(err, c.code)
			_, err = w.GetPipeline(GetPipelineRequest{Name: "p"})
			w.expectCode(err, "PipelineNotFoundException")
		})
	}
}

func TestPipelineVersions(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}}, StageDeclaration{Name: "Later", Actions: []ActionDeclaration{custom("c")}})
	_, err := w.UpdatePipeline(PipelineRequest{Pipeline: d})
	w.expectCode(err, "PipelineNotFoundException")
	w.create(d)
	_, err = w.CreatePipeline(PipelineRequest{Pipeline: d})
	w.expectCode(err, "PipelineNameInUseException")
	id := w.start()
	d.Stages[2].Name = "Renamed"
	updated, err := w.UpdatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(updated.Pipeline.Version).To(Equal(2))

	for version, stage := range map[int]string{0: "Renamed", 1: "Later", 2: "Renamed"} {
		read, err := w.GetPipeline(GetPipelineRequest{"p", version})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(read.Pipeline.Stages[2].Name).To(Equal(stage))
	}
	_, err = w.GetPipeline(GetPipelineRequest{"p", 3})
	w.expectCode(err, "PipelineVersionNotFoundException")

	w.succeedWith(w.claim(), nil)
	w.succeedWith(w.claim(), nil)
	w.Expect(w.stageStatus("Renamed")).To(BeEmpty(), "the execution has the stage by its old name")
	w.Expect(w.status(id)).To(Equal(succeeded), "it goes on as it was declared when it began")
}

func TestSecretsAreShownToWorkersOnly(t *testing.T) {
	const secret = "hunter-two"
	w := newWorld(t)
	request := typeRequest("Build", "worker", Property{Name: "Token", Secret: true}, Property{Name: "Plain"})
	request.Settings = &Settings{ExecutionURLTemplate: "https://ci/{ExternalExecutionId}?t={Config:Token}&p={Config:Plain}"}
	_, err := w.CreateActionType(request)
	w.Expect(err).NotTo(HaveOccurred())
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) {
		a.Configuration = map[string]string{"Token": secret, "Plain": "seen"}
	})}})
	created, err := w.CreatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
	updated, err := w.UpdatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
	w.start()
	j := w.claim()
	w.Expect(j.Data.ActionConfiguration.Configuration).To(HaveKeyWithValue("Token", secret))
	details, err := w.GetJobDetails(JobRequest{j.ID})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(details.JobDetails.Data.ActionConfiguration.Configuration).To(HaveKeyWithValue("Token", secret))
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, ExecutionDetails: &ExecutionDetails{ExternalExecutionID: "7"}})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.DeleteActionType(DeleteActionTypeRequest{"Build", "worker", "1"})
	w.Expect(err).NotTo(HaveOccurred())

	read, err := w.GetPipeline(GetPipelineRequest{Name: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	actions, err := w.ListActionExecutions(ListActionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	for name, shown := range map[string]any{"CreatePipeline": created, "UpdatePipeline": updated, "GetPipeline": read, "GetPipelineState": state, "ListActionExecutions": actions} {
		text, err := json.Marshal(shown)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(string(text)).NotTo(ContainSubstring(secret), name)
		w.Expect(string(text)).To(ContainSubstring("****"), name)
		w.Expect(string(text)).To(ContainSubstring("seen"), name)
	}
}

func TestExecutionURLComesFromItsTemplate(t *testing.T) {
	w := newWorld(t)
	request := typeRequest("Build", "worker", Property{Name: "Project"})
	request.Settings = &Settings{
		EntityURLTemplate:    "https://ci/{Config:Project}",
		ExecutionURLTemplate: "https://ci/{Config:Project}/{ExternalExecutionId}",
		RevisionURLTemplate:  "https://ci/fixed",
	}
	_, err := w.CreateActionType(request)
	w.Expect(err).NotTo(HaveOccurred())
	w.create(declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", configured("Project", "one/two"))}}))
	w.start()
	state := func() ActionState {
		response, err := w.GetPipelineState(NameRequest{"p"})
		w.Expect(err).NotTo(HaveOccurred())
		return response.StageStates[1].ActionStates[0]
	}
	w.Expect(state().LatestExecution.ExternalExecutionURL).To(BeEmpty(), "there is no external ID yet")
	w.Expect(state().EntityURL).To(Equal("https://ci/one/two"))
	w.Expect(state().RevisionURL).To(Equal("https://ci/fixed"))
	_, err = w.PutJobSuccessResult(SuccessRequest{
		JobID: w.claim().ID, ExecutionDetails: &ExecutionDetails{ExternalExecutionID: "run/7"},
		CurrentRevision: &CurrentRevision{Revision: "r1", ChangeIdentifier: "c1"},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(state().LatestExecution.ExternalExecutionURL).To(Equal("https://ci/one/two/run/7"))
	w.Expect(w.action("b").Output.ExecutionResult.ExternalExecutionURL).To(Equal("https://ci/one/two/run/7"))
	w.Expect(state().CurrentRevision.RevisionID).To(Equal("r1"))
}

func TestCustomSourceGivesItsRevision(t *testing.T) {
	w := newWorld(t)
	w.declareType("Source", "worker")
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) { a.InputArtifacts = named("code") })}})
	d.Stages[0].Actions = []ActionDeclaration{{Name: "fetch", ActionTypeID: customID("Source", "worker"), OutputArtifacts: named("code")}}
	w.create(d)
	w.start()
	response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Source", "worker")})
	w.Expect(err).NotTo(HaveOccurred())
	j := response.Jobs[0]
	w.acknowledge(j)
	w.upload(j)
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, CurrentRevision: &CurrentRevision{Revision: "commit", ChangeIdentifier: "c"}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.claim().Data.InputArtifacts[0].Revision).To(Equal("commit"))
	w.Expect(j.Data.OutputArtifacts[0].Revision).To(BeEmpty(), "what was handed out does not change")
}

func TestPagesOfLists(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("a"), custom("b"), custom("c"))
	var seen []string
	request := ListActionsRequest{PipelineName: "p", page: page{MaxResults: 3}}
	for {
		response, err := w.ListActionExecutions(request)
		w.Expect(err).NotTo(HaveOccurred())
		for _, detail := range response.Details {
			seen = append(seen, detail.ActionName)
		}
		if request.NextToken = response.NextToken; request.NextToken == "" {
			break
		}
	}
	w.Expect(seen).To(Equal([]string{"c", "b", "a", "fetch"}))
	for _, token := range []string{"x", "0", "-1", "99"} {
		wrong := page{NextToken: token}
		_, err := w.ListActionExecutions(ListActionsRequest{PipelineName: "p", page: wrong})
		w.expectCode(err, "InvalidNextTokenException")
		_, err = w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p", page: wrong})
		w.expectCode(err, "InvalidNextTokenException")
		_, err = w.ListPipelines(ListPipelinesRequest{wrong})
		w.expectCode(err, "InvalidNextTokenException")
		_, err = w.ListActionTypes(ListActionTypesRequest{NextToken: token})
		w.expectCode(err, "InvalidNextTokenException")
	}
}

func TestListsOfUnknownPipelinesAndExecutions(t *testing.T) {
	w := newWorld(t)
	_, err := w.ListActionExecutions(ListActionsRequest{PipelineName: "p"})
	w.expectCode(err, "PipelineNotFoundException")
	_, err = w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.expectCode(err, "PipelineNotFoundException")
	_, err = w.GetPipelineState(NameRequest{"p"})
	w.expectCode(err, "PipelineNotFoundException")
	id := w.begin(custom("a"))
	request := ListActionsRequest{PipelineName: "p"}
	request.Filter.PipelineExecutionID = id
	list, err := w.ListActionExecutions(request)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Details).To(HaveLen(2))
	request.Filter.PipelineExecutionID = newID()
	_, err = w.ListActionExecutions(request)
	w.expectCode(err, "PipelineExecutionNotFoundException")
	executions := ListExecutionsRequest{PipelineName: "p"}
	for stage, want := range map[string]int{"Source": 1, "Build": 0, "": 1} {
		executions.Filter.SucceededInStage.StageName = stage
		found, err := w.ListPipelineExecutions(executions)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(found.Summaries).To(HaveLen(want), stage)
	}
}
