package emulator

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// fuzzed returns an emulator with a running pipeline, and its handler.
func fuzzed(f interface {
	Helper()
	Fatal(...any)
}) (*Emulator, client) {
	f.Helper()
	options := Options{NoSignatures: true, Buckets: []string{"sources", "artifacts"}}
	options.KeepExecutions = 10
	e, err := New(options)
	if err != nil {
		f.Fatal(err)
	}
	c := client{e, rand.New(rand.NewPCG(0, 0))}
	put := httptest.NewRequest(http.MethodPut, "/sources/app.zip", strings.NewReader("source"))
	put.Header.Set("Content-Length", "6")
	c.handler.ServeHTTP(httptest.NewRecorder(), put)
	if code := c.do("CreateCustomActionType", workerType, nil); code != "" {
		f.Fatal(code)
	}
	return e, c
}

// FuzzRequest sends any body to any operation. There must be a response, and no internal error.
func FuzzRequest(f *testing.F) {
	e, c := fuzzed(f)
	names := slices.Sorted(maps.Keys(e.model.Operations))
	for i, name := range names {
		for _, l := range limits(e.model, e.model.Operations[name]) {
			if l.t.Max == nil || *l.t.Max > 100 {
				continue
			}
			body, err := json.Marshal(l.request(*l.t.Max))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), string(body))
		}
	}
	f.Add(uint8(0), `{"maxBatchSize":1e999}`)
	f.Add(uint8(1), `{"nextToken":"\ud800"}`)
	f.Fuzz(func(t *testing.T, operation uint8, body string) {
		name := names[int(operation)%len(names)]
		if code := c.do(name, body, nil); code == "InternalFailure" {
			t.Fatalf("%s failed on %q", name, body)
		}
	})
}

// FuzzPipeline creates any pipeline and lets workers finish it.
func FuzzPipeline(f *testing.F) {
	var seed struct{ Pipeline json.RawMessage }
	for _, text := range []string{manyClientsPipeline, consoleLikePipeline} {
		if err := json.Unmarshal([]byte(text), &seed); err != nil {
			f.Fatal(err)
		}
		f.Add(string(seed.Pipeline))
	}
	f.Fuzz(func(t *testing.T, declaration string) {
		_, c := fuzzed(t)
		request, err := json.Marshal(map[string]json.RawMessage{"pipeline": json.RawMessage(declaration)})
		if err != nil {
			return // no JSON
		}
		if code := c.do("CreatePipeline", string(request), nil); code != "" {
			if code == "InternalFailure" {
				t.Fatalf("CreatePipeline failed on %q", declaration)
			}
			return
		}
		var list struct{ Pipelines []struct{ Name string } }
		c.do("ListPipelines", "{}", &list)
		named, _ := json.Marshal(map[string]string{"name": list.Pipelines[0].Name})
		listed, _ := json.Marshal(map[string]string{"pipelineName": list.Pipelines[0].Name})
		for range 5 {
			c.do("StartPipelineExecution", string(named), nil)
			if code := c.work(func(string) {}); code == "InternalFailure" {
				t.Fatal("work failed")
			}
		}
		for operation, body := range map[string][]byte{"GetPipelineState": named, "GetPipeline": named, "ListPipelineExecutions": listed, "ListActionExecutions": listed} {
			if code := c.do(operation, string(body), nil); code != "" {
				t.Fatalf("%s of %q: %s", operation, declaration, code)
			}
		}
	})
}

// FuzzSignature parses any signature, in the header and in the query.
func FuzzSignature(f *testing.F) {
	options := Options{Credentials: []Credential{{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}}}
	e, err := New(options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/codepipeline/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20260101T000000Z", "")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIATEST%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=00")
	f.Add("", "", "AWSAccessKeyId=AKIATEST&Expires=1&Signature=x")
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		for _, target := range []string{"", targetPrefix + "ListPipelines"} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			r.URL.RawQuery = query
			r.Header.Set("Authorization", authorization)
			r.Header.Set("X-Amz-Date", date)
			r.Header.Set("X-Amz-Target", target)
			r.Header.Set("Content-Type", contentType)
			recorder := httptest.NewRecorder()
			e.ServeHTTP(recorder, r)
			if target != "" && recorder.Code == http.StatusOK {
				t.Fatal("an invalid signature was accepted")
			}
		}
	})
}

const consoleLikePipeline = `{"pipeline": {"name": "q", "roleArn": "arn:aws:iam::111122223333:role/r", "pipelineType": "V2",
	"artifactStores": {"us-east-1": {"type": "S3", "location": "artifacts", "encryptionKey": {"id": "k", "type": "KMS"}}},
	"variables": [{"name": "level", "defaultValue": "low"}],
	"stages": [{"name": "Source", "actions": [{"name": "fetch", "namespace": "src", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
		"configuration": {"S3Bucket": "sources", "S3ObjectKey": "app.zip"}, "outputArtifacts": [{"name": "code"}]}]},
	{"name": "Build", "actions": [{"name": "a", "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}, "inputArtifacts": [{"name": "code"}], "outputArtifacts": [{"name": "out"}]},
		{"name": "ask", "runOrder": 2, "timeoutInMinutes": 5, "configuration": {"CustomData": "#{src.ETag} #{variables.level} #{codepipeline.PipelineExecutionId} #{nope.x}"},
			"actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}}]}]}}`
