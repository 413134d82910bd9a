package poller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

const (
	operationPoll = "PollForJobs"
	// pollTimeout bounds one PollForJobs call.
	pollTimeout = 15 * time.Second
	// startEvery spreads the first polls of many actions. startWithin bounds the wait of the last
	// one.
	startEvery  = 100 * time.Millisecond
	startWithin = 30 * time.Second
	// notifyEvery is how often a loop publishes the time of the last answer if nothing else
	// changes.
	notifyEvery = time.Minute
)

// loop polls for one action. It reads its target at each turn.
type loop struct {
	poller *Poller
	// elsewhere: it polls only for awaited jobs, in a place where the action takes no new ones.
	elsewhere bool
	// forgotten: its action is gone. It is guarded by the poller's lock.
	forgotten bool
	others    int                // how many loops existed before it
	before    *loop              // an earlier loop of the action that may still be ending, or nil
	cancel    context.CancelFunc // set when launched
	done      chan struct{}      // closed when run returns
	wake      chan struct{}
	freed     chan struct{}
	changed   chan struct{}

	mu         sync.Mutex
	target     Target
	last       Health
	notified   Health    // what Poller.Changed was last called for
	notifiedAt time.Time // when it was called
	// accepted are jobs that a loop elsewhere was handed and that belong to this loop.
	accepted []*v1alpha1.PipelineJob

	// Only the loop's goroutine uses the fields below.

	backoff backoff
	// speed is how fast jobs were recorded last.
	speed speed
	// kept are jobs that were handed out and are not recorded yet: there was no slot, a claim was
	// in progress, or recording failed. CodePipeline may never hand them out again.
	kept []*v1alpha1.PipelineJob
	// failures are of the jobs that could not be recorded, by the names of their PipelineJobs.
	failures map[string]failure
}

func newLoop(p *Poller, target Target, before *loop) *loop {
	return &loop{
		poller:  p,
		target:  target,
		before:  before,
		done:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		freed:   make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		others:  len(p.loops),
		backoff: backoff{idle: target.Interval}, // nothing suggests that jobs will come soon
	}
}

// setTarget sets another target, which ends the current wait.
func (l *loop) setTarget(target Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target == target {
		return
	}
	if !l.target.asksTheSame(target) {
		l.last, l.notified, l.notifiedAt = Health{}, Health{}, time.Time{}
	}
	l.target = target
	signal(l.changed)
}

func (l *loop) currentTarget() Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target
}

// awaken ends the current wait and makes the loop poll often, because a job will come soon.
func (l *loop) awaken() { signal(l.wake) }

// slotFreed ends the current wait, because a slot was freed.
func (l *loop) slotFreed() { signal(l.freed) }

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // a signal is already pending
	}
}

func (l *loop) health() Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// run polls until ctx ends. The first poll comes after a random wait that grows with the
// number of loops, so that a restart does not poll for everything at once.
func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	if l.before != nil {
		<-l.before.done // two loops of one action would both fill the free slots
		l.before = nil
	}
	next := pause{wait: rand.N(min(time.Duration(l.others)*startEvery, startWithin, l.currentTarget().Interval) + 1)}
	for l.rest(ctx, next) {
		next = l.turn(ctx)
	}
}

// rest waits for the next turn. It reports whether there is one.
func (l *loop) rest(ctx context.Context, p pause) bool {
	began := l.poller.Clock.Now()
	for ctx.Err() == nil {
		gone := l.poller.Clock.Since(began)
		if p.wait >= 0 && gone >= p.wait {
			return true
		}
		wake, freed := l.wake, l.freed
		if gone < p.floor {
			wake = nil
		}
		if gone < p.slotFloor {
			freed = nil
		}
		expired, stop := l.timer(soonest(p.wait-gone, p.floor-gone, p.slotFloor-gone, l.notify()))
		select {
		case <-ctx.Done():
		case <-expired:
		case <-l.changed:
			stop()
			l.backoff.failing = 0
			return true
		case <-freed:
			stop()
			return true
		case <-wake:
			stop()
			l.backoff.idle = 0
			return true
		}
		stop()
	}
	return false
}

// soonest returns the shortest positive wait. Zero: there is none.
func soonest(waits ...time.Duration) (first time.Duration) {
	for _, wait := range waits {
		if wait > 0 && (first == 0 || wait < first) {
			first = wait
		}
	}
	return first
}

// timer returns a channel that receives after a wait, or nil if the wait is zero.
func (l *loop) timer(wait time.Duration) (<-chan time.Time, func() bool) {
	if wait == 0 {
		return nil, func() bool { return false }
	}
	timer := l.poller.Clock.NewTimer(wait)
	return timer.C(), timer.Stop
}

// turn fills the free slots, and returns the pause after that. It completes its work even if
// ctx ends: a job that was polled and not recorded is lost until CodePipeline hands it out
// again.
func (l *loop) turn(ctx context.Context) pause {
	target := l.currentTarget()
	l.keepAccepted()
	open := l.take(target)
	did := outcome{}
	if open.free+open.awaited > 0 || len(l.kept) > 0 {
		did = l.work(ctx, target, &open)
	}
	did.retry = l.retryIn()
	if did.cause == nil {
		did.cause = l.unrecorded()
	}
	l.give(target, did.err != nil)
	l.report(target, open, did)
	return l.backoff.after(did, open, target.Interval, l.poller.Clock.Now())
}

