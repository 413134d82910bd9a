package engine

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestCreatePipelineStartsIt(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.CreateOnly = false })
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	w.create(d)
	w.Expect(w.poll()).To(HaveLen(1))
	list, err := w.ListPipelineExecutions(ListExecutionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Summaries).To(HaveLen(1))
	w.Expect(list.Summaries[0].Trigger.Type).To(Equal("CreatePipeline"))

	d.Name, d.Variables = "needs", []Variable{{Name: "level"}}
	w.create(d)
	w.Expect(w.poll()).To(BeEmpty(), "nobody gave the variable a value")
}

func TestStartSaysWhatStartedIt(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b"))
	shown, err := w.GetPipelineExecution(ExecutionRequest{"p", id})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(shown.PipelineExecution.Trigger).To(Equal(Trigger{"StartPipelineExecution", "arn:aws:iam::111122223333:user/emulator"}))
}

func TestSourceRevisions(t *testing.T) {
	type try struct {
		override SourceOverride
		code     string
		copied   string // the copied object
	}
	cases := map[string]try{
		"a version":       {SourceOverride{"fetch", "S3_OBJECT_VERSION_ID", "v7"}, "", "app.zip v7"},
		"a key":           {SourceOverride{"fetch", "S3_OBJECT_KEY", "other.zip"}, "", "other.zip "},
		"another action":  {SourceOverride{"nope", "S3_OBJECT_KEY", "other.zip"}, "ValidationException", ""},
		"a type of git's": {SourceOverride{"fetch", "COMMIT_ID", "abc"}, "ValidationException", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.objects["sources/other.zip"] = true
			w.declareType("Build", "worker")
			d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
			d.Stages[0].Actions[0].Configuration["AllowOverrideForS3ObjectKey"] = "true"
			w.create(d)
			_, err := w.StartPipelineExecution(StartRequest{Name: "p", SourceRevisions: []SourceOverride{c.override}})
			if c.code != "" {
				w.expectCode(err, c.code)
				return
			}
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.objects).To(HaveKey("copied " + c.copied))
		})
	}
	w := newWorld(t)
	w.begin(custom("b"))
	_, err := w.StartPipelineExecution(StartRequest{Name: "p", SourceRevisions: []SourceOverride{{"fetch", "S3_OBJECT_KEY", "other.zip"}}})
	w.expectCode(err, "ValidationException") // the action does not allow an override
}

// TestDeclarationComesBackWhole uses every member that a pipeline may have.
func TestDeclarationComesBackWhole(t *testing.T) {
	const whole = `{
		"name": "p", "roleArn": "arn:aws:iam::111122223333:role/r", "version": 1, "executionMode": "QUEUED", "pipelineType": "V2",
		"artifactStores": {"us-east-1": {"type": "S3", "location": "artifacts", "encryptionKey": {"id": "k", "type": "KMS"}}},
		"stages": [
			{"name": "Source", "actions": [{"name": "fetch", "runOrder": 1, "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
				"configuration": {"S3Bucket": "sources", "S3ObjectKey": "app.zip"}, "inputArtifacts": [], "outputArtifacts": [{"name": "code", "files": ["a", "b"]}],
				"namespace": "src", "roleArn": "arn:aws:iam::111122223333:role/a", "region": "us-east-1"}]},
			{"name": "Build", "actions": [{"name": "compute", "runOrder": 2, "actionTypeId": {"category": "Compute", "owner": "AWS", "provider": "Commands", "version": "1"},
				"configuration": {}, "inputArtifacts": [{"name": "code"}], "outputArtifacts": [], "commands": ["make"], "outputVariables": ["A"], "timeoutInMinutes": 5,
				"environmentVariables": [{"name": "N", "value": "v", "type": "PLAINTEXT"}]}],
				"onFailure": {"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}},
				"onSuccess": {"conditions": [{"result": "FAIL"}]}, "beforeEntry": {"conditions": [{"result": "SKIP"}]}}],
		"variables": [{"name": "level", "defaultValue": "low", "description": "d"}],
		"triggers": [{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "fetch"}}]}`
	w := newWorld(t)
	var request PipelineRequest
	w.Expect(json.Unmarshal([]byte(whole), &request.Pipeline)).To(Succeed())
	_, err := w.CreatePipeline(request)
	w.Expect(err).NotTo(HaveOccurred())
	answer, err := w.GetPipeline(GetPipelineRequest{Name: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	shown, err := json.Marshal(answer.Pipeline)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(shown).To(MatchJSON(whole))
}

// TestCustomActionsOfEachCategory runs an action of each category, the source first.
func TestCustomActionsOfEachCategory(t *testing.T) {
	w := newWorld(t)
	categories := []string{"Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"}
	d := declared()
	d.Stages = nil
	for _, category := range categories {
		w.declareType(category, "worker")
		d.Stages = append(d.Stages, StageDeclaration{Name: category, Actions: []ActionDeclaration{{Name: "a", ActionTypeID: customID(category, "worker")}}})
	}
	w.create(d)
	id := w.start()
	for _, category := range categories {
		polled, err := w.PollForJobs(PollRequest{ActionTypeID: customID(category, "worker")})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(polled.Jobs).To(HaveLen(1), category)
		w.acknowledge(polled.Jobs[0])
		w.succeedWith(polled.Jobs[0], nil)
	}
	w.Expect(w.status(id)).To(Equal(succeeded))
}

func TestApprovalIsOfTheDeclarationThatItBeganWith(t *testing.T) {
	w := newWorld(t)
	id := w.begin(approval())
	token := w.approvalToken()
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{approval(), custom("b", order(2))}})
	_, err := w.UpdatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.approve("Approved", token)).To(Succeed())
	w.Expect(w.status(id)).To(Equal(succeeded), "it has no action b")
}

func TestChangedStructureIsNotRetried(t *testing.T) {
	w := newWorld(t)
	id := w.begin(custom("b"))
	w.failJob(w.claim())
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b"), custom("c")}})
	_, err := w.UpdatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.RetryStageExecution(RetryRequest{"p", "Build", id, "FAILED_ACTIONS"})
	w.expectCode(err, "StageNotRetryableException")
}

func TestParallelExecutionIsRetriedThoughANewerOneRuns(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	d.ExecutionMode = "PARALLEL"
	w.create(d)
	id := w.start()
	w.failJob(w.claim())
	w.start()
	_, err := w.RetryStageExecution(RetryRequest{"p", "Build", id, "FAILED_ACTIONS"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.status(id)).To(Equal(inProgress))
}

// TestJobsAreHandedOutOldestFirst: polls return jobs that were not acknowledged in time, then ready
// jobs, in order.
func TestJobsAreHandedOutOldestFirst(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("a"), custom("b"), custom("c"))
	one := func() string {
		response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Build", "worker")})
		w.Expect(err).NotTo(HaveOccurred())
		if len(response.Jobs) == 0 {
			return ""
		}
		return response.Jobs[0].Data.PipelineContext.Action.Name
	}
	w.Expect(one()).To(Equal("a"))
	w.clock.Step(30 * time.Second)
	w.Expect(one()).To(Equal("b"))
	w.clock.Step(30 * time.Second)
	w.Expect(one()).To(Equal("a"))
	w.Expect(one()).To(Equal("c"))
	w.Expect(one()).To(BeEmpty())
	w.clock.Step(30 * time.Second)
	w.Expect(one()).To(Equal("b"))
}

func TestTagKeyTwiceIsRefused(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	_, err := w.TagResource(TagRequest{w.pipelineARN("p"), []Tag{{"k", "1"}, {"k", "2"}}})
	w.expectCode(err, "InvalidTagsException")
}
