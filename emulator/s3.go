package emulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"strconv"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/objects"
)

// serveS3 serves an S3 request, and applies faults of its operation.
func (e *Emulator) serveS3(w http.ResponseWriter, r *http.Request) {
	operation := cmp.Or(objects.Operation(r), r.Method)
	who, refusal := e.authenticate(r, ServiceS3, cmp.Or(r.Header.Get("X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD"))
	fault := e.faults.take(who.regionID(), operation)
	path, _ := json.Marshal(map[string]string{"path": r.URL.Path}) // a map of strings can always be encoded
	if fault.Kind.lostBefore() {
		e.record(ServiceS3, operation, who, path, fault.outcome(), fault.Kind)
		e.lose(w, r, fault, nil)
		return
	}
	told, held := &recordedResponse{ResponseWriter: w}, newHeldResponse()
	if fault.Kind.lostAfter() {
		told.ResponseWriter = held
	}
	e.answerS3(told, r, who, refusal, fault)
	e.record(ServiceS3, operation, who, path, told.code(), fault.Kind)
	if fault.Kind.lostAfter() {
		e.lose(w, r, fault, held.writeTo)
	}
}

func (h *heldResponse) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), h.header)
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes()) // fails only if the client is gone
}

// answerS3 executes a request and writes the response.
func (e *Emulator) answerS3(w http.ResponseWriter, r *http.Request, who caller, refusal *identity.Refusal, fault Fault) {
	if refusal != nil {
		objects.WriteError(w, codes[ServiceS3][refusal.Reason], refusal.Message)
		return
	}
	if refused := refusedByPolicy(who, "AccessDenied", objectPermissions(cmp.Or(objects.Operation(r), r.Method), r)...); refused != nil {
		objects.WriteError(w, refused.Code, refused.Message)
		return
	}
	switch {
	case fault.Kind == ServerErrorAfter:
		e.objects.Serve(&discardedResponse{header: http.Header{}}, r, who.grant)
	case fault.Kind == "" || fault.Kind.lostAfter():
		e.objects.Serve(w, r, who.grant)
		return
	}
	e.delay(r.Context(), fault.Delay)
	switch fault.Kind {
	case AccessDenied:
		objects.WriteError(w, "AccessDenied", "Access Denied")
	case Throttle:
		objects.WriteError(w, "SlowDown", "Please reduce your request rate.")
	case ServerError, ServerErrorAfter:
		objects.WriteError(w, "InternalError", "We encountered an internal error. Please try again.")
	case Latency:
		e.objects.Serve(w, r, who.grant)
	}
}

// discardedResponse is a response that is not sent to the client.
type discardedResponse struct{ header http.Header }

func (u *discardedResponse) Header() http.Header               { return u.header }
func (u *discardedResponse) Write(content []byte) (int, error) { return len(content), nil }
func (u *discardedResponse) WriteHeader(int)                   {}

// recordedResponse records the error code of an S3 response, if it has one.
type recordedResponse struct {
	http.ResponseWriter
	status int
	begin  bytes.Buffer // the beginning of an error's body
}

// maxErrorBody is larger than any error body of S3.
const maxErrorBody = 4 << 10

func (o *recordedResponse) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *recordedResponse) Write(content []byte) (int, error) {
	if o.status >= http.StatusBadRequest && o.begin.Len() < maxErrorBody {
		o.begin.Write(content[:min(len(content), maxErrorBody)])
	}
	return o.ResponseWriter.Write(content)
}

// Unwrap lets http.ResponseController reach the connection.
func (o *recordedResponse) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// code returns S3's error code, or the HTTP status of a response to HEAD, which has no body.
func (o *recordedResponse) code() string {
	if o.status < http.StatusBadRequest {
		return ""
	}
	var body struct{ Code string }
	if err := xml.Unmarshal(o.begin.Bytes(), &body); err != nil || body.Code == "" {
		return strconv.Itoa(o.status)
	}
	return body.Code
}
