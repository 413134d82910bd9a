package engine

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestPollGivesAJobOnceUntilRedispatch(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	first := w.poll()["b"]
	w.Expect(w.poll()).To(BeEmpty())
	w.clock.Step(time.Minute - 1)
	w.Expect(w.poll()).To(BeEmpty())
	w.clock.Step(1)
	second := w.poll()["b"]
	w.Expect(second.ID).To(Equal(first.ID))
	w.Expect(second.Nonce).NotTo(Equal(first.Nonce))
	_, err := w.AcknowledgeJob(AcknowledgeRequest{first.ID, first.Nonce})
	w.expectCode(err, "InvalidNonceException")
	w.acknowledge(second)
}

func TestUnclaimedJobIsNeverHandedOutAgain(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RedispatchAfter = RedispatchNever })
	w.begin(custom("b"))
	job := w.poll()["b"]
	w.clock.Step(time.Hour)
	w.Expect(w.poll()).To(BeEmpty())
	w.acknowledge(job)
}

func TestAcknowledgedJobIsNotHandedOutAgain(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	w.claim()
	w.clock.Step(time.Hour)
	w.Expect(w.poll()).To(BeEmpty())
}

func TestNonceIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.poll()["b"]
	_, err := w.AcknowledgeJob(AcknowledgeRequest{j.ID, "wrong"})
	w.expectCode(err, "InvalidNonceException")
	w.acknowledge(j)
	_, err = w.AcknowledgeJob(AcknowledgeRequest{j.ID, j.Nonce})
	w.expectCode(err, "InvalidNonceException")
}

func TestPollGivesOneJobUnlessABatchIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("a"), custom("b"), custom("c"))
	for _, step := range []struct{ batch, want int }{{0, 1}, {5, 2}, {5, 0}} {
		response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Build", "worker"), MaxBatchSize: step.batch})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(response.Jobs).To(HaveLen(step.want))
	}
}

func TestPollOfAnUnknownOrDeletedType(t *testing.T) {
	w := newWorld(t)
	request := PollRequest{ActionTypeID: customID("Build", "worker")}
	_, err := w.PollForJobs(request)
	w.expectCode(err, "ActionTypeNotFoundException")
	w.begin(custom("b"))
	_, err = w.DeleteActionType(DeleteActionTypeRequest{"Build", "worker", "1"})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.PollForJobs(request)
	w.expectCode(err, "ActionTypeNotFoundException")
}

func TestUnknownJob(t *testing.T) {
	w := newWorld(t)
	_, err := w.AcknowledgeJob(AcknowledgeRequest{"nope", "1"})
	w.expectCode(err, "JobNotFoundException")
	_, err = w.GetJobDetails(JobRequest{"nope"})
	w.expectCode(err, "JobNotFoundException")
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: "nope"})
	w.expectCode(err, "JobNotFoundException")
	_, err = w.PutJobFailureResult(FailureRequest{JobID: "nope"})
	w.expectCode(err, "JobNotFoundException")
}

func TestJobDetailsOfOpenJobsOnlyWithNewCredentials(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.claim()
	details, err := w.GetJobDetails(JobRequest{j.ID})
	w.Expect(err).NotTo(HaveOccurred())
	fresh := details.JobDetails.Data.ArtifactCredentials
	w.Expect(fresh.AccessKeyID).NotTo(Equal(j.Data.ArtifactCredentials.AccessKeyID))
	w.Expect(fresh.SessionToken).NotTo(Equal(j.Data.ArtifactCredentials.SessionToken))
	w.Expect(details.JobDetails.Nonce).To(BeEmpty())
	w.succeedWith(j, nil)
	_, err = w.GetJobDetails(JobRequest{j.ID})
	w.expectCode(err, "JobNotFoundException")
}

func TestResultsAreTakenFromClaimedJobsOnly(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.poll()["b"]
	refused := func() {
		_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
		w.expectCode(err, "InvalidJobStateException")
		_, err = w.PutJobFailureResult(FailureRequest{JobID: j.ID})
		w.expectCode(err, "InvalidJobStateException")
	}
	refused()
	w.acknowledge(j)
	w.succeedWith(j, nil)
	refused()
}

