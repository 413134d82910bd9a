package emulator

import (
	"net/http"
	"slices"
	"sync"
)

// FaultKind is a way for a call to go wrong.
type FaultKind string

const (
	// Throttle answers ThrottlingException; the call has no effect.
	Throttle FaultKind = "Throttle"
	// ServerError answers InternalFailure (500); the call has no effect.
	ServerError FaultKind = "ServerError"
	// ServerErrorAfter answers InternalFailure (500) after the effect.
	ServerErrorAfter FaultKind = "ServerErrorAfter"
	// ResetBefore breaks the connection before the effect.
	ResetBefore FaultKind = "ResetBefore"
	// ResetAfter breaks the connection after the effect: the answer is lost.
	ResetAfter FaultKind = "ResetAfter"
)

// Fault makes the next calls of an operation go wrong.
type Fault struct {
	// Operation is its name, such as AcknowledgeJob.
	Operation string
	Kind      FaultKind
	// Times is how many calls; at least 1.
	Times int
}

type faults struct {
	mu      sync.Mutex
	waiting []Fault
}

// Inject schedules a fault. Faults of one operation happen in the order of
// their injection.
func (e *Emulator) Inject(fault Fault) {
	fault.Times = max(fault.Times, 1)
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.waiting = append(e.faults.waiting, fault)
}

// take is the fault for this call; its Kind is empty when there is none.
func (f *faults) take(operation string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.waiting, func(fault Fault) bool { return fault.Operation == operation })
	if i < 0 {
		return Fault{}
	}
	taken := f.waiting[i]
	f.waiting[i].Times--
	if f.waiting[i].Times == 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	return taken
}

// reset breaks the connection without an answer.
func reset(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	connection, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = connection.Close() // breaking it is the purpose
}
