package emulator

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/objects"
)

// FaultKind is how a call fails.
type FaultKind string

const (
	// Throttle returns ThrottlingException (S3: SlowDown). The call has no effect.
	Throttle FaultKind = "Throttle"
	// ServerError returns InternalFailure (S3: InternalError) with status 500. The call has no
	// effect.
	ServerError FaultKind = "ServerError"
	// ServerErrorAfter returns the same after the call took effect.
	ServerErrorAfter FaultKind = "ServerErrorAfter"
	// ModelledError returns Fault.Code, one of the operation's errors in CodePipeline's API model.
	// The call has no effect. It is for operations of CodePipeline only.
	ModelledError FaultKind = "ModelledError"
	// AccessDenied returns AccessDeniedException (S3, STS: AccessDenied): the caller lacks the
	// permission for the operation.
	AccessDenied FaultKind = "AccessDenied"
	// ResetBefore breaks the connection before the call takes effect.
	ResetBefore FaultKind = "ResetBefore"
	// ResetAfter breaks the connection after the call took effect: the response is lost.
	ResetAfter FaultKind = "ResetAfter"
	// BlackHole accepts the request and never responds, until the client gives up or the emulator
	// is closed. The call has no effect.
	BlackHole FaultKind = "BlackHole"
	// BlackHoleAfter does the same after the call took effect.
	BlackHoleAfter FaultKind = "BlackHoleAfter"
	// HalfAnswer sends the headers and half of the body after the call took effect, and then
	// nothing, until the client gives up or the emulator is closed. If the response has no body, as
	// for PutJobSuccessResult and HeadObject, it sends nothing.
	HalfAnswer FaultKind = "HalfAnswer"
	// ProxyError responds with Fault.Status like a proxy: with an HTML page and without AWS
	// headers. The call has no effect.
	ProxyError FaultKind = "ProxyError"
	// ProxyErrorAfter does the same after the call took effect.
	ProxyErrorAfter FaultKind = "ProxyErrorAfter"
	// Latency delays the response by Fault.Delay. The call takes effect.
	Latency FaultKind = "Latency"
	// DuplicateDispatch makes PollForJobs also hand out jobs that other workers have, with the same
	// nonces.
	DuplicateDispatch FaultKind = "DuplicateDispatch"
)

var faultKinds = []FaultKind{
	Throttle, ServerError, ServerErrorAfter, ModelledError, AccessDenied, ResetBefore, ResetAfter,
	BlackHole, BlackHoleAfter, HalfAnswer, ProxyError, ProxyErrorAfter, Latency, DuplicateDispatch,
}

// AnyOperation is the Fault.Operation that matches all operations of all services.
const AnyOperation = "*"

// Fault makes calls of an operation fail, or delays their responses. Its JSON form is that of the
// emulator's own API (see docs/emulator.md).
type Fault struct {
	// Operation is the name of an operation of CodePipeline, STS or SQS, such as AcknowledgeJob,
	// AssumeRole or ReceiveMessage, or one of S3's operations PutObject, GetObject, HeadObject,
	// DeleteObject, CopyObject, ListObjects, CreateMultipartUpload, UploadPart,
	// CompleteMultipartUpload and AbortMultipartUpload, or AnyOperation. Required.
	Operation string
	// AccountID is the account whose calls fail, as in Call.AccountID. For AssumeRole and
	// AssumeRoleWithWebIdentity, it is the role's account. Default: all accounts.
	AccountID string
	// Region is the region whose calls fail. Default: all regions.
	Region string
	// Kind is how the calls fail. Required.
	Kind FaultKind
	// Code is the error code of a ModelledError. Required for that kind.
	Code string
	// Status is the HTTP status of a ProxyError or ProxyErrorAfter, from 400 to 599.
	// Default: 502.
	Status int
	// Delay is the time between the call's effect, if it has one, and the response. It applies to
	// every kind, always in real time, and ends when the client gives up or the emulator is closed.
	// Required for Latency. For S3, Latency delays the effect too.
	Delay time.Duration
	// Times is the number of calls that fail. Default: one, or no limit if Probability is set.
	Times int
	// Probability is the probability, from 0 to 1, that a call fails. Zero means 1.
	Probability float64
}

type faults struct {
	mu      *sync.Mutex
	random  *rand.Rand
	waiting []Fault
}

