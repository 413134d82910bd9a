// Package poller polls CodePipeline for jobs, with one loop per CustomAction, and records each
// job as a PipelineJob. It never acknowledges a job: the reconciler claims it after it is
// recorded.
package poller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// Target is what the loop of an action polls for.
type Target struct {
	Action types.NamespacedName
	// Account is the name of the CodePipelineAccount, which is recorded in PipelineJobs.
	Account string
	// AccountID is the ID of the AWS account. It is empty if unknown.
	AccountID string
	// Identity is where and with which identity to poll.
	Identity codepipeline.Identity
	Type     codepipeline.ActionTypeID
	// QueryKey and QueryValue are the queryParam. They are empty if there is none.
	QueryKey, QueryValue string
	// Interval is the longest wait between polls while idle.
	Interval time.Duration
	// MaxConcurrent bounds the jobs in flight of this action. Zero: no new job is taken, and
	// CodePipeline is polled only while a job is awaited.
	MaxConcurrent int32
}

// asksTheSame reports whether polls for both targets would get the same answers.
func (t Target) asksTheSame(other Target) bool {
	return t.Identity == other.Identity && t.Type == other.Type && t.QueryKey == other.QueryKey && t.QueryValue == other.QueryValue
}

// queryParam returns the queryParam as PipelineJobs record it.
func (t Target) queryParam() map[string]v1alpha1.QueryValue {
	if t.QueryKey == "" {
		return nil
	}
	return map[string]v1alpha1.QueryValue{t.QueryKey: v1alpha1.QueryValue(t.QueryValue)}
}

// Health is how the last poll of a target went.
type Health struct {
	// Err is why the poll failed, or why one of its jobs could not be recorded. It is nil on
	// success.
	Err error
	// FailingSince is when the current run of failures began; zero if Err is nil.
	FailingSince time.Time
	// Full reports whether all slots are taken.
	Full bool
	// LastPoll is when CodePipeline last answered. It is zero if it never did.
	LastPoll time.Time
}

// Poller runs the loops. It is a manager.Runnable that needs leader election. Targets may be
// set before it is started.
type Poller struct {
	// Client reads PipelineJobs from the cache and writes them.
	Client client.Client
	// Live reads from the API server instead of the cache.
	Live client.Reader
	AWS  *codepipeline.Clients
	// Lanes limit the calls to CodePipeline.
	Lanes *lanes.Lanes
	// Clock is the source of all waits.
	Clock clock.Clock
	// MaxConcurrent bounds the jobs in flight of all actions together. Zero: only the limits of
	// the actions apply.
	MaxConcurrent int32
	// KeepFor is how long CodePipeline may wait for a job. A job that can't be recorded is kept
	// for that time, and a settled job of which CodePipeline confirmed nothing is awaited for it.
	KeepFor time.Duration
	// Polled is called after each poll.
	Polled func(action types.NamespacedName, jobs int, err error)
	// Changed is called, without blocking, when a target's health changes.
	Changed func(action types.NamespacedName)
	Log     logr.Logger

	once     sync.Once
	capacity *capacity
	synced   func() bool // whether the informer has shown all PipelineJobs; nil: there is no informer

	mu      sync.Mutex
	running context.Context // nil before Start
	loops   map[types.NamespacedName]*loop
	// elsewhere are the loops for places where actions take no new jobs.
	elsewhere map[types.NamespacedName]map[Place]*loop
	// ending are loops that were removed and may still be running, in the order of their removal.
	ending map[types.NamespacedName][]*loop
	// kept are jobs that a loop had not recorded when it ended.
	kept map[types.NamespacedName][]*v1alpha1.PipelineJob
	done sync.WaitGroup
}

// init makes the zero values usable.
func (p *Poller) init() {
	p.once.Do(func() {
		p.capacity = newCapacity(p.MaxConcurrent, p.KeepFor, p.Clock)
		p.elsewhere = map[types.NamespacedName]map[Place]*loop{}
		p.loops, p.ending = map[types.NamespacedName]*loop{}, map[types.NamespacedName][]*loop{}
		p.kept = map[types.NamespacedName][]*v1alpha1.PipelineJob{}
	})
}

// Informer is the part of a cache's informer that Watch uses.
type Informer interface {
	AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}

