package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
)

// Call is a call that the emulator received.
type Call struct {
	// Sequence numbers the calls from 1, in the order of their execution, including calls that the
	// journal has dropped.
	Sequence int `json:"sequence"`
	// Time is when the call was executed, by the emulator's clock.
	Time time.Time `json:"time"`
	// Service is ServiceCodePipeline, ServiceS3, ServiceSTS or ServiceSQS.
	Service string `json:"service"`
	// Operation is the operation's name in the service's API, such as PollForJobs. For S3 it is one
	// of the names in Fault.Operation, or the HTTP method.
	Operation string `json:"operation"`
	// AccountID and Region are the account and region of the call.
	AccountID string `json:"accountId"`
	Region    string `json:"region"`
	// Caller is the caller's ARN.
	Caller string `json:"caller"`
	// Request has no secrets. For CodePipeline it is the JSON request, but empty for CreatePipeline
	// and UpdatePipeline. For other services it is an object: for S3 with the path, for STS with
	// the role's ARN, session name, external ID and session policy, and for SQS with the URL or
	// name of the queue.
	Request json.RawMessage `json:"request,omitempty"`
	// Error is the error code of the response. It is empty if the call succeeded, even if the
	// response was lost. If a fault prevents the call from reaching the service (ResetBefore,
	// BlackHole, ProxyError), it may be a text instead.
	Error string `json:"error,omitempty"`
	// Fault is the kind of the injected fault, if there was one.
	Fault FaultKind `json:"fault,omitempty"`
}

// maxJournal and maxJournalBytes limit the journal. If it is full, the oldest half is dropped.
const (
	maxJournal      = 100_000
	maxJournalBytes = 64 << 20
)

type journal struct {
	mu    sync.Mutex
	calls []Call
	bytes int // of the requests
	last  int // Sequence of the newest call
}

func (j *journal) add(call Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.calls) >= maxJournal || j.bytes >= maxJournalBytes {
		j.calls = append([]Call{}, j.calls[len(j.calls)/2:]...)
		j.bytes = 0
		for _, kept := range j.calls {
			j.bytes += len(kept.Request)
		}
	}
	j.last++
	call.Sequence = j.last
	j.calls = append(j.calls, call)
	j.bytes += len(call.Request)
}

// Journal returns the received calls, oldest first: those of the given operations, or all if none
// is given. It keeps up to 100,000 calls and 64 MiB of requests. If it is full, the oldest half is
// dropped. The caller may change the result.
func (e *Emulator) Journal(operations ...string) []Call {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	calls := []Call{}
	for _, call := range e.journal.calls {
		if len(operations) == 0 || slices.Contains(operations, call.Operation) {
			call.Request = bytes.Clone(call.Request)
			calls = append(calls, call)
		}
	}
	return calls
}

// ClearJournal drops the calls received so far. Call.Sequence continues.
func (e *Emulator) ClearJournal() {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	e.journal.calls, e.journal.bytes = nil, 0
}

// record adds a call to the journal and a line to the log. request is its JSON, or nil to leave it
// out. outcome is only a code, because a message may quote a secret.
func (e *Emulator) record(service, operation string, who caller, request []byte, outcome string, fault FaultKind) {
	level, attributes := slog.LevelInfo, []slog.Attr{
		slog.String("service", service), slog.String("operation", operation), slog.String("account", who.Account),
		slog.String("region", who.region), slog.String("error", outcome), slog.String("fault", string(fault)),
	}
	if service == ServiceS3 {
		level, attributes = slog.LevelDebug, append(attributes, slog.String("request", string(request)))
	}
	e.log.LogAttrs(context.Background(), level, "Call", attributes...)
	e.journal.add(Call{
		Time: e.clock.Now(), Service: service, Operation: operation, AccountID: who.Account, Region: who.region, Caller: who.ARN,
		Request: request, Error: outcome, Fault: fault,
	})
}

// secretOperations may have secret configuration in their requests.
var secretOperations = map[string]bool{"CreatePipeline": true, "UpdatePipeline": true}

// shown returns the request that the journal shows for a CodePipeline operation. Requests of
// unknown operations may contain anything, so they are not shown.
func (e *Emulator) shown(operation string, body []byte) []byte {
	if _, known := e.model.Operations[operation]; known && !secretOperations[operation] && json.Valid(body) {
		return body
	}
	return nil
}

func outcomeOf(err error) string {
	var known *engine.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &known):
		return known.Code
	default:
		return err.Error()
	}
}