func newFaults(seed uint64) faults {
	return faults{mu: &sync.Mutex{}, random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // faults must be reproducible
}

// Inject adds a fault for future calls. At most one fault applies to a call: the first injected one
// that selects the call and happens according to its probability. The error names the invalid field
// of the fault.
func (e *Emulator) Inject(fault Fault) error {
	if err := e.checkFault(fault); err != nil {
		return err
	}
	if fault.Probability == 0 {
		fault.Times = max(fault.Times, 1)
	}
	if fault.Kind == ProxyError || fault.Kind == ProxyErrorAfter {
		fault.Status = cmp.Or(fault.Status, http.StatusBadGateway)
	}
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.waiting = append(e.faults.waiting, fault)
	return nil
}

// Faults returns the pending faults in the order of their injection, with the remaining Times.
func (e *Emulator) Faults() []Fault {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	return slices.Clone(e.faults.waiting)
}

// ClearFaults removes all pending faults.
func (e *Emulator) ClearFaults() {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.waiting = nil
}

func (e *Emulator) checkFault(f Fault) error {
	modelled, known := e.model.Operations[f.Operation]
	switch {
	case !known && f.Operation != AnyOperation && !slices.Contains(stsActions, f.Operation) && !slices.Contains(sqsActions, f.Operation) && !slices.Contains(objects.Operations, f.Operation):
		return fmt.Errorf("operation: %q is none of CodePipeline's, STS's (%s), SQS's (%s) or S3's (%s), nor *", f.Operation, strings.Join(stsActions, ", "), strings.Join(sqsActions, ", "), strings.Join(objects.Operations, ", "))
	case !slices.Contains(faultKinds, f.Kind):
		return fmt.Errorf("kind: %q must be one of %v", f.Kind, faultKinds)
	case f.Kind == ModelledError && !known:
		return fmt.Errorf("operation: %s is for an operation of CodePipeline only, not %s", f.Kind, f.Operation)
	case f.Kind == ModelledError && !slices.Contains(modelled.Errors, f.Code):
		return fmt.Errorf("code: %q must be one of the errors of %s: %s", f.Code, f.Operation, strings.Join(modelled.Errors, ", "))
	case f.Kind == DuplicateDispatch && f.Operation != "PollForJobs":
		return fmt.Errorf("operation: %s is for PollForJobs only, not %s", f.Kind, f.Operation)
	case f.AccountID != "" && !accountPattern.MatchString(f.AccountID):
		return fmt.Errorf("accountId: %q must have 12 digits", f.AccountID)
	case f.Region != "" && !regionPattern.MatchString(f.Region):
		return fmt.Errorf("region: %q must be like us-east-1", f.Region)
	default:
		return f.checkNumbers()
	}
}

// checkNumbers checks the fields that don't depend on the model.
func (f Fault) checkNumbers() error {
	byProxy := f.Kind == ProxyError || f.Kind == ProxyErrorAfter
	switch {
	case f.Status != 0 && !byProxy:
		return fmt.Errorf("status: %s has none; %s and %s do", f.Kind, ProxyError, ProxyErrorAfter)
	case f.Status != 0 && (f.Status < http.StatusBadRequest || f.Status > maxStatus):
		return fmt.Errorf("status: %d must be from 400 to %d", f.Status, maxStatus)
	case f.Kind == Latency && f.Delay == 0:
		return fmt.Errorf("delay: %s needs one", f.Kind)
	case f.Delay < 0:
		return fmt.Errorf("delay: %s must not be negative", f.Delay)
	case f.Times < 0:
		return fmt.Errorf("times: %d must not be negative", f.Times)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("probability: %v must be from 0 to 1", f.Probability)
	}
	return nil
}

// maxStatus is the last HTTP status of a class that RFC 9110 defines.
const maxStatus = 599

// take returns the fault for a call in a region of an account. Its Kind is empty if there is none.
func (f *faults) take(at regionID, operation string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.waiting, func(fault Fault) bool {
		return fault.isFor(at, operation) && f.happens(fault)
	})
	if i < 0 {
		return Fault{}
	}
	taken := f.waiting[i]
	if taken.Times == 0 {
		return taken // no limit
	}
	f.waiting[i].Times--
	if f.waiting[i].Times == 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	return taken
}

// isFor reports whether the fault selects a call.
func (f Fault) isFor(at regionID, operation string) bool {
	return (f.Operation == operation || f.Operation == AnyOperation) &&
		(f.AccountID == "" || f.AccountID == at.account) &&
		(f.Region == "" || f.Region == at.region)
}

func (f *faults) happens(fault Fault) bool {
	return fault.Probability == 0 || f.random.Float64() < fault.Probability
}

// delay waits before a delayed response. It ends early if the client gives up or the emulator is
// closed.
func (e *Emulator) delay(ctx context.Context, delay time.Duration) {
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-e.closing:
	}
}

// reset breaks the connection without a response.
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
