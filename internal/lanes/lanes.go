// Package lanes decides who may call AWS, and when. All calls to one account in one
// region go through its lane: a bounded number is in flight, the rate of each operation
// adapts to throttling, what is more important goes first, and namespaces take turns. A
// caller never waits: it says what is to be done when there is room, which a goroutine of
// the lane does then. So a slow or throttled account holds up no other, and within one,
// no namespace holds up another.
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
	// DefaultInFlight is how many calls of a lane are in flight at most.
	DefaultInFlight = 32
	// DefaultCeiling is the highest rate of one operation in a lane, in calls a second.
	DefaultCeiling = 100
	// Timeout bounds what is done for one call, with all that is read and written around
	// it. The calls themselves have shorter deadlines: see codepipeline.Timeouts.
	Timeout = 3 * time.Minute
	// drainTimeout is how long calls in flight may take to end when the operator stops.
	drainTimeout = 20 * time.Second
	// idleLife is how long a lane is remembered that nobody uses.
	idleLife = time.Hour
)

// priority says what goes first in a lane: a pipeline waits for a result,
// and a poll only brings more work.
type priority int

const (
	result priority = iota
	claim
	details
	definition
	state
	poll
	priorities // how many there are
)

// shares are the parts of the calls in flight that each priority and those below it
// have together.
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

// Key names a lane: what AWS throttles together.
type Key struct {
	// Account is as in codepipeline.Identity.Account.
	Account, Region string
}

// Of is the lane of an identity.
func Of(id codepipeline.Identity) Key { return Key{Account: id.Account(), Region: id.Region} }

// Call is something that makes a call to AWS.
type Call struct {
	// ID is what the call is for, and comparable. A lane makes one call for it at a time.
	ID any
	// Namespace is that of the object which the call is for. Among calls of equal priority,
	// namespaces take turns; empty: the operator's own calls, which are a namespace, too.
	Namespace string
	// Operation is the AWS operation, or the first one if there are several. Its rate
	// says when Do is called.
	Operation string
	// Do makes the call. Its context ends after Timeout.
	Do func(ctx context.Context)
}

// Options bound the lanes. Zero values stand for the defaults.
type Options struct {
	// InFlight bounds the calls in flight of each lane.
	InFlight int
	// Ceiling is the highest rate of one operation in a lane, in calls a second.
	Ceiling float64
	Clock   clock.WithDelayedExecution
	Log     logr.Logger
}

// Lanes are the lanes of all accounts and regions. It is a manager.Runnable that ends
// the calls in flight before the operator stops. It is safe for concurrent use.
type Lanes struct {
	inFlight int
	ceiling  float64
	clock    clock.WithDelayedExecution
	log      logr.Logger

	ctx  context.Context
	end  context.CancelFunc
	open sync.WaitGroup // calls that wait or run

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

// Submit has a call made as soon as its lane has room. A call that waits under the same
// ID is replaced, and the new one keeps its place if the operation is the same; while
// one of that ID runs, the new one waits for its end.
func (l *Lanes) Submit(key Key, c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return // another operator will do it
	}
	l.of(key).submit(c)
}

// Cancel takes back a call that waits. It reports whether there was one: a call that
// runs goes on.
func (l *Lanes) Cancel(key Key, id any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.lanes[key]
	return ok && known.cancel(id)
}

// Do is Submit for a goroutine of its own, which waits until do has returned. If ctx
// ends before do is called, its error is returned and do is not called any more; once
// do was called, Do returns after it, even when the lanes have stopped meanwhile.
func (l *Lanes) Do(ctx context.Context, key Key, namespace, operation string, do func(ctx context.Context)) error {
	type ticket struct{ settled atomic.Bool } // do was called, or will not be
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

// Answer is how a call was answered.
type Answer int

const (
	// AnswerGiven is any answer of AWS but a throttled one.
	AnswerGiven Answer = iota
	// AnswerThrottled slows the operation down.
	AnswerThrottled
	// AnswerNone: there was none, or none of AWS.
	AnswerNone
)

// Answered tells of a call that was made, whether or not it was asked for by Submit.
func (l *Lanes) Answered(key Key, operation string, how Answer) {
	l.mu.Lock()
	of := l.of(key)
	l.mu.Unlock()
	of.answered(operation, how)
}

// SilentFor is for how long no call of a lane was answered, from the first to the last one
// of those that were made; zero if the last one was.
func (l *Lanes) SilentFor(key Key) time.Duration {
	l.mu.Lock()
	known, ok := l.lanes[key]
	l.mu.Unlock()
	if !ok {
		return 0
	}
	return known.silentFor()
}

// ThrottledAt is when a call of a lane was last throttled; zero: never, or long ago.
func (l *Lanes) ThrottledAt(key Key) time.Time {
	l.mu.Lock()
	known, ok := l.lanes[key]
	l.mu.Unlock()
	if !ok {
		return time.Time{}
	}
	return known.throttledAt()
}

// Load is what goes on in a lane.
type Load struct {
	Waiting, InFlight int
	// Rates are how many calls a second each operation gets now.
	Rates map[string]float64
}

// Loads tells what goes on in each lane.
func (l *Lanes) Loads() map[Key]Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	loads := map[Key]Load{}
	for key, known := range l.lanes {
		loads[key] = known.load()
	}
	return loads
}

// of is the lane of a key. The caller holds the lock.
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

// NeedLeaderElection makes the manager start the lanes on the leader alone.
func (l *Lanes) NeedLeaderElection() bool { return true }

// Start waits until ctx ends. Then it drops the calls that wait, and lets those in
// flight come to their end: a lost answer costs another operator a call, at least.
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

// Wait waits until no call waits or runs.
func (l *Lanes) Wait() { l.open.Wait() }
