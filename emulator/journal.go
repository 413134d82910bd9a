package emulator

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
)

// Call is one call that the emulator received.
type Call struct {
	// Sequence counts the calls from 1, those that the journal has dropped too.
	Sequence int       `json:"sequence"`
	Time     time.Time `json:"time"`
	// Service is ServiceCodePipeline, ServiceS3, ServiceSTS or ServiceSQS.
	Service string `json:"service"`
	// Operation is its name in the service's API; of S3 the method where
	// objects.Operations has no name.
	Operation string `json:"operation"`
	// AccountID, Region and Caller (an ARN) are the caller's, as far as the
	// request tells them.
	AccountID string `json:"accountId"`
	Region    string `json:"region"`
	Caller    string `json:"caller"`
	// Request is its JSON. Requests of the job API hold no secrets; those of
	// pipelines, which may, are left out. Of S3 it is the path, of STS the role,
	// the session's name and the external ID, of SQS the queue's URL or name.
	Request json.RawMessage `json:"request,omitempty"`
	// Error is the code that was answered, empty for success.
	Error string `json:"error,omitempty"`
	// Fault is the injected one that the call met.
	Fault FaultKind `json:"fault,omitempty"`
}

// maxJournal and maxJournalBytes bound the journal; the oldest half goes when
// it is full.
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

// Journal lists the calls received so far, oldest first.
func (e *Emulator) Journal() []Call {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	return append([]Call{}, e.journal.calls...)
}

// ClearJournal drops the calls received so far. Sequence goes on.
func (e *Emulator) ClearJournal() {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	e.journal.calls, e.journal.bytes = nil, 0
}

// record keeps a call. request is its JSON, or nil for one that is not shown.
func (e *Emulator) record(service, operation string, who caller, request []byte, outcome string, fault FaultKind) {
	e.journal.add(Call{
		Time: e.clock.Now(), Service: service, Operation: operation, AccountID: who.Account, Region: who.region, Caller: who.ARN,
		Request: request, Error: outcome, Fault: fault,
	})
}

// secretive operations may hold secret configuration in their requests.
var secretive = map[string]bool{"CreatePipeline": true, "UpdatePipeline": true}

// shown is the request that the journal shows of an operation of CodePipeline;
// one that is not known may hold anything.
func (e *Emulator) shown(operation string, body []byte) []byte {
	if _, known := e.model.Operations[operation]; known && !secretive[operation] && json.Valid(body) {
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
