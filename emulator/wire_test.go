package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// unsigned accepts requests without a signature.
func unsigned(o *Options) { o.NoSignatures = true }

// rawRequest is a request that the SDK would not send.
type rawRequest struct{ method, path, target, contentType, body string }

// send returns the status and the error's code and message.
func (w *world) send(g *WithT, raw rawRequest) (status int, code, message string) {
	request, err := http.NewRequestWithContext(w.ctx, raw.method, w.emulator.URL()+raw.path, strings.NewReader(raw.body))
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("X-Amz-Target", raw.target)
	request.Header.Set("Content-Type", raw.contentType)
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(response.Body.Close()).To(Succeed()) }()
	g.Expect(response.Header.Get("Content-Type")).To(Equal(contentType))
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); response.StatusCode != http.StatusOK || !errors.Is(err, io.EOF) {
		g.Expect(err).NotTo(HaveOccurred())
	}
	code, _ = answer["__type"].(string) // absent on success
	message, _ = answer["message"].(string)
	g.Expect(response.Header.Get("X-Amzn-ErrorType")).To(Equal(code))
	return response.StatusCode, code, message
}

func TestRawRequests(t *testing.T) {
	w := newWorld(t, unsigned)
	call := func(operation, body string) rawRequest {
		return rawRequest{http.MethodPost, "/", "CodePipeline_20150709." + operation, contentType, body}
	}
	cases := map[string]struct {
		raw           rawRequest
		code, message string
	}{
		"unknown operation":      {call("Nope", `{}`), "UnknownOperationException", "Nope"},
		"operation not in here":  {call("RollbackStage", `{}`), "UnknownOperationException", "RollbackStage"},
		"unknown service":        {rawRequest{http.MethodPost, "/", "AmazonNoSuch.SendMessage", contentType, `{}`}, "UnknownOperationException", "AmazonNoSuch"},
		"another path":           {rawRequest{http.MethodPost, "/x", "CodePipeline_20150709.ListPipelines", contentType, `{}`}, "UnknownOperationException", "POST requests of /"},
		"another method":         {rawRequest{http.MethodPut, "/", "CodePipeline_20150709.ListPipelines", contentType, `{}`}, "UnknownOperationException", "POST requests of /"},
		"no JSON":                {call("PollForJobs", `{`), "SerializationException", ""},
		"more than JSON":         {call("ListPipelines", `{} {}`), "SerializationException", ""},
		"a list":                 {call("PollForJobs", `[]`), "SerializationException", ""},
		"null":                   {call("ListPipelines", `null`), "SerializationException", ""},
		"empty":                  {call("PollForJobs", ``), "SerializationException", ""},
		"too large":              {call("PollForJobs", strings.Repeat(" ", maxRequest+1)), "SerializationException", ""},
		"another type":           {call("AcknowledgeJob", `{"jobId":7,"nonce":"1"}`), "SerializationException", "jobId must be of type string"},
		"no integer":             {call("ListPipelines", `{"maxResults":1.5}`), "SerializationException", "maxResults must be of type integer"},
		"missing member":         {call("AcknowledgeJob", `{"jobId":"`+nowhere+`"}`), "ValidationException", "1 validation error detected: Value null at 'nonce' failed to satisfy constraint: Member must not be null"},
		"member of another case": {call("AcknowledgeJob", `{"jobId":"`+nowhere+`","NONCE":"1"}`), "ValidationException", "Value null at 'nonce'"},
		"wrong pattern and null": {call("AcknowledgeJob", `{"jobId":"x"}`), "ValidationException", "2 validation errors detected: Value 'x' at 'jobId' failed to satisfy constraint: Member must satisfy regular expression pattern: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status, code, message := w.send(g, c.raw)
			g.Expect(status).To(Equal(http.StatusBadRequest))
			g.Expect(code).To(Equal(c.code))
			g.Expect(message).To(ContainSubstring(c.message))
		})
	}
	for _, wrong := range []string{"", "application/json", "application/x-amz-json-1.0", "text/plain"} {
		t.Run("content type "+wrong, func(t *testing.T) {
			g := NewWithT(t)
			status, code, _ := w.send(g, rawRequest{http.MethodPost, "/", "CodePipeline_20150709.ListPipelines", wrong, `{}`})
			g.Expect(status).To(Equal(http.StatusUnsupportedMediaType))
			g.Expect(code).To(Equal("UnsupportedMediaTypeException"))
		})
	}
}

// TestMembersOfAnotherCaseAreNotRead sends members in another case. Go's JSON decoder ignores case,
// but such members have not been validated.
func TestMembersOfAnotherCaseAreNotRead(t *testing.T) {
	w := newWorld(t, unsigned)
	w.begin()
	_, code, message := w.send(w.WithT, rawRequest{http.MethodPost, "/", "CodePipeline_20150709.GetPipeline", contentType, `{"name":"p","NAME":"other"}`})
	w.Expect(code).To(BeEmpty(), message)
}
