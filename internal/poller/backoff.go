package poller

import (
	"math/rand/v2"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

const (
	// firstWait is the wait after the first poll without news; it doubles up to the
	// target's interval.
	firstWait = time.Second
	// maxErrorWait bounds the wait after errors.
	maxErrorWait = time.Minute
	// gatherFor is the shortest time between a poll and the next one that a wake-up
	// brings: slots that come free together are filled by one poll.
	gatherFor = 100 * time.Millisecond
	// gatherSpareFor is the same for slots that come free beside free ones: no other
	// jobs were queued, but the end of one may bring the next action of its pipeline.
	gatherSpareFor = 500 * time.Millisecond
	// heldWait bounds the wait while a new nonce is held back for the end of a claim.
	heldWait = 5 * time.Second
	// awaitedWait bounds the wait while a job is awaited, however long the interval
	// is. After awaitedPart times as long, a part of the time for which it has been
	// awaited does, up to maxAwaitedWait.
	awaitedWait    = 5 * time.Second
	awaitedPart    = 4
	maxAwaitedWait = time.Minute
)

// pause is the time until the next turn of a loop.
type pause struct {
	// wait ends the pause; negative: only a wake-up does.
	wait time.Duration
	// floor is how long not even a wake-up ends it.
	floor time.Duration
	// slotFloor is how long not even a slot that comes free ends it.
	slotFloor time.Duration
}

// outcome is what one turn of a loop did.
type outcome struct {
	tally
	// asked is the batch that CodePipeline was polled for; zero: it was not.
	asked int32
	// handed is how many jobs it handed out.
	handed int
	// err is why the poll failed.
	err error
	// retry is how long it is until a job that could not be recorded is tried again; zero
	// if there is none.
	retry time.Duration
}

// tally counts what became of jobs that were handed out.
type tally struct {
	created   int32 // have an object of their own
	continued int32 // moved on an object that awaited them
	renewed   int   // brought a new nonce for a job that is known
	held      int   // brought one while a claim with the last is under way
	failed    int32 // could not be recorded
	// cause is why the first of those that failed did.
	cause error
}

// full reports whether there may be more jobs than were handed out.
func (o *outcome) full() bool { return o.asked > 0 && o.handed >= int(o.asked) }

// leftSlots reports whether there were fewer jobs than slots. A job that is left for
// want of a slot was handed out, too.
func (o *outcome) leftSlots(opened room) bool {
	return o.asked > 0 && o.err == nil && !o.full() && opened.free > o.created+o.failed
}

func (t *tally) add(more tally) {
	t.created += more.created
	t.continued += more.continued
	t.renewed += more.renewed
	t.held += more.held
	t.failed += more.failed
	if t.cause == nil {
		t.cause = more.cause
	}
}

// news reports whether there may be more to come. A known job that is handed out
// again is no news: with a short time to the next hand-out, polls would follow each
// other without a pause, and each would make the nonce useless that is being claimed.
func (t *tally) news() bool { return t.created+t.continued > 0 }

// backoff decides when a loop polls and for how many jobs. It is what the loop
// remembers of its last turns.
type backoff struct {
	idle, failing time.Duration // the last wait of each kind
	// batch is that of the last poll if it was full although an awaited job was
	// missing; otherwise zero.
	batch int32
	// again is how many known, unclaimed jobs the last poll handed out.
	again int32
}

// ask returns the batch of the next poll; zero: there is nothing to ask for. An
// awaited job can be behind any number of new ones that there is no slot for: the
// batch doubles until it is found. Known jobs that are handed out again take room in
// the batch, too.
func (b *backoff) ask(free, awaited int32) int32 {
	if awaited == 0 {
		b.batch = 0
	}
	wanted := free + awaited
	if wanted == 0 {
		return 0
	}
	return min(max(wanted+b.again, 2*b.batch), limits.PollBatch)
}

// after returns the pause after a turn. opened is the room before it.
func (b *backoff) after(did outcome, opened room, interval time.Duration, now time.Time) pause {
	next := b.afterPoll(did, opened, interval, now)
	if did.retry > 0 && (next.wait < 0 || did.retry < next.wait) {
		next.wait = max(did.retry, next.floor)
	}
	next.slotFloor = next.floor
	if did.leftSlots(opened) {
		next.slotFloor = max(next.floor, gatherSpareFor)
	}
	return next
}

func (b *backoff) afterPoll(did outcome, opened room, interval time.Duration, now time.Time) pause {
	missing := opened.awaited - did.continued
	before := *b
	if did.asked > 0 {
		b.batch, b.again = 0, int32(did.renewed+did.held)
		if missing > 0 && did.full() {
			b.batch = did.asked
		}
	}
	longest := b.longest(did, opened, missing, interval, now)
	if did.err != nil || did.failed > 0 && !did.news() {
		// What failed would fail again: a wake-up does not help.
		b.failing = grow(b.failing, maxErrorWait)
		return pause{wait: b.failing, floor: b.failing}
	}
	b.failing = 0
	if did.news() {
		b.idle = 0
	}
	switch {
	case did.renewed+did.held > 0:
		// A poll now may make the nonces useless that are about to be claimed. A larger
		// one may find new jobs behind these.
		if did.full() && b.again > before.again {
			b.idle = 0
		}
		b.idle = grow(b.idle, longest)
		return pause{wait: b.idle, floor: min(b.idle, firstWait)}
	case did.news(), b.batch > before.batch && b.batch < limits.PollBatch:
		return pause{wait: 0, floor: gatherFor}
	case did.asked == 0:
		return pause{wait: asleep(opened), floor: gatherFor}
	}
	b.idle = grow(b.idle, longest)
	return pause{wait: b.idle, floor: gatherFor}
}

// asleep is the wait of a loop that has nothing to ask for: until it is woken, or
// until a slot is free because the PipelineJob that it was reserved for never came.
func asleep(opened room) time.Duration {
	if opened.recheck > 0 {
		return opened.recheck
	}
	return -1
}

// longest is the longest wait between two polls.
func (*backoff) longest(did outcome, opened room, missing int32, interval time.Duration, now time.Time) time.Duration {
	if did.held > 0 {
		interval = min(interval, heldWait)
	}
	if missing > 0 {
		part := now.Sub(opened.since) / awaitedPart
		interval = min(interval, max(awaitedWait, min(part, maxAwaitedWait)))
	}
	return interval
}

// grow doubles a wait, with up to a quarter of jitter, from firstWait to limit.
func grow(wait, limit time.Duration) time.Duration {
	next := max(firstWait, wait*2)
	next += rand.N(next/4 + 1)
	return min(next, limit)
}
