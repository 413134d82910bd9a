package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// client is one of many concurrent clients, which call without a network.
type client struct {
	handler http.Handler
	random  *rand.Rand
}

// do makes a call and reads the response. It returns the error code, if any.
func (c client) do(operation, request string, answer any) (code string) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(request))
	r.Header.Set("X-Amz-Target", targetPrefix+operation)
	r.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		return recorder.Header().Get("X-Amzn-ErrorType")
	}
	if answer != nil {
		_ = json.Unmarshal(recorder.Body.Bytes(), answer) // times don't matter here
	}
	return ""
}

// anything makes a random call. It calls claimed for each claimed job.
func (c client) anything(claimed func(id string)) (operation, code string) {
	const one = `{"pipelineName": "p", "pipelineExecutionId": %q}`
	arn := `"resourceArn": "arn:aws:codepipeline:us-east-1:111122223333:p"`
	calls := []func() (string, string){
		func() (string, string) { return "work", c.work(claimed) },
		func() (string, string) { return "work", c.work(claimed) },
		func() (string, string) {
			return "StartPipelineExecution", c.do("StartPipelineExecution", `{"name": "p"}`, nil)
		},
		func() (string, string) { return "GetPipelineState", c.do("GetPipelineState", `{"name": "p"}`, nil) },
		func() (string, string) {
			return "ListActionExecutions", c.do("ListActionExecutions", `{"pipelineName": "p", "maxResults": 5}`, nil)
		},
		func() (string, string) {
			return "StopPipelineExecution", c.do("StopPipelineExecution", fmt.Sprintf(one[:len(one)-1]+`, "abandon": true}`, c.execution()), nil)
		},
		func() (string, string) {
			return "RetryStageExecution", c.do("RetryStageExecution", fmt.Sprintf(one[:len(one)-1]+`, "stageName": "Build", "retryMode": "ALL_ACTIONS"}`, c.execution()), nil)
		},
		func() (string, string) {
			return "TagResource", c.do("TagResource", fmt.Sprintf(`{%s, "tags": [{"key": "k%d", "value": "v"}]}`, arn, c.random.IntN(5)), nil)
		},
		func() (string, string) {
			return "UntagResource", c.do("UntagResource", fmt.Sprintf(`{%s, "tagKeys": ["k%d"]}`, arn, c.random.IntN(5)), nil)
		},
		func() (string, string) {
			return "ListTagsForResource", c.do("ListTagsForResource", "{"+arn+"}", nil)
		},
		func() (string, string) { return "UpdatePipeline", c.do("UpdatePipeline", manyClientsPipeline, nil) },
		func() (string, string) {
			return "CreateCustomActionType", c.do("CreateCustomActionType", strings.Replace(workerType, `"1"`, fmt.Sprintf(`"%d"`, 2+c.random.IntN(10)), 1), nil)
		},
		func() (string, string) { return "ListActionTypes", c.do("ListActionTypes", `{}`, nil) },
	}
	return calls[c.random.IntN(len(calls))]()
}

// execution returns one of the newest executions.
func (c client) execution() string {
	var list codepipeline.ListPipelineExecutionsOutput
	c.do("ListPipelineExecutions", `{"pipelineName": "p", "maxResults": 20}`, &list)
	if len(list.PipelineExecutionSummaries) == 0 {
		return nowhere
	}
	return *list.PipelineExecutionSummaries[c.random.IntN(len(list.PipelineExecutionSummaries))].PipelineExecutionId
}

// work polls, claims and reports.
func (c client) work(claimed func(id string)) (code string) {
	var polled struct{ Jobs []struct{ ID, Nonce string } }
	if code := c.do("PollForJobs", `{"actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}}`, &polled); code != "" {
		return code
	}
	for _, j := range polled.Jobs {
		var answer struct{ Status types.JobStatus }
		if code := c.do("AcknowledgeJob", fmt.Sprintf(`{"jobId": %q, "nonce": %q}`, j.ID, j.Nonce), &answer); code != "" || answer.Status != types.JobStatusInProgress {
			return code
		}
		claimed(j.ID)
		results := []string{`{"jobId": %q}`, `{"jobId": %q, "continuationToken": "t"}`, `{"jobId": %q, "failureDetails": {"type": "JobFailed", "message": "m"}}`}
		chosen := c.random.IntN(len(results))
		operation := []string{"PutJobSuccessResult", "PutJobSuccessResult", "PutJobFailureResult"}[chosen]
		if code := c.do(operation, fmt.Sprintf(results[chosen], j.ID), nil); code != "" {
			return code
		}
	}
	return ""
}

const (
	workerType = `{"category": "Build", "provider": "worker", "version": "1",
		"inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}, "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}}`
	manyClientsPipeline = `{"pipeline": {"name": "p", "roleArn": "arn:aws:iam::111122223333:role/r", "pipelineType": "V2", "executionMode": "PARALLEL",
		"artifactStore": {"type": "S3", "location": "artifacts"},
		"stages": [{"name": "Source", "actions": [{"name": "fetch", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
			"configuration": {"S3Bucket": "sources", "S3ObjectKey": "app.zip"}, "outputArtifacts": [{"name": "code"}]}]},
		{"name": "Build", "actions": [{"name": "a", "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}},
			{"name": "b", "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}, "runOrder": 2}]}]}}`
)

// modelledOrNone are the codes that concurrent clients may get.
var modelledOrNone = map[string]bool{
	"": true, "InvalidNonceException": true, "InvalidJobStateException": true, "PipelineExecutionNotStoppableException": true,
	"StageNotRetryableException": true, "ConcurrentPipelineExecutionsLimitExceededException": true,
	"ValidationException": true, // for a type that exists already
}

// TestTwoHundredClientsAtOnce makes random calls while the clock moves and the journal is read.
func TestTwoHundredClientsAtOnce(t *testing.T) {
	const clients, calls = 200, 50
	w := newWorld(t, unsigned, func(o *Options) {
		o.KeepExecutions, o.RedispatchAfter, o.ContinuationDelay = 50, time.Second, time.Second
	})
	w.put(w.s3, "sources", "app.zip", "source bytes")
	handler := w.emulator.Emulator // without the network
	first := client{handler, rand.New(rand.NewPCG(0, 0))}
	w.Expect(first.do("CreateCustomActionType", workerType, nil)).To(BeEmpty())
	w.Expect(first.do("CreatePipeline", manyClientsPipeline, nil)).To(BeEmpty())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() {
		for ctx.Err() == nil {
			w.emulator.Advance(100 * time.Millisecond)
			w.emulator.Journal()
		}
	})
	var mu sync.Mutex
	claims, strange := map[string]int{}, map[string]int{}
	claimed := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		claims[id]++
	}
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c := client{handler, rand.New(rand.NewPCG(uint64(i), 1))}
			for range calls {
				if operation, code := c.anything(claimed); !modelledOrNone[code] {
					mu.Lock()
					strange[operation+" "+code]++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	cancel()
	others.Wait()
	w.Expect(strange).To(BeEmpty())
	w.Expect(len(claims)).To(BeNumerically(">", clients), "little was done")
	for id, times := range claims {
		w.Expect(times).To(Equal(1), id)
	}
}
