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

// FaultKind says how a call fails.
type FaultKind string

const (
	// Throttle answers ThrottlingException (S3: SlowDown); the call has no effect.
	Throttle FaultKind = "Throttle"
	// ServerError answers InternalFailure (S3: InternalError), which is a 500; the
	// call has no effect.
	ServerError FaultKind = "ServerError"
	// ServerErrorAfter answers the same after the effect.
	ServerErrorAfter FaultKind = "ServerErrorAfter"
	// ModelledError answers Fault.Code, one of the errors that CodePipeline's model
	// names for the operation; the call has no effect. It is for operations of
	// CodePipeline only.
	ModelledError FaultKind = "ModelledError"
	// AccessDenied answers AccessDeniedException (S3, STS: AccessDenied): the caller
	// lacks the permission for the operation.
	AccessDenied FaultKind = "AccessDenied"
	// ResetBefore breaks the connection before the effect.
	ResetBefore FaultKind = "ResetBefore"
	// ResetAfter breaks the connection after the effect: the answer is lost.
	ResetAfter FaultKind = "ResetAfter"
	// BlackHole accepts the request and never answers, until the client gives up or
	// the emulator is closed; the call has no effect.
	BlackHole FaultKind = "BlackHole"
	// BlackHoleAfter does the same after the effect.
	BlackHoleAfter FaultKind = "BlackHoleAfter"
	// HalfAnswer sends the headers and half of the body after the effect, and then
	// nothing, until the client gives up or the emulator is closed. Of an answer without
	// a body, such as those of PutJobSuccessResult and HeadObject, nothing is sent.
	HalfAnswer FaultKind = "HalfAnswer"
	// ProxyError answers Fault.Status as a proxy does: with a page in HTML, and without
	// any header of AWS's. The call has no effect.
	ProxyError FaultKind = "ProxyError"
	// ProxyErrorAfter answers the same after the effect.
	ProxyErrorAfter FaultKind = "ProxyErrorAfter"
	// Latency delays the answer by Fault.Delay; the call takes effect.
	Latency FaultKind = "Latency"
	// DuplicateDispatch makes PollForJobs also hand out the jobs that other workers
	// have, with the nonces that those workers have.
	DuplicateDispatch FaultKind = "DuplicateDispatch"
)

var faultKinds = []FaultKind{
	Throttle, ServerError, ServerErrorAfter, ModelledError, AccessDenied, ResetBefore, ResetAfter,
	BlackHole, BlackHoleAfter, HalfAnswer, ProxyError, ProxyErrorAfter, Latency, DuplicateDispatch,
}

// AnyOperation is the Fault.Operation that matches all operations of all services.
const AnyOperation = "*"

// Fault makes calls of an operation fail, or their answers late. In JSON its members are
// those of the emulator's own API (see docs/emulator.md).
type Fault struct {
	// Operation is the operation's name in the API of CodePipeline, STS or SQS, such
	// as AcknowledgeJob, AssumeRole or ReceiveMessage; or one of S3's PutObject,
	// GetObject, HeadObject, DeleteObject, CopyObject, ListObjects,
	// CreateMultipartUpload, UploadPart, CompleteMultipartUpload and
	// AbortMultipartUpload; or AnyOperation. Required.
	Operation string
	// AccountID is the account whose calls fail, as Call.AccountID has it; for AssumeRole
	// and AssumeRoleWithWebIdentity it is the role's. Default: all accounts.
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
	// Delay is the time between the call's effect, if it has one, and its answer.
	// It applies to every kind, in real time whatever Options.Clock is, and ends when
	// the client gives up or the emulator is closed. Required for Latency; with S3,
	// Latency delays the effect too.
	Delay time.Duration
	// Times is how many calls fail. Default: one; without end if Probability is set.
	Times int
	// Probability is the probability, from 0 to 1, that a call fails. Zero is
	// replaced by 1.
	Probability float64
}

type faults struct {
	mu      *sync.Mutex
	random  *rand.Rand
	waiting []Fault
}

func newFaults(seed uint64) faults {
	return faults{mu: &sync.Mutex{}, random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // faults shall repeat
}

// Inject adds a fault for calls to come. A call meets at most one fault: the first
// that was injected for its operation and that its probability lets happen. The
// error names the field of the fault that is invalid.
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

// Faults returns the faults that are still to happen, in the order of their
// injection, with the Times that are left.
func (e *Emulator) Faults() []Fault {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	return slices.Clone(e.faults.waiting)
}

// ClearFaults drops the faults that are still to happen.
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

// checkNumbers checks what does not depend on the model.
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

// take returns the fault for a call in a region of an account; its Kind is empty if
// there is none.
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
		return taken // it has no end
	}
	f.waiting[i].Times--
	if f.waiting[i].Times == 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	return taken
}

// isFor reports whether a call is one of those that the fault selects.
func (f Fault) isFor(at regionID, operation string) bool {
	return (f.Operation == operation || f.Operation == AnyOperation) &&
		(f.AccountID == "" || f.AccountID == at.account) &&
		(f.Region == "" || f.Region == at.region)
}

func (f *faults) happens(fault Fault) bool {
	return fault.Probability == 0 || f.random.Float64() < fault.Probability
}

// delay waits before a late answer, until the client gives up or the emulator is
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
