package lanes

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// lane has the calls to one account in one region.
type lane struct {
	lanes *Lanes

	mu       sync.Mutex
	waiting  [priorities]*turns
	byID     map[any]*entry // waiting and running calls
	inFlight running
	// namespaces counts the calls in flight of each namespace.
	namespaces map[string]*running
	paces      map[string]*pace
	timer      clock.Timer // nil if not set
	used       time.Time
	// silentSince is when the first call after the last response had no response, and
	// silentUntil when the last one had none. Zero if the last call had a response.
	silentSince, silentUntil time.Time
}

// running counts the calls in flight of each priority.
type running [priorities]int

// from counts the calls of a priority and below.
func (r *running) from(p priority) (count int) {
	for _, of := range r[p:] {
		count += of
	}
	return count
}

// entry is a call that waits or runs.
type entry struct {
	Call
	priority priority
	arrived  time.Time
	place    *list.Element // nil while the call runs
	next     *Call         // with the same ID, submitted while this one runs
}

func newLane(l *Lanes) *lane {
	made := &lane{lanes: l, byID: map[any]*entry{}, namespaces: map[string]*running{}, paces: map[string]*pace{}}
	for p := range made.waiting {
		made.waiting[p] = newTurns()
	}
	return made
}

// submit queues a call, or replaces the waiting call with its ID.
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
	case known != nil && known.Operation == c.Operation && known.Namespace == c.Namespace:
		known.Call = c
	default:
		l.remove(known)
		l.add(c, now)
	}
	l.dispatch(now)
}

func (l *lane) add(c Call, now time.Time) {
	e := &entry{Call: c, priority: priorityOf(c.Operation), arrived: now}
	l.waiting[e.priority].add(e)
	l.byID[e.ID] = e
	l.lanes.open.Add(1)
}

// remove removes a waiting call from its queue.
func (l *lane) remove(e *entry) {
	if e == nil {
		return
	}
	l.waiting[e.priority].remove(e)
	delete(l.byID, e.ID)
	l.lanes.open.Done()
}

// cancel removes a waiting call, and reports whether there was one.
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

// dispatch starts all calls for which there is room, and sets the timer for the next
// one. The caller holds the lock.
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

// next returns the call to start now: of the most important calls with room and a token,
// that of the namespace whose turn it is. If there is none, it returns how long to wait for
// a token; zero if no call waits for one.
func (l *lane) next(now time.Time) (first *entry, wait time.Duration) {
	tokenIn := func(operation string) time.Duration { return l.pace(operation, now).wait(now) }
	for at, waiting := range l.waiting {
		p := priority(at)
		if !l.hasRoom(p) {
			continue // the end of a call makes room
		}
		first, left := waiting.next(tokenIn, func(namespace string) bool { return l.hasRoomFor(namespace, p) })
		if first != nil {
			return first, 0
		}
		if left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return nil, wait
}

// hasRoom reports whether one more call of a priority may be in flight.
func (l *lane) hasRoom(p priority) bool {
	return l.inFlight.from(0) < l.lanes.inFlight && l.inFlight.from(p) < l.bound(p)
}

// bound is the maximum number of calls of a priority and below in flight: less important
// calls leave room for more important ones.
func (l *lane) bound(p priority) int {
	return max(1, int(float64(l.lanes.inFlight)*shares[p]))
}

// namespaceShare is the maximum part of each bound for the calls of one namespace: if they
// hang, there is room for those of other namespaces.
const namespaceShare = 0.75

// hasRoomFor reports whether one more call of a priority and a namespace may be in
// flight. The operator's own calls have no such limit.
func (l *lane) hasRoomFor(namespace string, p priority) bool {
	of := l.namespaces[namespace]
	return namespace == "" || of == nil || of.from(p) < int(math.Ceil(float64(l.bound(p))*namespaceShare))
}

func (l *lane) start(e *entry) {
	l.waiting[e.priority].start(e)
	l.inFlight[e.priority]++
	if l.namespaces[e.Namespace] == nil {
		l.namespaces[e.Namespace] = &running{}
	}
	l.namespaces[e.Namespace][e.priority]++
	l.paces[e.Operation].take()
	go l.run(e)
}

func (l *lane) run(e *entry) {
	defer l.ended(e)
	ctx, cancel := context.WithTimeout(l.lanes.ctx, Timeout)
	defer cancel()
	defer func() {
		if problem := recover(); problem != nil { // a single job must not end the operator
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
	of := l.namespaces[e.Namespace]
	if of[e.priority]--; *of == (running{}) {
		delete(l.namespaces, e.Namespace)
	}
	delete(l.byID, e.ID)
	if e.next != nil {
		l.add(*e.next, now)
	}
	l.dispatch(now)
}

// answered records a call that was made. If it was throttled, it also lowers the rates of less
// important operations.
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

// drop removes all waiting calls.
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
	of.InFlight = l.inFlight.from(0)
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

// idleSince reports whether the lane was not used since t.
func (l *lane) idleSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byID) == 0 && l.used.Before(t)
}