func TestContinuationIsANewJobOfTheSameActionExecution(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b", func(a *ActionDeclaration) { a.OutputArtifacts = named("out") }))
	first := w.claim()
	percent := 40
	_, err := w.PutJobSuccessResult(SuccessRequest{
		JobID: first.ID, ContinuationToken: "token-1",
		ExecutionDetails: &ExecutionDetails{Summary: "going", ExternalExecutionID: "ext", PercentComplete: &percent},
	})
	w.Expect(err).NotTo(HaveOccurred())
	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	shown := state.StageStates[1].ActionStates[0].LatestExecution
	w.Expect(shown.Status).To(Equal(inProgress))
	w.Expect(shown.Summary).To(Equal("going"))
	w.Expect(shown.ExternalExecutionID).To(Equal("ext"))
	w.Expect(*shown.PercentComplete).To(Equal(40))

	w.Expect(w.poll()).To(BeEmpty())
	w.clock.Step(5 * time.Second)
	second := w.claim()
	w.Expect(second.ID).NotTo(Equal(first.ID))
	w.Expect(second.Data.ContinuationToken).To(Equal("token-1"))
	w.Expect(second.Data.PipelineContext.Action).To(Equal(first.Data.PipelineContext.Action))
	w.Expect(second.Data.OutputArtifacts).To(Equal(first.Data.OutputArtifacts))
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: first.ID})
	w.expectCode(err, "InvalidJobStateException")
	w.upload(second)
	w.succeedWith(second, nil)
	w.Expect(w.status(id)).To(Equal(succeeded))
}

func TestOutputVariablesAreRefusedWithAContinuationToken(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.claim()
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, ContinuationToken: "t", OutputVariables: map[string]string{"a": "b"}})
	w.expectCode(err, "ValidationException")
	w.succeedWith(j, nil) // still open
}

func TestOutputVariablesMayHave122880Bytes(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b"))
	j := w.claim()
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, OutputVariables: map[string]string{"key": strings.Repeat("x", 122878)}})
	w.expectCode(err, "OutputVariablesSizeExceededException")
	w.Expect(w.status(id)).To(Equal(inProgress))
	w.succeedWith(j, map[string]string{"key": strings.Repeat("x", 122877)})
	w.Expect(w.status(id)).To(Equal(succeeded))
}

func TestQueryParam(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker", Property{Name: "Pool", Required: true, Queryable: true}, Property{Name: "Other"})
	w.declareType("Test", "plain")
	in := func(pool string) func(*ActionDeclaration) {
		return func(a *ActionDeclaration) { a.Configuration = map[string]string{"Pool": pool} }
	}
	w.create(declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("a", in("red")), custom("b", in("blue"))}}))
	w.start()
	cases := map[string]struct {
		id    TypeID
		query map[string]string
		code  string
		jobs  int
	}{
		"required":          {customID("Build", "worker"), nil, "ValidationException", 0},
		"another property":  {customID("Build", "worker"), map[string]string{"Other": "red"}, "ValidationException", 0},
		"no queryable":      {customID("Test", "plain"), map[string]string{"Pool": "red"}, "ValidationException", 0},
		"none of the value": {customID("Build", "worker"), map[string]string{"Pool": "green"}, "", 0},
		"one of the value":  {customID("Build", "worker"), map[string]string{"Pool": "blue"}, "", 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			response, err := w.PollForJobs(PollRequest{ActionTypeID: c.id, MaxBatchSize: 10, QueryParam: c.query})
			if c.code != "" {
				w.expectCode(err, c.code)
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(response.Jobs).To(HaveLen(c.jobs))
		})
	}
}

func TestActionTimesOut(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b"))
	j := w.claim()
	w.clock.Step(24*time.Hour - 1)
	w.Expect(w.status(id)).To(Equal(inProgress))
	w.clock.Step(1)
	w.Expect(w.status(id)).To(Equal(failed))
	w.Expect(w.action("b").Output.ExecutionResult.ErrorDetails.Message).To(ContainSubstring("24h0m0s"))
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	w.expectCode(err, "InvalidJobStateException")
}

