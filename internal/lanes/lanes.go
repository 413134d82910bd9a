// Package lanes schedules the calls to AWS. All calls to one account in one region go
// through its lane: a limited number is in flight, the rate of each operation adapts to
// throttling, important calls go first, and namespaces take turns. A caller never waits:
// it submits a function, which a goroutine of the lane calls when there is room. So a slow
// or throttled account does not delay others, and within an account, no namespace delays
// another.
package lanes

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

const (
	// DefaultInFlight is the maximum number of calls in flight of a lane.
	DefaultInFlight = 32
	// DefaultCeiling is the highest rate of one operation in a lane, in calls per second.
	DefaultCeiling = 100
	// Timeout limits the work for one call, including reads and writes around it. The
	// calls themselves have shorter deadlines: see codepipeline.Timeouts.
	Timeout = 3 * time.Minute
	// drainTimeout is how long calls in flight may take to finish when the operator stops.
	drainTimeout = 20 * time.Second
	// idleLife is how long an unused lane is kept.
	idleLife = time.Hour
)

// priority is the order of calls in a lane: a pipeline waits for a result,
// and a poll only brings more work.
type priority int

const (
	result priority = iota
	claim
	details
	definition
	state
	poll
	priorities // the number of priorities
)

// shares are the parts of the calls in flight that each priority may use together with
// those below it.
var shares = [priorities]float64{result: 1, claim: 1, details: 0.75, definition: 0.75, state: 0.5, poll: 0.5}

func priorityOf(operation string) priority {
	switch operation {
	case "PutJobSuccessResult", "PutJobFailureResult":
		return result
	case "AcknowledgeJob":
		return claim
	case "GetJobDetails":
		return details
	case "ListActionExecutions":
		return state
	case "PollForJobs":
		return poll
	default:
		return definition
	}
}

// Key names a lane: the calls that AWS throttles together.
type Key struct {
	// Account is as in codepipeline.Identity.Account.
	Account, Region string
}

// Of returns the key of an identity's lane.
func Of(id codepipeline.Identity) Key { return Key{Account: id.Account(), Region: id.Region} }

// Call is a call to AWS.
type Call struct {
	// ID is what the call is for, and comparable. A lane makes one call for it at a time.
	ID any
	// Namespace of the object that the call is for. Among calls of equal priority, namespaces take
	// turns. It is empty for the operator's own calls, which count as another namespace.
	Namespace string
	// Operation is the AWS operation, or the first one if there are several. Its rate
	// limits the calls of Do.
	Operation string
	// Do makes the call. Its context ends after Timeout.
	Do func(ctx context.Context)
}

// Options limit the lanes. Zero values are the defaults.
type Options struct {
	// InFlight is the maximum number of calls in flight of each lane.
	InFlight int
	// Ceiling is the highest rate of one operation in a lane, in calls per second.
	Ceiling float64
	Clock   clock.WithDelayedExecution
	Log     logr.Logger
}

// Lanes are the lanes of all accounts and regions. It is a manager.Runnable that waits for
// the calls in flight before the operator stops. It is safe for concurrent use.
type Lanes struct {
	inFlight int
	ceiling  float64
	clock    clock.WithDelayedExecution
	log      logr.Logger

	ctx  context.Context
	end  context.CancelFunc
	open sync.WaitGroup // waiting and running calls

	mu     sync.Mutex
	lanes  map[Key]*lane
	closed bool
}

