package engine

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestRevisionIsShownWhereClientsReadIt(t *testing.T) {
	w := newWorld(t)
	w.declareType("Source", "worker")
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) { a.InputArtifacts = named("code") })}})
	d.Stages[0].Actions = []ActionDeclaration{{Name: "fetch", ActionTypeID: customID("Source", "worker"), OutputArtifacts: named("code")}}
	w.create(d)
	started := w.start()
	response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Source", "worker")})
	w.Expect(err).NotTo(HaveOccurred())
	j := response.Jobs[0]
	w.acknowledge(j)
	w.upload(j)
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, CurrentRevision: &CurrentRevision{
		Revision: "commit", ChangeIdentifier: "change", Created: 1700000000.5, RevisionSummary: "Fix it"}})
	w.Expect(err).NotTo(HaveOccurred())

	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*state.StageStates[0].ActionStates[0].CurrentRevision).To(Equal(ActionRevision{"commit", "change", 1700000000.5}))
	shown, err := w.GetPipelineExecution(ExecutionRequest{"p", started})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(shown.PipelineExecution.ArtifactRevisions).To(Equal([]ArtifactRevision{{
		Name: "code", RevisionID: "commit", RevisionChangeIdentifier: "change", RevisionSummary: "Fix it", Created: 1700000000.5}}))
	list, err := w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Summaries[0].SourceRevisions).To(Equal([]SourceRevision{{ActionName: "fetch", RevisionID: "commit", RevisionSummary: "Fix it"}}))
	w.Expect(list.Summaries[0].Trigger.Type).To(Equal("StartPipelineExecution"))
}

func TestRevisionWithoutATimeIsOfNow(t *testing.T) {
	w := newWorld(t)
	run := &actionRun{}
	run.take(SuccessRequest{CurrentRevision: &CurrentRevision{Revision: "r", ChangeIdentifier: "c"}}, w.clock.Now())
	w.Expect(run.revision.Created).To(Equal(epoch(w.clock.Now())))
}

func TestReferenceWithoutANamespaceIsNotResolved(t *testing.T) {
	x := &execution{stages: []*stageRun{{actions: []*actionRun{{status: succeeded, variables: map[string]string{"tag": "v1"}}}}}}
	_, err := x.lookup(".tag")
	NewWithT(t).Expect(err).To(HaveOccurred())
}
