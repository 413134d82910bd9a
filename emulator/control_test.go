package emulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// control calls the emulator's control API.
func (w *world) control(method, path, body string) (status int, answer string) {
	request, err := http.NewRequestWithContext(w.ctx, method, w.emulator.URL()+"/_emulator/"+path, strings.NewReader(body))
	w.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	w.Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(response.Body)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode, string(text)
}

func (w *world) list() error {
	_, err := w.pipelines.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	return err
}

func TestFaultsOverHTTP(t *testing.T) {
	w := newWorld(t)
	status, answer := w.control(http.MethodPost, "faults", `{"operation": "ListPipelines", "kind": "Throttle", "times": 2, "delay": "1ms"}`)
	w.Expect(status).To(Equal(http.StatusCreated), answer)
	w.expectCode(w.list(), "ThrottlingException")
	_, answer = w.control(http.MethodGet, "faults", "")
	w.Expect(answer).To(MatchJSON(`[{"operation": "ListPipelines", "kind": "Throttle", "times": 1, "delay": "1ms"}]`))
	status, _ = w.control(http.MethodDelete, "faults", "")
	w.Expect(status).To(Equal(http.StatusNoContent))
	w.Expect(w.list()).To(Succeed())
}

func TestFaultsOfAProxyAndOfPlacesOverHTTP(t *testing.T) {
	w := newWorld(t)
	status, answer := w.control(http.MethodPost, "faults", `{"operation": "*", "accountId": "444455556666", "region": "eu-west-1", "kind": "BlackHole"}`)
	w.Expect(status).To(Equal(http.StatusCreated), answer)
	status, answer = w.control(http.MethodPost, "faults", `{"operation": "ListPipelines", "kind": "ProxyErrorAfter"}`)
	w.Expect(status).To(Equal(http.StatusCreated), answer)
	w.Expect(answer).To(MatchJSON(`[
		{"operation": "*", "accountId": "444455556666", "region": "eu-west-1", "kind": "BlackHole", "times": 1},
		{"operation": "ListPipelines", "kind": "ProxyErrorAfter", "status": 502, "times": 1}]`))
	w.Expect(w.list()).To(MatchError(ContainSubstring("502")))
	w.Expect(w.list()).To(Succeed(), "the other fault is for another account")
}

func TestFaultsThatCannotHappenAreRefused(t *testing.T) {
	w := newWorld(t)
	cases := map[string]string{
		`{`: "the body must be JSON",
		`{"operation": "PollForJobs", "kind": "Throttle", "often": 2}`:                            `unknown field \"often\"`,
		`{"operation": "Poll", "kind": "Throttle"}`:                                               "operation:",
		`{"operation": "PollForJobs", "kind": "Rain"}`:                                            "kind:",
		`{"operation": "PollForJobs", "kind": "ModelledError", "code": "Nope"}`:                   "ActionTypeNotFoundException",
		`{"operation": "*", "kind": "ModelledError", "code": "ValidationException"}`:              "ModelledError is for an operation of CodePipeline only, not *",
		`{"operation": "ReceiveMessage", "kind": "ModelledError", "code": "ValidationException"}`: "ModelledError is for an operation of CodePipeline only, not ReceiveMessage",
		`{"operation": "AcknowledgeJob", "kind": "DuplicateDispatch"}`:                            "for PollForJobs only",
		`{"operation": "PollForJobs", "kind": "Latency"}`:                                         "delay:",
		`{"operation": "PollForJobs", "kind": "Throttle", "delay": "soon"}`:                       "delay:",
		`{"operation": "PollForJobs", "kind": "Throttle", "delay": "-1s"}`:                        "delay:",
		`{"operation": "PollForJobs", "kind": "Throttle", "times": -1}`:                           "times:",
		`{"operation": "PollForJobs", "kind": "Throttle", "accountId": "me"}`:                     "accountId:",
		`{"operation": "PollForJobs", "kind": "Throttle", "region": "US East"}`:                   "region:",
		`{"operation": "PollForJobs", "kind": "Throttle", "status": 503}`:                         "status:",
		`{"operation": "PollForJobs", "kind": "ProxyError", "status": 200}`:                       "status:",
		`{"operation": "PollForJobs", "kind": "Throttle", "probability": 1.5}`:                    "probability:",
		`{"operation": "PollForJobs", "kind": "Throttle", "probability": -0.5, "times":1}`:        "probability:",
	}
	for body, message := range cases {
		status, answer := w.control(http.MethodPost, "faults", body)
		w.Expect(status).To(Equal(http.StatusBadRequest), body)
		w.Expect(answer).To(ContainSubstring(message), body)
	}
	w.Expect(w.emulator.Faults()).To(BeEmpty())
}

func TestFaultsByProbability(t *testing.T) {
	outcomes := func(seed uint64) (throttled int, sequence string) {
		w := newWorld(t, func(o *Options) { o.Seed = seed })
		w.Expect(w.emulator.Inject(Fault{Operation: AnyOperation, Kind: Throttle, Probability: 0.5})).To(Succeed())
		for range 200 {
			if w.list() != nil {
				throttled++
				sequence += "x"
				continue
			}
			sequence += "."
		}
		w.Expect(w.emulator.Faults()).To(HaveLen(1), "it has no end")
		return throttled, sequence
	}
	g := NewWithT(t)
	throttled, first := outcomes(1)
	g.Expect(throttled).To(BeNumerically("~", 100, 40))
	_, again := outcomes(1)
	g.Expect(again).To(Equal(first), "the same seed")
	_, other := outcomes(2)
	g.Expect(other).NotTo(Equal(first))
}

