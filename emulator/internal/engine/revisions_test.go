package engine

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestRevisionIsShownWhereClientsReadIt(t *testing.T) {
	w := newWorld(t)
	w.declareType("Source", "worker")
	w.declareType("Build", "worker")
	d := declared(stageDeclaration{Name: "Build", Actions: []actionDeclaration{custom("b", func(a *actionDeclaration) { a.InputArtifacts = named("code") })}})
	d.Stages[0].Actions = []actionDeclaration{{Name: "fetch", ActionTypeID: customID("Source", "worker"), OutputArtifacts: named("code")}}
	w.create(d)
	started := w.start()
	response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Source", "worker")})
	w.Expect(err).NotTo(HaveOccurred())
	j := response.Jobs[0]
	w.acknowledge(j)
	w.upload(j)
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, CurrentRevision: &currentRevision{
		Revision: "commit", ChangeIdentifier: "change", Created: 1700000000.5, RevisionSummary: "Fix it"}})
	w.Expect(err).NotTo(HaveOccurred())

	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*state.StageStates[0].ActionStates[0].CurrentRevision).To(Equal(actionRevision{"commit", "change", 1700000000.5}))
	shown, err := w.GetPipelineExecution(ExecutionRequest{"p", started})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(shown.PipelineExecution.ArtifactRevisions).To(Equal([]artifactRevision{{
		Name: "code", RevisionID: "commit", RevisionChangeIdentifier: "change", RevisionSummary: "Fix it", Created: 1700000000.5}}))
	list, err := w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Summaries[0].SourceRevisions).To(Equal([]sourceRevision{{ActionName: "fetch", RevisionID: "commit", RevisionSummary: "Fix it"}}))
	w.Expect(list.Summaries[0].Trigger.Type).To(Equal("StartPipelineExecution"))
}

func TestRevisionWithoutATimeIsOfNow(t *testing.T) {
	w := newWorld(t)
	run := &actionRun{}
	run.take(SuccessRequest{CurrentRevision: &currentRevision{Revision: "r", ChangeIdentifier: "c"}}, w.clock.Now())
	w.Expect(run.revision.Created).To(Equal(epoch(w.clock.Now())))
}

func TestReferenceWithoutANamespaceIsNotResolved(t *testing.T) {
	x := &execution{stages: []*stageRun{{actions: []*actionRun{{status: succeeded, variables: map[string]string{"tag": "v1"}}}}}}
	_, err := x.lookup(".tag")
	NewWithT(t).Expect(err).To(HaveOccurred())
}
