package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
)

// world is an engine with a test clock and an S3 that is only a set of names.
type world struct {
	*WithT
	*Engine
	clock   *clocktesting.FakeClock
	objects objectSet
}

type objectSet map[string]bool

func (s objectSet) Copy(fromBucket, fromKey, wanted, toBucket, toKey string) (etag, version string, err error) {
	if !s.Exists(fromBucket, fromKey) {
		return "", "", errors.New("NoSuchKey")
	}
	s[toBucket+"/"+toKey] = true
	s["copied "+fromKey+" "+wanted] = true
	return "etag-of-" + fromKey, "", nil
}

func (s objectSet) Exists(bucket, key string) bool { return s[bucket+"/"+key] }

func newWorld(t *testing.T, adjust ...func(*Options)) *world {
	t.Helper()
	w := &world{
		WithT: NewWithT(t), objects: objectSet{"sources/app.zip": true},
		clock: clocktesting.NewFakeClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	options := Options{Clock: w.clock, Region: "us-east-1", AccountID: "111122223333", Objects: w.objects, CreateOnly: true}
	for _, change := range adjust {
		change(&options)
	}
	w.Engine = New(options)
	return w
}

func customID(category, provider string) TypeID { return TypeID{category, "Custom", provider, "1"} }

// declareType creates a custom action type with up to five input and output artifacts.
func (w *world) declareType(category, provider string, properties ...Property) {
	_, err := w.CreateActionType(typeRequest(category, provider, properties...))
	w.Expect(err).NotTo(HaveOccurred())
}

func typeRequest(category, provider string, properties ...Property) CreateActionTypeRequest {
	return CreateActionTypeRequest{
		Category: category, Provider: provider, Version: "1", Properties: properties,
		Inputs: ArtifactDetails{0, 5}, Outputs: ArtifactDetails{0, 5},
	}
}

func named(list ...string) []ArtifactName {
	var artifacts []ArtifactName
	for _, name := range list {
		artifacts = append(artifacts, ArtifactName{Name: name})
	}
	return artifacts
}

func sourceStage() StageDeclaration {
	return StageDeclaration{Name: "Source", Actions: []ActionDeclaration{{
		Name: "fetch", ActionTypeID: s3SourceType.ID, Namespace: "src", OutputArtifacts: named("code"),
		Configuration: map[string]string{"S3Bucket": "sources", "S3ObjectKey": "app.zip"},
	}}}
}

// custom returns a custom Build action of the provider "worker".
func custom(name string, adjust ...func(*ActionDeclaration)) ActionDeclaration {
	a := ActionDeclaration{Name: name, ActionTypeID: customID("Build", "worker")}
	for _, change := range adjust {
		change(&a)
	}
	return a
}

func declared(stages ...StageDeclaration) Declaration {
	return Declaration{
		Name: "p", PipelineType: "V2", RoleARN: "arn:aws:iam::111122223333:role/r", ArtifactStore: &ArtifactStore{Type: "S3", Location: "artifacts"},
		Stages: append([]StageDeclaration{sourceStage()}, stages...),
	}
}

func (w *world) create(d Declaration) {
	_, err := w.CreatePipeline(PipelineRequest{Pipeline: d})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) start() string {
	started, err := w.StartPipelineExecution(StartRequest{Name: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	return started.PipelineExecutionID
}

// begin creates a pipeline with one custom stage of these actions, and starts it.
func (w *world) begin(actions ...ActionDeclaration) string {
	w.declareType("Build", "worker")
	w.create(declared(StageDeclaration{Name: "Build", Actions: actions}))
	return w.start()
}

// poll polls for jobs and returns them by the names of their actions.
func (w *world) poll() map[string]JobResponse {
	response, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Build", "worker"), MaxBatchSize: 100})
	w.Expect(err).NotTo(HaveOccurred())
	jobs := map[string]JobResponse{}
	for _, j := range response.Jobs {
		jobs[j.Data.PipelineContext.Action.Name] = j
	}
	w.Expect(jobs).To(HaveLen(len(response.Jobs)), "several jobs of one action")
	return jobs
}

// claim polls for a job, of which there must be exactly one, and acknowledges it.
func (w *world) claim() JobResponse {
	jobs := w.poll()
	w.Expect(jobs).To(HaveLen(1))
	for _, j := range jobs {
		w.acknowledge(j)
		return j
	}
	panic("unreachable")
}

func (w *world) acknowledge(j JobResponse) {
	answer, err := w.AcknowledgeJob(AcknowledgeRequest{j.ID, j.Nonce})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(answer.Status).To(Equal(jobInProgress))
}

func (w *world) succeedWith(j JobResponse, variables map[string]string) {
	_, err := w.PutJobSuccessResult(SuccessRequest{JobID: j.ID, OutputVariables: variables})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) failJob(j JobResponse) {
	_, err := w.PutJobFailureResult(FailureRequest{j.ID, FailureDetails{Type: "JobFailed", Message: "broken"}})
	w.Expect(err).NotTo(HaveOccurred())
}

// upload creates the output objects of a job.
func (w *world) upload(j JobResponse) {
	for _, output := range j.Data.OutputArtifacts {
		w.objects[output.Location.S3Location.String()] = true
	}
}

func (w *world) status(id string) string {
	response, err := w.GetPipelineExecution(ExecutionRequest{"p", id})
	w.Expect(err).NotTo(HaveOccurred())
	return response.PipelineExecution.Status
}

// action returns an action's newest execution from ListActionExecutions.
func (w *world) action(name string) ActionExecutionDetail {
	response, err := w.ListActionExecutions(ListActionsRequest{PipelineName: "p"})
	w.Expect(err).NotTo(HaveOccurred())
	for _, detail := range response.Details {
		if detail.ActionName == name {
			return detail
		}
	}
	panic(fmt.Sprintf("action %s has not run", name))
}

func (w *world) stageStatus(name string) string {
	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	for _, stage := range state.StageStates {
		if stage.StageName == name && stage.LatestExecution != nil {
			return stage.LatestExecution.Status
		}
	}
	return ""
}

// expectCode expects an error of the service's model.
func (w *world) expectCode(err error, code string) {
	var known *Error
	w.Expect(errors.As(err, &known)).To(BeTrue(), "no error of the model: %v", err)
	w.Expect(known.Code).To(Equal(code), known.Message)
}
