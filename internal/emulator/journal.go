package emulator

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/engine"
)

// The services whose calls the journal has.
const (
	ServiceCodePipeline = "codepipeline"
	ServiceSTS          = "sts"
)

// Call is one call of CodePipeline or STS that the emulator received.
type Call struct {
	// Sequence counts the calls from 1, those that the journal has dropped too.
	Sequence int       `json:"sequence"`
	Time     time.Time `json:"time"`
	// Service is ServiceCodePipeline or ServiceSTS.
	Service   string `json:"service"`
	Operation string `json:"operation"`
	// Request is its JSON. Requests of the job API hold no secrets; those of
	// pipelines, which may, are left out. Of STS it is the role, the session's
	// name and the external ID.
	Request json.RawMessage `json:"request,omitempty"`
	// Error is the code that was answered, empty for success.
	Error string `json:"error,omitempty"`
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

// secretive operations may hold secret configuration in their requests.
var secretive = map[string]bool{"CreatePipeline": true, "UpdatePipeline": true}

func (e *Emulator) record(operation string, body []byte, outcome string) {
	call := Call{Time: e.clock.Now(), Service: ServiceCodePipeline, Operation: operation, Error: outcome}
	_, known := e.model.Operations[operation] // an unknown one may hold anything
	if known && !secretive[operation] && json.Valid(body) {
		call.Request = body
	}
	e.journal.add(call)
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
