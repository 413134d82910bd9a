package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/model"
)

const (
	targetPrefix = "CodePipeline_20150709."
	contentType  = "application/x-amz-json-1.1"
	// maxRequest is far larger than any request that the model allows.
	maxRequest = 4 << 20
)

// ServeHTTP serves CodePipeline, S3, STS and SQS, which it distinguishes by the request's target
// header and the service in the signature's scope, and the emulator's own API below the path
// /_emulator/.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	signature, _ := identity.Read(r)
	switch {
	case strings.HasPrefix(r.URL.Path, "/_emulator/"):
		// A single http.ServeMux for everything would redirect requests for keys such as a//b.
		e.control.ServeHTTP(w, r)
	case strings.HasPrefix(target, targetPrefix):
		e.serveCodePipeline(w, r, strings.TrimPrefix(target, targetPrefix))
	case strings.HasPrefix(target, sqsTarget):
		e.serveSQS(w, r, strings.TrimPrefix(target, sqsTarget))
	case signature.Service == ServiceSTS || isQuery(r):
		e.serveSTS(w, r)
	case target == "" && signature.Service != ServiceCodePipeline:
		e.serveS3(w, r)
	default:
		writeError(w, &engine.Error{Code: "UnknownOperationException", Message: "There is no service for the target " + target})
	}
}

// serveCodePipeline serves a call of AWS JSON 1.1: it decodes, authenticates and validates the
// request, applies faults, executes it and encodes the response.
func (e *Emulator) serveCodePipeline(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, &engine.Error{Code: "SerializationException", Message: "the request can't be read"})
		return
	}
	digest := sha256.Sum256(body)
	who, refusal := e.authenticate(r, ServiceCodePipeline, hex.EncodeToString(digest[:]))
	fault := e.faults.take(who.regionID(), name)
	if fault.Kind.lostBefore() {
		e.record(ServiceCodePipeline, name, who, e.shown(name, body), fault.outcome(), fault.Kind)
		e.lose(w, r, fault, nil)
		return
	}
	var response any
	if err = allow(r, who, refusal, name, body, fault.Kind); err == nil {
		response, err = e.call(e.region(who.regionID()), name, body, fault)
	}
	e.record(ServiceCodePipeline, name, who, e.shown(name, body), outcomeOf(err), fault.Kind)
	e.answer(w, r, fault, func(w http.ResponseWriter) {
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, response)
	})
}

// answer sends the response of a service, subject to the fault.
func (e *Emulator) answer(w http.ResponseWriter, r *http.Request, fault Fault, write func(http.ResponseWriter)) {
	if fault.Kind.lostAfter() {
		e.lose(w, r, fault, write)
		return
	}
	e.delay(r.Context(), fault.Delay)
	write(w)
}

// allow returns an error for a request that is refused regardless of its operation.
func allow(r *http.Request, who caller, refusal *identity.Refusal, operation string, body []byte, fault FaultKind) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/":
		return &engine.Error{Code: "UnknownOperationException", Message: "Calls are POST requests of /"}
	case err != nil || kind != contentType:
		return &engine.Error{Code: "UnsupportedMediaTypeException", Message: "The Content-Type must be " + contentType}
	case refusal != nil:
		return &engine.Error{Code: codes[ServiceCodePipeline][refusal.Reason], Message: refusal.Message}
	case who.grant != nil || fault == AccessDenied:
		return &engine.Error{Code: "AccessDeniedException", Message: "User: " + who.ARN + " is not authorized to perform: codepipeline:" + operation}
	}
	if refused := refusedByPolicy(who, "AccessDeniedException", pipelinePermissions(who.regionID(), operation, body)...); refused != nil {
		return refused
	}
	return nil
}

func (e *Emulator) call(at *region, name string, body []byte, fault Fault) (any, error) {
	switch fault.Kind {
	case Throttle:
		return nil, &engine.Error{Code: "ThrottlingException", Message: "Rate exceeded"}
	case ServerError:
		return nil, &engine.Error{Code: "InternalFailure", Message: "The request processing has failed because of an unknown error"}
	}
	shape, known := e.model.Operations[name]
	if !known {
		return nil, &engine.Error{Code: "UnknownOperationException", Message: "There is no operation " + name}
	}
	request, err := e.validated(shape, body)
	if err != nil {
		return nil, err
	}
	if fault.Kind == ModelledError {
		return nil, &engine.Error{Code: fault.Code, Message: "This error was asked for"}
	}
	do := at.operations[name]
	if fault.Kind == DuplicateDispatch {
		do = at.duplicates
	}
	response, err := do(request)
	if err == nil && fault.Kind == ServerErrorAfter {
		return nil, &engine.Error{Code: "InternalFailure", Message: "The answer was lost"}
	}
	return response, err
}

