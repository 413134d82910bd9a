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
	// MaxConcurrent bounds the jobs in flight.
	MaxConcurrent int32
}

// Health is how the last poll of a target went.
type Health struct {
	// Err is why it failed, nil when it did not.
	Err error
	// FailingSince is when the first of the polls failed that have failed since
	// the last that did not; zero when Err is nil.
	FailingSince time.Time
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
	Clock clock.WithTicker
	// Changed is called, without blocking, when a target's health changes.
	Changed func(action types.NamespacedName)
	Log     logr.Logger

	mu      sync.Mutex
	running context.Context // nil before Start
	loops   map[types.NamespacedName]*loop
	done    sync.WaitGroup
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
		p.loops = map[types.NamespacedName]*loop{}
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
	}
}

// Wake ends the current wait of an action's loop: a slot came free.
func (p *Poller) Wake(action types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[action]; ok {
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

// IndexAction is the cache's index of PipelineJobs by their CustomAction.
const IndexAction = "spec.actionRef.name"

// IndexByAction is the indexer for IndexAction.
func IndexByAction(object client.Object) []string {
	return []string{object.(*v1alpha1.PipelineJob).Spec.ActionRef.Name}
}
