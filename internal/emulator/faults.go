package emulator

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// FaultKind is a way for a call to go wrong.
type FaultKind string

const (
	// Throttle answers ThrottlingException (S3: SlowDown); the call has no effect.
	Throttle FaultKind = "Throttle"
	// ServerError answers InternalFailure (S3: InternalError), which is a 500; the
	// call has no effect.
	ServerError FaultKind = "ServerError"
	// ServerErrorAfter answers the same after the effect.
	ServerErrorAfter FaultKind = "ServerErrorAfter"
	// ResetBefore breaks the connection before the effect.
	ResetBefore FaultKind = "ResetBefore"
	// ResetAfter breaks the connection after the effect: the answer is lost.
	ResetAfter FaultKind = "ResetAfter"
	// Latency answers as ever, but late: see Fault.Delay.
	Latency FaultKind = "Latency"
)

// Fault makes the next calls of an operation go wrong.
type Fault struct {
	// Operation is its name in the service's API: of CodePipeline, such as
	// AcknowledgeJob, of STS, such as AssumeRole, or of S3, such as PutObject
	// (those that objects.Operation tells).
	Operation string
	Kind      FaultKind
	// Delay is the time from the effect to the answer, of any kind. It is real
	// time, whatever Options.Clock says: the client's time-out is real too. A
	// client that gives up meanwhile has lost the answer to a call that was done.
	// Latency of S3 comes ahead of the effect, as its answers may be long.
	Delay time.Duration
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

// hold waits before a late answer, for as long as the client does.
func hold(ctx context.Context, delay time.Duration) {
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
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