func TestTimeoutRunsAcrossContinuations(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ActionTimeout = time.Hour })
	id := w.begin(custom("b"))
	for range 3 {
		j := w.claim()
		w.clock.Step(25 * time.Minute)
		if w.status(id) == failed {
			return
		}
		_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, ContinuationToken: "t"})
		w.Expect(err).NotTo(HaveOccurred())
		w.clock.Step(5 * time.Second)
	}
	t.Fatal("the action did not time out")
}

func TestEndedJobsAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.claim()
	w.succeedWith(j, nil)
	w.clock.Step(time.Hour - 1)
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	w.expectCode(err, "InvalidJobStateException")
	w.clock.Step(1)
	_, err = w.PutJobSuccessResult(SuccessRequest{JobID: j.ID})
	w.expectCode(err, "JobNotFoundException")
	w.Expect(w.jobs).To(BeEmpty())
	w.Expect(w.queues).To(BeEmpty())
	w.Expect(w.deadlines).To(BeEmpty())
	w.Expect(w.ended).To(BeEmpty())
	w.Expect(w.credentials).To(BeEmpty())
	w.Expect(w.issued).To(BeEmpty())
}

func TestOpenJobIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	j := w.claim()
	w.clock.Step(20 * time.Hour)
	w.succeedWith(j, nil)
}

func TestGrantIsForTheJobsArtifactsUntilItExpires(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b", func(a *ActionDeclaration) {
		a.InputArtifacts, a.OutputArtifacts = named("code"), named("out")
	})}})
	d.ArtifactStore.EncryptionKey = &EncryptionKey{"key-1", "KMS"}
	w.create(d)
	w.start()
	j := w.claim()
	w.Expect(j.Data.EncryptionKey.ID).To(Equal("key-1"))
	key := j.Data.ArtifactCredentials.AccessKeyID
	grant, ok := w.GrantOf(key)
	w.Expect(ok).To(BeTrue())
	w.Expect(grant.Read).To(HaveLen(1))
	w.Expect(grant.Read).To(HaveKey(j.Data.InputArtifacts[0].Location.S3Location.String()))
	w.Expect(grant.Write).To(HaveLen(1))
	w.Expect(grant.Write).To(HaveKey(j.Data.OutputArtifacts[0].Location.S3Location.String()))
	w.Expect(grant.KeyID).To(Equal("key-1"))
	w.Expect(grant.SessionToken).To(Equal(j.Data.ArtifactCredentials.SessionToken))
	w.Expect(grant.Expires).To(Equal(w.clock.Now().Add(15 * time.Minute)))

	w.failJob(j) // does not end its session
	grant, ok = w.GrantOf(key)
	w.Expect(ok).To(BeTrue())
	w.Expect(grant.Write).To(HaveLen(1))

	w.clock.Step(time.Hour)
	w.poll()
	_, ok = w.GrantOf(key)
	w.Expect(ok).To(BeFalse())
	w.Expect(IsJobKey(key)).To(BeTrue(), "a job's key must not become an ordinary caller's")
	w.Expect(IsJobKey("AKIAANYBODY")).To(BeFalse())
}

func TestAcknowledgingWhatHasEndedDoesNotClaim(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b"))
	j := w.poll()["b"]
	_, err := w.StopPipelineExecution(StopRequest{PipelineName: "p", PipelineExecutionID: id, Abandon: true})
	w.Expect(err).NotTo(HaveOccurred())
	answer, err := w.AcknowledgeJob(AcknowledgeRequest{j.ID, j.Nonce})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(answer.Status).To(Equal(jobFailed))
}

func TestMemoryDoesNotGrowWithWorkDone(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.KeepExecutions = 10 })
	w.begin(custom("b"))
	for range 500 {
		w.succeedWith(w.claim(), nil)
		w.clock.Step(time.Minute)
		w.start()
	}
	w.Expect(len(w.jobs)).To(BeNumerically("<=", 62), "an hour's jobs")
	w.Expect(len(w.credentials)).To(BeNumerically("<=", 17), "a quarter's credentials")
	w.Expect(w.credentials).To(HaveLen(len(w.issued)))
	w.Expect(w.pipelines["p"].executions).To(HaveLen(11))
	w.Expect(w.queues).To(HaveLen(1))
	w.Expect(w.deadlines).To(HaveLen(1))
}
