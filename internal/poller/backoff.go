package poller

import (
	"math/rand/v2"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

const (
	// firstWait is the wait after the first poll that brought nothing new. It doubles up to the
	// target's interval.
	firstWait = time.Second
	// maxErrorWait bounds the wait after errors.
	maxErrorWait = time.Minute
	// gatherFor is the shortest time between a poll and the next one after a wake-up, so that one
	// poll fills slots that are freed together.
	gatherFor = 100 * time.Millisecond
	// gatherSpareFor is the same if slots were already free. No other jobs were queued, but the
	// end of a job may bring the next action of its pipeline.
	gatherSpareFor = 500 * time.Millisecond
	// heldWait bounds the wait while a new nonce is held back until a claim ends.
	heldWait = 5 * time.Second
	// awaitedWait bounds the wait while a job is awaited, however long the interval is. Once the
	// job has been awaited for awaitedPart times as long, the bound is that fraction of the time,
	// up to maxAwaitedWait.
	awaitedWait    = 5 * time.Second
	awaitedPart    = 4
	maxAwaitedWait = time.Minute
)

// pause is the time until the next turn of a loop.
type pause struct {
	// wait is when the pause ends. Negative: only a wake-up ends it.
	wait time.Duration
	// floor is how long wake-ups do not end the pause.
	floor time.Duration
	// slotFloor is how long freed slots do not end the pause.
	slotFloor time.Duration
}

// outcome is the result of one turn of a loop.
type outcome struct {
	tally
	// asked is the batch size of the poll. Zero: there was no poll.
	asked int32
	// handed is how many jobs CodePipeline handed out.
	handed int
	// err is why the poll failed.
	err error
	// retry is how long it is until a job that could not be recorded is tried again. Zero: there
	// is none.
	retry time.Duration
}

// tally counts jobs that were handed out by what was done with them.
type tally struct {
	created   int32 // got a new object
	continued int32 // updated an object that awaited them
	renewed   int   // brought a new nonce for a known job
	held      int   // brought one while a claim with the last one is in progress
	failed    int32 // could not be recorded
	// cause is the error of the first job that could not be recorded.
	cause error
}

// full reports whether there may be more jobs than were handed out.
func (o *outcome) full() bool { return o.asked > 0 && o.handed >= int(o.asked) }

// leftSlots reports whether there were fewer jobs than slots. Jobs without a slot count: they
// were handed out too.
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

// news reports whether more jobs may come soon. A known job that is handed out again does not
// count: with a short time between hand-outs, polls would follow each other without a pause,
// and each would invalidate the nonce that is being claimed.
func (t *tally) news() bool { return t.created+t.continued > 0 }

// backoff decides when a loop polls, and for how many jobs, from the results of its last
// turns.
type backoff struct {
	idle, failing time.Duration // the last wait of each kind
	// batch is the batch size of the last poll if it was full but an awaited job was missing.
	// Otherwise, it is zero.
	batch int32
	// again is how many known, unclaimed jobs the last poll handed out.
	again int32
}

// ask returns the batch size of the next poll. Zero: there is nothing to ask for. Any number
// of new jobs without a slot may be queued before an awaited job, so the batch doubles until
// the job is found. Known jobs that are handed out again also take room in the batch.
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
		// The same would fail again: a wake-up does not help.
		b.failing = grow(b.failing, maxErrorWait)
		return pause{wait: b.failing, floor: b.failing}
	}
	b.failing = 0
	if did.news() {
		b.idle = 0
	}
	switch {
	case did.renewed+did.held > 0:
		// Polling now may invalidate the nonces that are about to be claimed. But a larger poll
		// may find new jobs queued after these.
		if did.full() && b.again > before.again {
			b.idle = 0
		}
		b.idle = grow(b.idle, longest)
		return pause{wait: b.idle, floor: min(b.idle, firstWait)}
	case did.news(), b.batch > before.batch && b.batch < limits.PollBatch:
		return pause{wait: 0, floor: gatherFor}
	case did.asked == 0:
		return pause{wait: idleWait(opened), floor: gatherFor}
	}
	b.idle = grow(b.idle, longest)
	return pause{wait: b.idle, floor: gatherFor}
}

// idleWait returns the wait of a loop that has nothing to ask for: until it is woken, or until
// the slot of a PipelineJob that never appeared is free again.
func idleWait(opened room) time.Duration {
	if opened.recheck > 0 {
		return opened.recheck
	}
	return -1
}

// longest returns the longest wait between two polls.
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
