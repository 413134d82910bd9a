package lanes

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// lane has the calls to one account in one region.
type lane struct {
	lanes *Lanes

	mu sync.Mutex
	// waiting has a line for each operation, of *entry: one that has no token holds up
	// no other.
	waiting  map[string]*list.List
	byID     map[any]*entry // all that wait or run
	inFlight [priorities]int
	paces    map[string]*pace
	timer    clock.Timer // nil: none is set
	used     time.Time
	// silentSince is when a call first had no answer, since the last one that had, and
	// silentUntil when the last one had none; zero: the last one had an answer.
	silentSince, silentUntil time.Time
}

// entry is a call that waits or runs.
type entry struct {
	Call
	priority priority
	arrived  time.Time
	place    *list.Element // nil: it runs
	next     *Call         // of the same ID, submitted while this one runs
}

func newLane(l *Lanes) *lane {
	return &lane{lanes: l, waiting: map[string]*list.List{}, byID: map[any]*entry{}, paces: map[string]*pace{}}
}

// submit has a call wait, or takes it in the place of one that waits under its ID.
func (l *lane) submit(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.lanes.clock.Now()
	l.used = now
	known := l.byID[c.ID]
	switch {
	case known != nil && known.place == nil:
		known.next = &c
		return
	case known != nil && known.Operation == c.Operation:
		known.Call = c
	default:
		l.remove(known)
		l.add(c, now)
	}
	l.dispatch(now)
}

func (l *lane) add(c Call, now time.Time) {
	e := &entry{Call: c, priority: priorityOf(c.Operation), arrived: now}
	line := l.waiting[e.Operation]
	if line == nil {
		line = list.New()
		l.waiting[e.Operation] = line
	}
	e.place = line.PushBack(e)
	l.byID[e.ID] = e
	l.lanes.open.Add(1)
}

// remove takes a call that waits out of its line.
func (l *lane) remove(e *entry) {
	if e == nil {
		return
	}
	l.leave(e)
	delete(l.byID, e.ID)
	l.lanes.open.Done()
}

func (l *lane) leave(e *entry) {
	line := l.waiting[e.Operation]
	line.Remove(e.place)
	e.place = nil
	if line.Len() == 0 {
		delete(l.waiting, e.Operation)
	}
}

// cancel takes back a call that waits. It reports whether there was one.
func (l *lane) cancel(id any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.byID[id]
	switch {
	case known == nil:
		return false
	case known.place == nil:
		waited := known.next != nil
		known.next = nil
		return waited
	}
	l.remove(known)
	return true
}

// dispatch starts all calls that there is room for, and sees to it that the next one
// is started when there is. The caller holds the lock.
func (l *lane) dispatch(now time.Time) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	for {
		next, wait := l.next(now)
		if next == nil {
			if wait > 0 {
				l.timer = l.lanes.clock.AfterFunc(wait, func() { go l.tick() }) // a test clock would hold its lock
			}
			return
		}
		l.start(next)
	}
}

func (l *lane) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatch(l.lanes.clock.Now())
}

// next is the call to start now: the first of the most important line that has room
// and a token. If there is none, it is how long to wait for a token; zero: for none.
func (l *lane) next(now time.Time) (first *entry, wait time.Duration) {
	for operation, line := range l.waiting {
		if !l.hasRoom(priorityOf(operation)) {
			continue // a call that ends makes some
		}
		if left := l.pace(operation, now).wait(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if head := line.Front().Value.(*entry); first == nil || head.before(first) {
			first = head
		}
	}
	return first, wait
}

func (e *entry) before(other *entry) bool {
	if e.priority != other.priority {
		return e.priority < other.priority
	}
	return e.arrived.Before(other.arrived)
}

// hasRoom reports whether one more call of a priority may be in flight. Those that are
// less important leave room for those that are more: all of a priority and below
// together have a share.
func (l *lane) hasRoom(p priority) bool {
	total, below := 0, 0
	for of, running := range l.inFlight {
		total += running
		if priority(of) >= p {
			below += running
		}
	}
	return total < l.lanes.inFlight && below < max(1, int(float64(l.lanes.inFlight)*shares[p]))
}

func (l *lane) start(e *entry) {
	l.leave(e)
	l.inFlight[e.priority]++
	l.paces[e.Operation].take()
	go l.run(e)
}

func (l *lane) run(e *entry) {
	defer l.ended(e)
	ctx, cancel := context.WithTimeout(l.lanes.ctx, Timeout)
	defer cancel()
	defer func() {
		if problem := recover(); problem != nil { // one job must not end the operator for all
			l.lanes.log.Error(fmt.Errorf("panic: %v", problem), "A call to AWS failed", "operation", e.Operation, "stack", string(debug.Stack()))
		}
	}()
	e.Do(ctx)
}

func (l *lane) ended(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.lanes.open.Done()
	now := l.lanes.clock.Now()
	l.used = now
	l.inFlight[e.priority]--
	delete(l.byID, e.ID)
	if e.next != nil {
		l.add(*e.next, now)
	}
	l.dispatch(now)
}

// answered takes note of a call that was made. When it was throttled, less important
// operations make way for it.
func (l *lane) answered(operation string, how Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.lanes.clock.Now()
	l.noteSilence(how, now)
	l.pace(operation, now).answered(how == AnswerThrottled, now)
	if how != AnswerThrottled {
		return
	}
	for other, p := range l.paces {
		if priorityOf(other) > priorityOf(operation) {
			p.slowDown(now)
		}
	}
}

func (l *lane) noteSilence(how Answer, now time.Time) {
	switch {
	case how != AnswerNone:
		l.silentSince, l.silentUntil = time.Time{}, time.Time{}
	case l.silentSince.IsZero():
		l.silentSince, l.silentUntil = now, now
	default:
		l.silentUntil = now
	}
}

func (l *lane) silentFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silentUntil.Sub(l.silentSince)
}

func (l *lane) pace(operation string, now time.Time) *pace {
	if l.paces[operation] == nil {
		l.paces[operation] = newPace(startRate, l.lanes.ceiling, now)
	}
	return l.paces[operation]
}

// drop takes back all calls that wait.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range maps.Clone(l.byID) {
		known.next = nil
		if known.place != nil {
			l.remove(known)
		}
	}
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *lane) load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := Load{Rates: map[string]float64{}}
	for _, running := range l.inFlight {
		of.InFlight += running
	}
	of.Waiting = len(l.byID) - of.InFlight
	for operation, p := range l.paces {
		of.Rates[operation] = p.rate
	}
	return of
}

// throttledAt is when a call was last throttled.
func (l *lane) throttledAt() (last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.paces {
		if p.throttledAt.After(last) {
			last = p.throttledAt
		}
	}
	return last
}

// idleSince reports whether nothing has been asked of the lane since t.
func (l *lane) idleSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byID) == 0 && l.used.Before(t)
}