// work records the kept jobs, and then polls for as many as there is room for. It sets open to
// the room at the poll.
func (l *loop) work(ctx context.Context, target Target, open *room) (did outcome) {
	lasting := context.WithoutCancel(ctx)
	var action v1alpha1.CustomAction
	if err := l.poller.Client.Get(lasting, target.Action, &action); err != nil {
		return outcome{err: fmt.Errorf("read the CustomAction: %w", err)}
	}
	if len(l.kept) > 0 {
		*open = l.take(target)
		did.tally = l.recordKept(lasting, target, &action)
		did.failed = 0 // each has its own retry time, and says nothing about new jobs
		if did.renewed > 0 {
			return did // a poll may invalidate the nonces that were just recorded
		}
	}
	if !l.elsewhere {
		l.poller.capacity.enterLane(target.Action)
	}
	var jobs []codepipeline.Job
	var polledAt time.Time // taken before the call: an operator frozen since then knows nothing newer
	err := l.poller.Lanes.Do(ctx, lanes.Of(target.Identity), target.Action.Namespace, operationPoll, func(context.Context) {
		polledAt = l.poller.Clock.Now()
		jobs = l.poll(lasting, target, open, &did)
	})
	if err != nil || did.err != nil || did.asked == 0 {
		return did
	}
	did.handed = len(jobs)
	did.add(l.recordNew(lasting, target, &action, jobs, polledAt))
	return did
}

// poll asks for as many jobs as there is room for now.
func (l *loop) poll(ctx context.Context, target Target, open *room, did *outcome) []codepipeline.Job {
	l.seen()
	awaited := open.awaited - did.continued
	*open = l.take(target)
	if did.continued > 0 { // the informer may not have shown the jobs that were just recorded
		open.awaited = min(open.awaited, awaited) + did.continued
	}
	probes := l.backoff.failing > 0
	if probes { // the last poll failed, and this one may too: it holds no slots
		open.free = min(open.free, 1)
		l.give(target, true)
	}
	did.asked = l.backoff.ask(min(open.free, l.speed.bound()), open.awaited-did.continued)
	if did.asked == 0 {
		return nil
	}
	jobs, err := l.ask(ctx, target, did.asked)
	if err != nil {
		l.poller.Log.Error(err, "Poll failed", "action", target.Action)
		did.err = err
	}
	if probes && len(jobs) > 0 {
		l.take(target)
	}
	if !l.elsewhere {
		l.poller.capacity.answered(target.Action, len(jobs))
	}
	return jobs
}

// seen clears pending wake-ups: the room that is taken afterwards already reflects them, but not
// jobs that were accepted since the turn began.
func (l *loop) seen() {
	defer l.awakenForAccepted()
	select {
	case <-l.freed:
	default:
	}
	select {
	case <-l.wake:
		l.backoff.idle = 0
	default:
	}
}

func (l *loop) ask(ctx context.Context, target Target, batch int32) ([]codepipeline.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	api, err := l.poller.AWS.For(ctx, target.Identity)
	if err != nil {
		return nil, err
	}
	var query map[string]string
	if target.QueryKey != "" {
		query = map[string]string{target.QueryKey: target.QueryValue}
	}
	jobs, err := api.PollForJobs(ctx, target.Type, query, batch)
	l.poller.Polled(target.Action, len(jobs), err)
	return jobs, err
}

// report updates the health of the target after a turn, and publishes it if it is time.
func (l *loop) report(target Target, open room, did outcome) {
	l.mu.Lock()
	if l.target.asksTheSame(target) { // otherwise, the target has changed
		l.last = l.last.after(did, target.MaxConcurrent > 0 && open.free == 0, l.poller.Clock.Now())
	}
	l.mu.Unlock()
	l.notify()
}

// notify calls Poller.Changed if the health has changed. An error, its end and the first
// answer are published immediately. The time of the last answer, and whether all slots are
// taken, are published once in a while, because they change with each job. It returns how long
// it is until the next call is due. Zero: nothing is pending.
func (l *loop) notify() (pending time.Duration) {
	now := l.poller.Clock.Now()
	l.mu.Lock()
	changed, pending := l.last.news(l.notified, now.Sub(l.notifiedAt))
	if changed {
		l.notified, l.notifiedAt = l.last, now
	}
	action := l.target.Action
	l.mu.Unlock()
	if changed {
		l.poller.Changed(action)
	}
	return pending
}

// news reports whether the health is to be published now, or returns how long it is until
// then. published is what was published last, and ago is how long ago.
func (h Health) news(published Health, ago time.Duration) (now bool, pending time.Duration) {
	if codepipeline.StableText(h.Err) != codepipeline.StableText(published.Err) || h.LastPoll.IsZero() != published.LastPoll.IsZero() {
		return true, 0
	}
	if h.Full == published.Full && h.LastPoll.Equal(published.LastPoll) {
		return false, 0
	}
	if ago >= notifyEvery {
		return true, 0
	}
	return false, notifyEvery - ago
}

// after returns the health after a turn.
func (h Health) after(did outcome, full bool, now time.Time) Health {
	next := Health{Err: did.err, LastPoll: h.LastPoll}
	if next.Err == nil {
		next.Err = did.cause
	}
	if did.asked > 0 && did.err == nil {
		next.LastPoll = now
	}
	switch {
	case next.Err == nil:
		next.Full = full
	case h.Err != nil:
		next.FailingSince = h.FailingSince
	default:
		next.FailingSince = now
	}
	return next
}