// validated returns the request with only the members of the model, or an error if they break its
// rules.
func (e *Emulator) validated(shape model.Operation, body []byte) ([]byte, error) {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var request map[string]any
	if err := decoder.Decode(&request); err != nil || request == nil || decoder.More() {
		return nil, &engine.Error{Code: "SerializationException", Message: "the request is not a JSON object"}
	}
	violations, err := e.model.Validate(shape, request)
	if err != nil {
		return nil, &engine.Error{Code: "SerializationException", Message: err.Error()}
	}
	if len(violations) > 0 {
		return nil, &engine.Error{Code: "ValidationException", Message: violations.Message()}
	}
	return json.Marshal(request)
}

// operation executes a valid JSON request and returns the response.
type operation func(body []byte) (any, error)

// handle returns the operation for a method of the engine.
func handle[Request, Response any](do func(Request) (*Response, error)) operation {
	return func(body []byte) (any, error) {
		var request Request
		if err := json.Unmarshal(body, &request); err != nil {
			return nil, &engine.Error{Code: "SerializationException", Message: err.Error()}
		}
		response, err := do(request)
		if err != nil {
			return nil, err
		}
		return response, nil
	}
}

func operations(e *engine.Engine) map[string]operation {
	return map[string]operation{
		"CreateCustomActionType": handle(e.CreateActionType),
		"DeleteCustomActionType": handle(e.DeleteActionType),
		"ListActionTypes":        handle(e.ListActionTypes),
		"PollForJobs":            handle(e.PollForJobs),
		"AcknowledgeJob":         handle(e.AcknowledgeJob),
		"GetJobDetails":          handle(e.GetJobDetails),
		"PutJobSuccessResult":    handle(e.PutJobSuccessResult),
		"PutJobFailureResult":    handle(e.PutJobFailureResult),
		"CreatePipeline":         handle(e.CreatePipeline),
		"UpdatePipeline":         handle(e.UpdatePipeline),
		"GetPipeline":            handle(e.GetPipeline),
		"DeletePipeline":         handle(e.DeletePipeline),
		"ListPipelines":          handle(e.ListPipelines),
		"StartPipelineExecution": handle(e.StartPipelineExecution),
		"StopPipelineExecution":  handle(e.StopPipelineExecution),
		"GetPipelineState":       handle(e.GetPipelineState),
		"GetPipelineExecution":   handle(e.GetPipelineExecution),
		"ListPipelineExecutions": handle(e.ListPipelineExecutions),
		"ListActionExecutions":   handle(e.ListActionExecutions),
		"PutApprovalResult":      handle(e.PutApprovalResult),
		"RetryStageExecution":    handle(e.RetryStageExecution),
		"TagResource":            handle(e.TagResource),
		"UntagResource":          handle(e.UntagResource),
		"ListTagsForResource":    handle(e.ListTagsForResource),
	}
}

// writeJSON writes a response in AWS JSON 1.1. A nil response has an empty body.
func writeJSON(w http.ResponseWriter, status int, response any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	content, err := json.Marshal(response)
	if err != nil || string(content) == "null" {
		content = nil
	}
	_, _ = w.Write(content) // fails only if the client is gone
}

func writeError(w http.ResponseWriter, err error) {
	var known *engine.Error
	if !errors.As(err, &known) {
		known = &engine.Error{Code: "InternalFailure", Message: err.Error()}
	}
	status, ok := statuses[known.Code]
	if !ok {
		status = http.StatusBadRequest
	}
	w.Header().Set("X-Amzn-ErrorType", known.Code)
	writeJSON(w, status, map[string]string{"__type": known.Code, "message": known.Message})
}

// statuses are the HTTP statuses of errors other than 400.
var statuses = map[string]int{
	"InternalFailure":               http.StatusInternalServerError,
	"UnsupportedMediaTypeException": http.StatusUnsupportedMediaType,
}
