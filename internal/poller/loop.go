package poller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

const (
	// firstWait is the wait after the first empty poll; it doubles up to the
	// target's interval.
	firstWait = time.Second
	// maxErrorWait bounds the wait after errors.
	maxErrorWait = time.Minute
	// pollTimeout bounds one poll and the recording of its jobs.
	pollTimeout = 25 * time.Second
	// startEvery spreads the first polls of many actions, and startWithin bounds
	// how long the last of them waits.
	startEvery  = 100 * time.Millisecond
	startWithin = 30 * time.Second
)

// loop polls for one target.
type loop struct {
	poller *Poller
	target Target
	before *loop              // the loop that this one replaces, or nil
	others int                // how many loops there were before it
	cancel context.CancelFunc // set when launched
	done   chan struct{}      // closed when run has returned
	wake   chan struct{}

	mu   sync.Mutex
	last Health

	idle, failing time.Duration // the last wait of each kind
}

func newLoop(p *Poller, target Target, before *loop) *loop {
	return &loop{
		poller: p,
		target: target,
		before: before,
		done:   make(chan struct{}),
		wake:   make(chan struct{}, 1),
		others: len(p.loops),
		idle:   target.Interval, // nothing says that jobs are about to come
	}
}

func (l *loop) stop() {
	if l.cancel != nil {
		l.cancel()
	}
}

// takeOver waits for the loop before this one to end: two loops of one action
// would each fill the free slots.
func (l *loop) takeOver() {
	if l.before != nil && l.before.cancel != nil {
		<-l.before.done
	}
	l.before = nil
}

func (l *loop) awaken() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake already
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
	l.takeOver()
	wait := rand.N(min(time.Duration(l.others)*startEvery, startWithin, l.target.Interval) + 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			l.idle = 0 // a job is soon to come: look often again
		case <-l.poller.Clock.After(wait):
		}
		wait = l.poll(ctx)
	}
}

// poll asks once and returns how long to wait before the next time. What it
// has begun it ends, also when ctx ends: a job that was polled and not recorded
// is lost until CodePipeline hands it out again.
func (l *loop) poll(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
	defer cancel()
	open, err := l.slots(ctx)
	if err != nil {
		return l.failed(err)
	}
	defer l.poller.gaveBack(l.target.Action)
	if open.free+open.awaited == 0 {
		l.report(Health{LastPoll: l.health().LastPoll, Full: true})
		return l.target.Interval // awakened when a slot comes free
	}
	jobs, err := l.ask(ctx, open.free+open.awaited)
	if err != nil {
		return l.failed(err)
	}
	taken, err := l.take(ctx, jobs, open.free)
	if err != nil {
		return l.failed(err)
	}
	l.report(Health{LastPoll: l.poller.Clock.Now()})
	l.failing = 0
	if taken > 0 {
		l.idle = 0
		return 0
	}
	l.idle = grow(l.idle, l.target.Interval)
	return l.idle
}

// take records polled jobs, new ones for as many as there are free slots, and
// says how many there were of use.
func (l *loop) take(ctx context.Context, jobs []codepipeline.Job, free int32) (int, error) {
	taken := 0
	for _, job := range jobs {
		became, err := l.intake(ctx, job, free > 0)
		if err != nil {
			return taken, fmt.Errorf("record job %s: %w", job.ID, err)
		}
		if became == intakeCreated {
			free--
		}
		if became != intakeLeft {
			taken++
		}
	}
	return taken, nil
}

func (l *loop) ask(ctx context.Context, batch int32) ([]codepipeline.Job, error) {
	api, err := l.poller.AWS.For(ctx, l.target.Identity)
	if err != nil {
		return nil, err
	}
	var query map[string]string
	if l.target.QueryKey != "" {
		query = map[string]string{l.target.QueryKey: l.target.QueryValue}
	}
	jobs, err := api.PollForJobs(ctx, l.target.Type, query, batch)
	l.poller.Polled(l.target.Action, len(jobs), err)
	return jobs, err
}

// slots are what a poll may ask for.
type slots struct {
	// free is how many more jobs may be taken on.
	free int32
	// awaited is how many jobs are to be handed out again. They are asked for
	// though no slot is free: those that work on have theirs already.
	awaited int32
}

// slots counts them.
func (l *loop) slots(ctx context.Context) (slots, error) {
	var jobs v1alpha1.PipelineJobList
	options := []client.ListOption{client.UnsafeDisableDeepCopy}
	if l.poller.MaxConcurrent > 0 {
		options = append(options, client.MatchingFields{IndexInFlight: OfAnyAction})
	} else {
		options = append(options, client.InNamespace(l.target.Action.Namespace), client.MatchingFields{IndexInFlight: l.target.Action.Name})
	}
	if err := l.poller.Client.List(ctx, &jobs, options...); err != nil {
		return slots{}, fmt.Errorf("count jobs in flight: %w", err)
	}
	awaited := int32(0)
	for i := range jobs.Items {
		job := &jobs.Items[i]
		if job.AwaitsContinuation() && job.Namespace == l.target.Action.Namespace && job.Spec.ActionRef.Name == l.target.Action.Name {
			awaited++
		}
	}
	return slots{free: l.poller.capacity.take(l.target.Action, l.target.MaxConcurrent, jobs.Items), awaited: awaited}, nil
}

// failed notes an error and returns the wait after it.
func (l *loop) failed(err error) time.Duration {
	l.poller.Log.Error(err, "Poll failed", "action", l.target.Action)
	now := Health{Err: err, LastPoll: l.health().LastPoll, FailingSince: l.health().FailingSince}
	if now.FailingSince.IsZero() {
		now.FailingSince = l.poller.Clock.Now()
	}
	l.report(now)
	l.failing = grow(l.failing, maxErrorWait)
	return l.failing
}

// report keeps the health and tells when it has changed for a reader: the
// error is another one, the first poll was answered, or the slots are all taken.
func (l *loop) report(now Health) {
	l.mu.Lock()
	before := l.last
	changed := errorText(before.Err) != errorText(now.Err) || before.LastPoll.IsZero() != now.LastPoll.IsZero() || before.Full != now.Full
	l.last = now
	l.mu.Unlock()
	if changed {
		l.poller.Changed(l.target.Action)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// grow doubles a wait, with up to a quarter of jitter, from firstWait to limit.
func grow(wait, limit time.Duration) time.Duration {
	next := max(firstWait, wait*2)
	next += rand.N(next/4 + 1)
	return min(next, limit)
}
