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
	// pollTimeout bounds one call of it.
	pollTimeout = 15 * time.Second
	// startEvery spreads the first polls of many actions, and startWithin bounds
	// how long the last of them waits.
	startEvery  = 100 * time.Millisecond
	startWithin = 30 * time.Second
	// tellEvery is how often a loop tells that it was answered, if nothing else
	// changes.
	tellEvery = time.Minute
)

// loop polls for one action, as its target says at each turn.
type loop struct {
	poller *Poller
	// elsewhere: it only polls for awaited jobs, where the action takes no new ones.
	elsewhere bool
	// forgotten: its action is gone. The poller's lock is for it.
	forgotten bool
	others    int                // how many loops there were before it
	before    *loop              // an earlier loop of the action that may not have ended, or nil
	cancel    context.CancelFunc // set when launched
	done      chan struct{}      // closed when run has returned
	wake      chan struct{}
	freed     chan struct{}
	changed   chan struct{}

	mu         sync.Mutex
	target     Target
	last, told Health    // told: that which Poller.Changed was last called for
	toldAt     time.Time // when it was
	// accepted are jobs that a loop elsewhere was handed and that are this loop's.
	accepted []*v1alpha1.PipelineJob

	// The rest is the loop's own.

	backoff backoff
	// speed is how fast jobs were recorded last.
	speed speed
	// kept are jobs that were handed out and are not recorded yet: there was no slot,
	// a claim was under way, or recording failed. CodePipeline may never hand them out
	// again.
	kept []*v1alpha1.PipelineJob
	// failures are of those that could not be recorded, by the names of the PipelineJobs.
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
		backoff: backoff{idle: target.Interval}, // nothing says that jobs are about to come
	}
}

// aim sets another target, which ends the current wait.
func (l *loop) aim(target Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target == target {
		return
	}
	if !l.target.asksTheSame(target) {
		l.last, l.told, l.toldAt = Health{}, Health{}, time.Time{}
	}
	l.target = target
	signal(l.changed)
}

func (l *loop) aimed() Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target
}

// awaken ends the current wait: a job is soon to come, so look often.
func (l *loop) awaken() { signal(l.wake) }

// slotFreed ends the current wait: there is a slot that was not there before.
func (l *loop) slotFreed() { signal(l.freed) }

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // there is a signal already
	}
}

func (l *loop) health() Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// run polls until ctx ends. The first poll comes after a random wait that grows
// with the number of loops, so that a restart does not poll for everything at once.
func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	if l.before != nil {
		<-l.before.done // two loops of one action would each fill the free slots
		l.before = nil
	}
	next := pause{wait: rand.N(min(time.Duration(l.others)*startEvery, startWithin, l.aimed().Interval) + 1)}
	for l.rest(ctx, next) {
		next = l.turn(ctx)
	}
}

// rest waits for the next turn. It reports whether there is to be one.
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
		expired, stop := l.timer(soonest(p.wait-gone, p.floor-gone, p.slotFloor-gone, l.tell()))
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

// soonest returns the shortest of the waits that are positive; zero if none is.
func soonest(waits ...time.Duration) (first time.Duration) {
	for _, wait := range waits {
		if wait > 0 && (first == 0 || wait < first) {
			first = wait
		}
	}
	return first
}

// timer returns a channel that receives after a wait; none if it is zero.
func (l *loop) timer(wait time.Duration) (<-chan time.Time, func() bool) {
	if wait == 0 {
		return nil, func() bool { return false }
	}
	timer := l.poller.Clock.NewTimer(wait)
	return timer.C(), timer.Stop
}

// turn fills the free slots, and returns the pause after that. What it has begun it
// ends, also when ctx ends: a job that was polled and not recorded is lost until
// CodePipeline hands it out again.
func (l *loop) turn(ctx context.Context) pause {
	target := l.aimed()
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

// work records what was kept, and then polls for as much as there is room for. It
// leaves in open what the room was.
func (l *loop) work(ctx context.Context, target Target, open *room) (did outcome) {
	lasting := context.WithoutCancel(ctx)
	var action v1alpha1.CustomAction
	if err := l.poller.Client.Get(lasting, target.Action, &action); err != nil {
		return outcome{err: fmt.Errorf("read the CustomAction: %w", err)}
	}
	if len(l.kept) > 0 {
		*open = l.take(target)
		did.tally = l.recordKept(lasting, target, &action)
		did.failed = 0 // each has a time of its own, and says nothing of new ones
		if did.renewed > 0 {
			return did // a poll may make the nonces useless that were just recorded
		}
	}
	if !l.elsewhere {
		l.poller.capacity.enterLane(target.Action)
	}
	var jobs []codepipeline.Job
	var polledAt time.Time // before the answer: whoever was frozen since then knows nothing newer
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

// poll asks for as much as there is room for now.
func (l *loop) poll(ctx context.Context, target Target, open *room, did *outcome) []codepipeline.Job {
	l.seen()
	awaited := open.awaited - did.continued
	*open = l.take(target)
	if did.continued > 0 { // the informer may not have shown what was kept until now
		open.awaited = min(open.awaited, awaited) + did.continued
	}
	probes := l.backoff.failing > 0
	if probes { // like the last one it may not be answered: it holds no slots
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

// seen takes back what would wake the loop up: it shows in the room that is taken after it. Jobs
// that were accepted since the turn began don't.
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

// report keeps the health of the target after a turn, and tells it if it is time.
func (l *loop) report(target Target, open room, did outcome) {
	l.mu.Lock()
	if l.target.asksTheSame(target) { // else it is about something else by now
		l.last = l.last.after(did, target.MaxConcurrent > 0 && open.free == 0, l.poller.Clock.Now())
	}
	l.mu.Unlock()
	l.tell()
}

// tell tells a health that has changed for a reader. An error, its end and the first
// answer are told at once; the time of the last answer, and whether all slots are
// taken, once in a while: they change with each job. It returns how long it is until
// there is something to tell, zero if there is nothing.
func (l *loop) tell() (untold time.Duration) {
	now := l.poller.Clock.Now()
	l.mu.Lock()
	tell, untold := l.last.news(l.told, now.Sub(l.toldAt))
	if tell {
		l.told, l.toldAt = l.last, now
	}
	action := l.target.Action
	l.mu.Unlock()
	if tell {
		l.poller.Changed(action)
	}
	return untold
}

// news reports whether the health is to be told now, or how long it is until then.
// told is what was told last, and ago when.
func (h Health) news(told Health, ago time.Duration) (now bool, untold time.Duration) {
	if codepipeline.StableText(h.Err) != codepipeline.StableText(told.Err) || h.LastPoll.IsZero() != told.LastPoll.IsZero() {
		return true, 0
	}
	if h.Full == told.Full && h.LastPoll.Equal(told.LastPoll) {
		return false, 0
	}
	if ago >= tellEvery {
		return true, 0
	}
	return false, tellEvery - ago
}

// after is the health after a turn.
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