// New returns Lanes without any.
func New(o Options) *Lanes {
	l := &Lanes{
		inFlight: cmp.Or(o.InFlight, DefaultInFlight), ceiling: cmp.Or(o.Ceiling, DefaultCeiling),
		clock: o.Clock, log: o.Log, lanes: map[Key]*lane{},
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// Submit makes a call as soon as its lane has room. It replaces a waiting call with the
// same ID, and takes its place if the operation is the same. While a call with that ID
// runs, the new one waits for its end.
func (l *Lanes) Submit(key Key, c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return // the next leader will make the call
	}
	l.of(key).submit(c)
}

// Cancel removes a waiting call, and reports whether there was one. It does not stop a
// running call.
func (l *Lanes) Cancel(key Key, id any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.lanes[key]
	return ok && known.cancel(id)
}

// Do is Submit for a separate goroutine: it waits until do has returned. If ctx ends
// before do is called, Do returns the error of ctx, and do is not called. Once do was
// called, Do returns after it, even if the lanes have stopped.
func (l *Lanes) Do(ctx context.Context, key Key, namespace, operation string, do func(ctx context.Context)) error {
	type ticket struct{ settled atomic.Bool } // do was called, or will not be called
	id, done := &ticket{}, make(chan struct{})
	l.Submit(key, Call{ID: id, Namespace: namespace, Operation: operation, Do: func(ctx context.Context) {
		if id.settled.CompareAndSwap(false, true) {
			defer close(done)
			do(ctx)
		}
	}})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if id.settled.CompareAndSwap(false, true) {
		l.Cancel(key, id)
		return ctx.Err()
	}
	<-done
	return nil
}

// Answer is the kind of response to a call.
type Answer int

const (
	// AnswerGiven is any response of AWS except throttling.
	AnswerGiven Answer = iota
	// AnswerThrottled slows the operation down.
	AnswerThrottled
	// AnswerNone: there was no response, or it was not from AWS.
	AnswerNone
)

// Answered records a call that was made, by Submit or not.
func (l *Lanes) Answered(key Key, operation string, how Answer) {
	l.mu.Lock()
	of := l.of(key)
	l.mu.Unlock()
	of.answered(operation, how)
}

// SilentFor returns for how long the calls of a lane have had no response, from the first to the
// last one. It is zero if the last call had a response.
func (l *Lanes) SilentFor(key Key) time.Duration {
	l.mu.Lock()
	known, ok := l.lanes[key]
	l.mu.Unlock()
	if !ok {
		return 0
	}
	return known.silentFor()
}

// ThrottledAt returns when a call of a lane was last throttled. Zero means never or long ago.
func (l *Lanes) ThrottledAt(key Key) time.Time {
	l.mu.Lock()
	known, ok := l.lanes[key]
	l.mu.Unlock()
	if !ok {
		return time.Time{}
	}
	return known.throttledAt()
}

// Load is the current load of a lane.
type Load struct {
	Waiting, InFlight int
	// Rates are the current limits of each operation, in calls per second.
	Rates map[string]float64
}

// Loads returns the load of each lane.
func (l *Lanes) Loads() map[Key]Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	loads := map[Key]Load{}
	for key, known := range l.lanes {
		loads[key] = known.load()
	}
	return loads
}

// of returns the lane of a key. The caller holds the lock.
func (l *Lanes) of(key Key) *lane {
	if known, ok := l.lanes[key]; ok {
		return known
	}
	now := l.clock.Now()
	for other, known := range l.lanes {
		if known.idleSince(now.Add(-idleLife)) {
			delete(l.lanes, other)
		}
	}
	made := newLane(l)
	made.used = now
	l.lanes[key] = made
	return made
}

// NeedLeaderElection makes the manager start the lanes only on the leader.
func (l *Lanes) NeedLeaderElection() bool { return true }

// Start waits until ctx ends. Then it drops the waiting calls, and waits for those in
// flight: a lost response would cost another operator at least one call.
func (l *Lanes) Start(ctx context.Context) error {
	<-ctx.Done()
	l.mu.Lock()
	l.closed = true
	for _, known := range l.lanes {
		known.drop()
	}
	l.mu.Unlock()
	timer := time.AfterFunc(drainTimeout, l.end)
	defer timer.Stop()
	l.open.Wait()
	l.end()
	return nil
}

// Wait waits until there are no waiting or running calls.
func (l *Lanes) Wait() { l.open.Wait() }