func TestAFaultByProbabilityEndsAfterItsTimes(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.emulator.Inject(Fault{Operation: "ListPipelines", Kind: ServerError, Probability: 1, Times: 2})).To(Succeed())
	w.expectCode(w.list(), "InternalFailure")
	w.expectCode(w.list(), "InternalFailure")
	w.Expect(w.list()).To(Succeed())
}

func TestModelledErrorsOnDemand(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.Expect(w.emulator.Inject(Fault{Operation: "StartPipelineExecution", Kind: ModelledError, Code: "ConflictException"})).To(Succeed())
	_, err := w.pipelines.StartPipelineExecution(w.ctx, &codepipeline.StartPipelineExecutionInput{Name: aws.String("p")})
	w.expectCode(err, "ConflictException")
	list, err := w.pipelines.ListPipelineExecutions(w.ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.PipelineExecutionSummaries).To(HaveLen(1), "the call had no effect")
}

func TestDuplicateDispatch(t *testing.T) {
	w := newWorld(t)
	w.begin()
	first := w.poll(types.ActionCategoryBuild)
	w.Expect(first).To(HaveLen(1))
	w.Expect(w.poll(types.ActionCategoryBuild)).To(BeEmpty())
	again := func() types.Job {
		w.Expect(w.emulator.Inject(Fault{Operation: "PollForJobs", Kind: DuplicateDispatch})).To(Succeed())
		jobs := w.poll(types.ActionCategoryBuild)
		w.Expect(jobs).To(HaveLen(1))
		w.Expect(*jobs[0].Id).To(Equal(*first[0].Id))
		w.Expect(*jobs[0].Nonce).To(Equal(*first[0].Nonce))
		return jobs[0]
	}
	j := again()
	acknowledge := func() error {
		_, err := w.pipelines.AcknowledgeJob(w.ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: j.Nonce})
		return err
	}
	w.Expect(acknowledge()).To(Succeed())
	w.expectCode(acknowledge(), "InvalidNonceException")
	again() // jobs in progress are handed out too
}

func TestJournalOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.Expect(w.emulator.Inject(Fault{Operation: "ListPipelines", Kind: Throttle})).To(Succeed())
	w.expectCode(w.list(), "ThrottlingException")
	calls := func(query string) (list []Call) {
		status, answer := w.control(http.MethodGet, "journal"+query, "")
		w.Expect(status).To(Equal(http.StatusOK))
		w.Expect(json.Unmarshal([]byte(answer), &list)).To(Succeed())
		return list
	}
	chosen := calls("?operation=ListPipelines&service=codepipeline&account=111122223333&region=us-east-1")
	w.Expect(chosen).To(HaveLen(1))
	w.Expect(chosen[0].Error).To(Equal("ThrottlingException"))
	w.Expect(chosen[0].Fault).To(Equal(Throttle))
	w.Expect(chosen[0].Caller).To(Equal("arn:aws:iam::111122223333:user/emulator"))
	w.Expect(calls("?region=eu-west-1")).To(BeEmpty())
	uploads := calls("?service=s3")
	w.Expect(uploads).To(HaveLen(1))
	w.Expect(uploads[0].Request).To(MatchJSON(`{"path": "/sources/app.zip"}`))
	status, _ := w.control(http.MethodDelete, "journal", "")
	w.Expect(status).To(Equal(http.StatusNoContent))
	w.Expect(calls("")).To(BeEmpty())
	w.Expect(w.list()).To(Succeed())
	w.Expect(calls("")[0].Sequence).To(BeNumerically(">", chosen[0].Sequence))
}

func TestJournalHasS3sErrors(t *testing.T) {
	w := newWorld(t)
	_, code := w.read(w.s3, "sources", "none")
	w.Expect(code).To(Equal("NoSuchKey"))
	w.Expect(w.emulator.Inject(Fault{Operation: "GetObject", Kind: ResetAfter})).To(Succeed())
	w.read(w.s3, "sources", "none")
	calls := w.emulator.Journal()
	w.Expect(len(calls)).To(BeNumerically(">=", 2)) // Go's client retries GET
	w.Expect(calls[0].Operation + " " + calls[0].Error).To(Equal("GetObject NoSuchKey"))
	w.Expect(calls[1].Fault).To(Equal(ResetAfter))
}

func TestClockOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.begin()
	j := w.claim(types.ActionCategoryBuild)
	_, err := w.pipelines.PutJobSuccessResult(w.ctx, &codepipeline.PutJobSuccessResultInput{JobId: j.Id, ContinuationToken: aws.String("later")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.poll(types.ActionCategoryBuild)).To(BeEmpty())
	before := w.emulator.Now()
	status, answer := w.control(http.MethodPost, "clock", `{"advance": "5s"}`)
	w.Expect(status).To(Equal(http.StatusOK), answer)
	var told struct{ Now time.Time }
	w.Expect(json.Unmarshal([]byte(answer), &told)).To(Succeed())
	w.Expect(told.Now.Equal(before.Add(5*time.Second))).To(BeTrue(), answer)
	w.Expect(w.poll(types.ActionCategoryBuild)).To(HaveLen(1))
	for _, bad := range []string{`{}`, `{"advance": "-1s"}`, `{"advance": 5}`, `{"back": "1s"}`} {
		status, answer = w.control(http.MethodPost, "clock", bad)
		w.Expect(status).To(Equal(http.StatusBadRequest), bad)
		w.Expect(answer).To(ContainSubstring("message"))
	}
}
