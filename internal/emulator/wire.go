package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/engine"
	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/model"
)

const (
	targetPrefix = "CodePipeline_20150709."
	// maxRequest is far above what the model allows in one request.
	maxRequest = 4 << 20
)

// credential takes the access key and the service from a SigV4 signature,
// in a header or in a presigned URL.
var credential = regexp.MustCompile(`([A-Z0-9a-z]+)/[0-9]{8}/[a-z0-9-]+/([a-z0-9-]+)/aws4_request`)

// Handler serves all services.
func (e *Emulator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_emulator/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /_emulator/journal", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, e.Journal()) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not the mux: it would redirect requests for keys such as a//b.
		if strings.HasPrefix(r.URL.Path, "/_emulator/") {
			mux.ServeHTTP(w, r)
			return
		}
		e.dispatch(w, r)
	})
}

// dispatch tells the services apart.
func (e *Emulator) dispatch(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	signed := credential.FindStringSubmatch(r.Header.Get("Authorization") + " " + r.URL.Query().Get("X-Amz-Credential"))
	// AWS's CLI still presigns URLs of S3 by version 2, which names no service.
	accessKey, service := r.URL.Query().Get("AWSAccessKeyId"), ""
	if signed != nil {
		accessKey, service = signed[1], signed[2]
	}
	switch {
	case strings.HasPrefix(target, targetPrefix):
		e.serveCodePipeline(w, r, strings.TrimPrefix(target, targetPrefix))
	case service == "sts" || isQuery(r):
		e.serveSTS(w, r)
	case target == "":
		e.serveS3(w, r, accessKey)
	default:
		writeError(w, &engine.Error{Code: "UnknownOperationException", Message: "There is no service for the target " + target})
	}
}

// serveCodePipeline answers a call of AWS JSON 1.1: decode, validate, apply
// faults, do, encode.
func (e *Emulator) serveCodePipeline(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, &engine.Error{Code: "SerializationException", Message: "the request can't be read"})
		return
	}
	fault := e.faults.take(name)
	if fault.Kind == ResetBefore {
		e.record(name, body, "reset before the effect")
		hold(r.Context(), fault.Delay)
		reset(w)
		return
	}
	response, err := e.call(name, body, fault)
	e.record(name, body, outcomeOf(err))
	hold(r.Context(), fault.Delay)
	switch {
	case fault.Kind == ResetAfter:
		reset(w)
	case err != nil:
		// The code only: a message may quote a secret of the request.
		e.log.Info("Call", "operation", name, "error", outcomeOf(err))
		writeError(w, err)
	default:
		e.log.Info("Call", "operation", name)
		writeJSON(w, http.StatusOK, response)
	}
}

func (e *Emulator) call(name string, body []byte, fault Fault) (any, error) {
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
	if err := e.validate(shape, body); err != nil {
		return nil, err
	}
	do, ok := e.operations[name]
	if !ok {
		return nil, &engine.Error{Code: "UnknownOperationException", Message: "The emulator does not have the operation " + name}
	}
	response, err := do(body)
	if err == nil && fault.Kind == ServerErrorAfter {
		return nil, &engine.Error{Code: "InternalFailure", Message: "The answer was lost"}
	}
	return response, err
}

func (e *Emulator) validate(shape model.Operation, body []byte) error {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var request map[string]any
	if err := decoder.Decode(&request); err != nil {
		return &engine.Error{Code: "SerializationException", Message: "the request is not a JSON object"}
	}
	violations, err := e.model.Validate(shape, request)
	if err != nil {
		return &engine.Error{Code: "SerializationException", Message: err.Error()}
	}
	if len(violations) > 0 {
		return &engine.Error{Code: "ValidationException", Message: violations.Message()}
	}
	return nil
}

// operation takes the JSON of a valid request and gives a response.
type operation func(body []byte) (any, error)

// handle makes an operation of a method of the engine.
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

// writeJSON answers in AWS JSON 1.1; a nil response has an empty body.
func writeJSON(w http.ResponseWriter, status int, response any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	content, err := json.Marshal(response)
	if err != nil || string(content) == "null" {
		content = nil
	}
	_, _ = w.Write(content) // the client is gone when this fails
}

func writeError(w http.ResponseWriter, err error) {
	var known *engine.Error
	if !errors.As(err, &known) {
		known = &engine.Error{Code: "InternalFailure", Message: err.Error()}
	}
	status := http.StatusBadRequest
	if known.Code == "InternalFailure" {
		status = http.StatusInternalServerError
	}
	w.Header().Set("X-Amzn-ErrorType", known.Code)
	writeJSON(w, status, map[string]string{"__type": known.Code, "message": known.Message})
}
