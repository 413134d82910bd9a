// Package poller asks CodePipeline for jobs, one loop for each CustomAction,
// and records each job as a PipelineJob. It never acknowledges: the record
// comes first, and the claim is the reconciler's.
package poller

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// Target is what one loop polls for. Two equal targets are the same loop.
type Target struct {
	Action types.NamespacedName
	// Identity says where and as whom to poll.
	Identity codepipeline.Identity
	Type     codepipeline.ActionTypeID
	// QueryKey and QueryValue are the queryParam, empty when there is none.
	QueryKey, QueryValue string
	// Interval is the longest wait between polls while idle.
	Interval time.Duration
	// MaxConcurrent bounds the jobs in flight of this action.
	MaxConcurrent int32
}

// Health is how the last poll of a target went.
type Health struct {
	// Err is why it failed, nil when it did not.
	Err error
	// FailingSince is when the first of the polls failed that have failed since
	// the last that did not; zero when Err is nil.
	FailingSince time.Time
	// Full says that no poll was made: all slots were taken.
	Full bool
	// LastPoll is when CodePipeline last answered, zero when it never did.
	LastPoll time.Time
}

// Poller runs the loops. It is a manager.Runnable that needs leader election;
// targets may be set before it is started.
type Poller struct {
	// Client reads PipelineJobs from the cache and writes them.
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	AWS  *codepipeline.Clients
	// Clock is the source of all waits.
	Clock clock.Clock
	// MaxConcurrent bounds the jobs in flight of all actions together; zero: no
	// bound but those of the actions.
	MaxConcurrent int32
	// Polled is told of each poll that was tried.
	Polled func(action types.NamespacedName, jobs int, err error)
	// Changed is called, without blocking, when a target's health changes.
	Changed func(action types.NamespacedName)
	Log     logr.Logger

	mu       sync.Mutex
	running  context.Context // nil before Start
	loops    map[types.NamespacedName]*loop
	capacity *capacity
	done     sync.WaitGroup
}

// NeedLeaderElection makes the manager start the poller on the leader alone.
func (p *Poller) NeedLeaderElection() bool { return true }

// Start polls until ctx ends, and returns once every poll under way has been
// recorded.
func (p *Poller) Start(ctx context.Context) error {
	p.mu.Lock()
	p.running = ctx
	for _, l := range p.loops {
		p.launch(l)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.done.Wait()
	return nil
}

// Ensure makes sure that target, and no other, is polled for its action.
func (p *Poller) Ensure(target Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, replaces := p.loops[target.Action]
	if replaces {
		if before.target == target {
			return
		}
		before.stop()
	}
	if p.loops == nil {
		p.loops, p.capacity = map[types.NamespacedName]*loop{}, newCapacity(p.MaxConcurrent, p.Clock)
	}
	l := newLoop(p, target, before)
	p.loops[target.Action] = l
	if p.running != nil {
		p.launch(l)
	}
}

// Remove stops polling for an action.
func (p *Poller) Remove(action types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[action]; ok {
		l.stop()
		delete(p.loops, action)
		p.capacity.forget(action)
	}
}

// Wake ends the current wait of an action's loop: a slot came free, which may be
// another action's turn.
func (p *Poller) Wake(action types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[action]; ok {
		l.awaken()
	}
	p.wakeNext(action)
}

// WakeType ends the current wait of all loops of an action type in a region. Those
// whose account is known must be of the given one. It returns how many there are.
func (p *Poller) WakeType(region, account string, id codepipeline.ActionTypeID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	woken := 0
	for _, l := range p.loops {
		of := l.target.Identity
		if l.target.Type != id || of.Region != region || of.Account() != "" && of.Account() != account {
			continue
		}
		l.awaken()
		woken++
	}
	return woken
}

// gaveBack is called when a poll has ended: slots that it did not fill are free
// for others.
func (p *Poller) gaveBack(action types.NamespacedName) {
	if !p.capacity.give(action) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeNext(action)
}

// wakeNext wakes the action that waits longest for a slot, but for the one that
// is awake. The caller holds the lock.
func (p *Poller) wakeNext(awake types.NamespacedName) {
	if p.capacity == nil {
		return
	}
	next, waits := p.capacity.next()
	if l, polled := p.loops[next]; waits && polled && next != awake {
		l.awaken()
	}
}

// Health tells how the last poll for an action went.
func (p *Poller) Health(action types.NamespacedName) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[action]; ok {
		return l.health()
	}
	return Health{}
}

func (p *Poller) launch(l *loop) {
	ctx, cancel := context.WithCancel(p.running)
	l.cancel = cancel
	p.done.Go(func() {
		defer cancel()
		l.run(ctx)
	})
}

// IndexInFlight is the cache's index of PipelineJobs that are not settled, by the
// name of their CustomAction, and of all by OfAnyAction.
const (
	IndexInFlight = "inFlight"
	OfAnyAction   = "*"
)

// IndexByAction is the indexer for IndexInFlight.
func IndexByAction(object client.Object) []string {
	job := object.(*v1alpha1.PipelineJob)
	if job.Settled() {
		return nil
	}
	return []string{job.Spec.ActionRef.Name, OfAnyAction}
}