// Watch subscribes to the informer of PipelineJobs, which shows what slots are taken and which
// jobs are awaited. Call it once, before Start.
func (p *Poller) Watch(jobs Informer) error {
	p.init()
	registered, err := jobs.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { p.jobChanged(object.(*v1alpha1.PipelineJob)) },
		UpdateFunc: func(_, object any) { p.jobChanged(object.(*v1alpha1.PipelineJob)) },
		DeleteFunc: func(object any) {
			if tombstone, missed := object.(toolscache.DeletedFinalStateUnknown); missed {
				object = tombstone.Obj
			}
			if job, ok := object.(*v1alpha1.PipelineJob); ok {
				p.react(job, p.capacity.gone(job))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch PipelineJobs: %w", err)
	}
	p.synced = registered.HasSynced
	return nil
}

// jobChanged handles a new or changed PipelineJob.
func (p *Poller) jobChanged(job *v1alpha1.PipelineJob) {
	p.init()
	p.react(job, p.capacity.observe(job))
}

// react wakes the loops that a change concerns.
func (p *Poller) react(job *v1alpha1.PipelineJob, changed change) {
	if !changed.freed && !changed.awaited {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[naming.ActionOf(job)]; ok {
		if changed.awaited {
			l.awaken()
		}
		if changed.freed {
			l.slotFreed()
		}
	}
	if changed.awaited {
		for _, l := range p.elsewhere[naming.ActionOf(job)] {
			l.awaken()
		}
	}
	p.wakeNext()
}

// NeedLeaderElection makes the manager start the poller only on the leader.
func (p *Poller) NeedLeaderElection() bool { return true }

// Start polls until ctx ends, and returns once the jobs of every poll in progress are
// recorded.
func (p *Poller) Start(ctx context.Context) error {
	p.init()
	if p.synced != nil && !toolscache.WaitForCacheSync(ctx.Done(), p.synced) {
		return nil // ctx has ended
	}
	p.mu.Lock()
	p.running = ctx
	for _, l := range p.all() {
		p.launch(l)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.running = nil // from now on, Ensure launches nothing: it would not be waited for
	p.mu.Unlock()
	p.done.Wait()
	return nil
}

// Ensure makes the poller poll for target, and no other, for its action, and for the jobs that
// are awaited elsewhere.
func (p *Poller) Ensure(target Target, elsewhere ...Target) {
	p.init()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ensureElsewhere(target.Action, elsewhere)
	p.capacity.setPlace(target.Action, target.Place())
	p.capacity.limitTo(target.Action, target.MaxConcurrent)
	if l, ok := p.loops[target.Action]; ok {
		l.setTarget(target)
	} else {
		l := newLoop(p, target, p.endingOwn(target.Action))
		l.accepted = p.kept[target.Action]
		delete(p.kept, target.Action)
		p.loops[target.Action] = l
		if p.running != nil {
			p.launch(l)
		}
	}
	p.wakeNext()
}

// Remove stops polling for an action, except for jobs that are awaited elsewhere.
func (p *Poller) Remove(action types.NamespacedName, elsewhere ...Target) {
	p.init()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ensureElsewhere(action, elsewhere)
	l, ok := p.loops[action]
	if !ok {
		return
	}
	delete(p.loops, action)
	p.end(action, l)
	p.capacity.forget(action)
	p.wakeNext()
}

// end ends a loop that was removed. The caller holds the lock.
func (p *Poller) end(action types.NamespacedName, l *loop) {
	if l.cancel != nil {
		p.ending[action] = append(p.ending[action], l)
		l.cancel()
	}
}

// endingOwn returns the latest of an action's own loops that are ending, or nil. The caller holds
// the lock.
func (p *Poller) endingOwn(action types.NamespacedName) *loop {
	for _, l := range slices.Backward(p.ending[action]) {
		if !l.elsewhere {
			return l
		}
	}
	return nil
}

// Forget stops polling for an action that is gone.
func (p *Poller) Forget(action types.NamespacedName) {
	p.Remove(action)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, action)
	for _, l := range p.ending[action] {
		l.forgotten = true
	}
}

// WakeType ends the current wait of all loops of an action type in a region and account. Loops
// whose account is unknown are included. It returns the number of loops.
func (p *Poller) WakeType(region, account string, id codepipeline.ActionTypeID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	woken := 0
	for _, l := range p.all() {
		target := l.currentTarget()
		of := target.Identity
		if target.Type != id || of.Region != region || of.Account() != "" && of.Account() != account {
			continue
		}
		l.awaken()
		woken++
	}
	return woken
}

// gaveBack is called at the end of a turn: the slots that it did not fill are free for others.
func (p *Poller) gaveBack(action types.NamespacedName, failed bool) {
	p.capacity.give(action)
	if failed {
		p.capacity.standBack(action)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeNext()
}

// wakeNext wakes the actions whose turn it is to get a slot. The caller holds the lock.
func (p *Poller) wakeNext() {
	for _, action := range p.capacity.next() {
		if l, polled := p.loops[action]; polled {
			l.slotFreed()
		}
	}
}

// Health returns how the last poll for an action went.
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
		defer p.ended(l)
		defer cancel()
		l.run(ctx)
	})
}

// ended hands on the jobs that a removed loop had not recorded when it ended: CodePipeline may
// never hand them out again.
func (p *Poller) ended(l *loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	target := l.currentTarget()
	action := target.Action
	if !slices.Contains(p.ending[action], l) {
		return // the operator stops
	}
	p.ending[action] = slices.DeleteFunc(p.ending[action], func(other *loop) bool { return other == l })
	if len(p.ending[action]) == 0 {
		delete(p.ending, action)
	}
	l.keepAccepted()
	if l.forgotten || len(l.kept) == 0 {
		return
	}
	next, polled := p.loops[action]
	if !polled {
		p.kept[action] = append(p.kept[action], l.kept...)
		p.passKept(action)
		return
	}
	for _, job := range l.kept {
		if !next.accept(target, job) {
			next.inherit(job) // it records continuations of any place
		}
	}
	next.awaken()
}

// IndexInFlight is the cache's index of unsettled PipelineJobs, by the name of their
// CustomAction. OfAnyAction selects all of them.
const (
	IndexInFlight = "inFlight"
	OfAnyAction   = "*"
)

// IndexMayBeHandedOut is the cache's index of PipelineJobs that CodePipeline may hand out, by
// the name of their CustomAction. It decides whether and where the operator polls for an
// action.
const IndexMayBeHandedOut = "mayBeHandedOut"

// ByActionOfHandOut is the indexer for IndexMayBeHandedOut.
func ByActionOfHandOut(object client.Object) []string {
	job := object.(*v1alpha1.PipelineJob)
	if !job.MayBeHandedOut() {
		return nil
	}
	return []string{job.Spec.ActionRef.Name}
}

// IndexByAction is the indexer for IndexInFlight.
func IndexByAction(object client.Object) []string {
	job := object.(*v1alpha1.PipelineJob)
	if job.Settled() {
		return nil
	}
	return []string{job.Spec.ActionRef.Name, OfAnyAction}
}
