package poller

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// reservationLife is how long a slot is reserved for a PipelineJob that the informer never
// shows: it was deleted immediately, or its creation failed.
const reservationLife = time.Minute

// pollLife is how long a poll holds slots while it waits for its lane or for its answer.
// CodePipeline answers within a second, and a region that hangs must not keep slots from
// others. Jobs of a late answer are kept until there are slots.
const pollLife = 2 * time.Second

// askAgain is how often an action that waits for a slot checks for one, even if nothing wakes
// it.
const askAgain = pollLife

// capacity keeps the jobs in flight within the limits of each action and of all actions
// together, and shares free slots among the actions that ask. The informer of PipelineJobs
// keeps it current: see observe.
type capacity struct {
	// limit is the limit of all actions together. Zero: there is none.
	limit int32
	// keepFor is how long CodePipeline may wait for a job.
	keepFor time.Duration
	clock   clock.PassiveClock

	mu      sync.Mutex
	actions map[types.NamespacedName]*usage
	// waiting has the actions that found all slots taken, in the order in which they asked.
	// inTurn decides which of them gets the next slot.
	waiting []types.NamespacedName
}

// usage is what the jobs of one action use.
type usage struct {
	// limit is the maximum number of jobs in flight. Zero: no new job may be taken.
	limit int32
	// slots are the names of the PipelineJobs that take a slot.
	slots map[string]struct{}
	// awaited are the names of the PipelineJobs that CodePipeline will hand out again, or may
	// because it did not confirm their claim.
	awaited map[string]awaiting
	// here is where the action takes jobs. Nil: anywhere.
	here *Place
	// reserved are the names of PipelineJobs that were created, or are about to be, and that the
	// informer has not shown yet.
	reserved map[string]reservation
	// polled is how many slots the current poll may still fill, and polledAt is since when it
	// holds them.
	polled   int32
	polledAt time.Time
	// recording: the poll was answered in time, and its jobs are being recorded.
	recording bool
	// inLane: the action waits for room in its lane, and can't use a slot in the meantime.
	inLane bool
}

// reservation is where a job was handed out, and since when a slot is reserved for it.
type reservation struct {
	in Place
	at time.Time
}

// awaiting is where a job is awaited, since when, and until when. A zero until means that
// there is no time limit.
type awaiting struct {
	in           Place
	since, until time.Time
}

func newCapacity(limit int32, keepFor time.Duration, clock clock.PassiveClock) *capacity {
	return &capacity{limit: limit, keepFor: keepFor, clock: clock, actions: map[types.NamespacedName]*usage{}}
}

// change is what an event about a PipelineJob changes for the loops.
type change struct {
	// freed: a slot was freed.
	freed bool
	// awaited: CodePipeline will hand the job out again.
	awaited bool
}

// observe updates the usage from a PipelineJob that the informer shows. The first event
// replaces the reservation under that name. A job that settled before it was counted takes no
// slot.
func (c *capacity) observe(job *v1alpha1.PipelineJob) change {
	c.mu.Lock()
	defer c.mu.Unlock()
	action := naming.ActionOf(job)
	of := c.of(action)
	defer c.drop(action)

	_, held := of.slots[job.Name]
	_, reserved := of.reserved[job.Name]
	delete(of.reserved, job.Name)
	takes := TakesSlot(job)
	if takes {
		of.slots[job.Name] = struct{}{}
	} else {
		delete(of.slots, job.Name)
	}

	is, awaited := c.awaits(job)
	if !awaited {
		delete(of.awaited, job.Name)
	}
	return change{freed: (held || reserved) && !takes, awaited: awaited && of.await(job.Name, is, c.clock.Now())}
}

// awaits reports whether a job is awaited, and since and until when, as far as its status
// shows.
//
// A settled job is also awaited if CodePipeline confirmed neither its claim nor a report: if
// it is handed out again, it is claimed, and the recorded result is reported. Without polls
// for it, even while its action takes no new jobs, the action might stay in progress forever.
func (c *capacity) awaits(job *v1alpha1.PipelineJob) (is awaiting, awaited bool) {
	status := &job.Status
	is.in = PlaceOf(job)
	if job.Settled() {
		is.since, is.until = status.ReportedAt.Time, status.ReportedAt.Add(c.keepFor)
		return is, job.MayBeHandedOutAt(c.clock.Now(), c.keepFor)
	}
	if status.Protocol.ContinuedAt != nil {
		is.since = status.Protocol.ContinuedAt.Time
	}
	return is, job.AwaitsContinuation() || status.Protocol.ClaimUnconfirmed
}

// await records that a job is awaited, and reports whether that is new. The informer may have
// skipped a version in which the job had been handed out.
func (u *usage) await(name string, is awaiting, now time.Time) (news bool) {
	before, known := u.awaited[name]
	switch {
	case known && !is.since.After(before.since):
		is.since = before.since
	case is.since.IsZero():
		is.since = now
	}
	u.awaited[name] = is
	return !known || is.since.After(before.since)
}

// gone updates the usage after a PipelineJob was deleted. It keeps a reservation under that
// name, which is for the next object.
func (c *capacity) gone(job *v1alpha1.PipelineJob) change {
	c.mu.Lock()
	defer c.mu.Unlock()
	action := naming.ActionOf(job)
	of := c.of(action)
	defer c.drop(action)
	_, held := of.slots[job.Name]
	delete(of.slots, job.Name)
	delete(of.awaited, job.Name)
	return change{freed: held}
}

// limitTo sets how many jobs of an action may be in flight. Zero: it may take no new ones.
func (c *capacity) limitTo(action types.NamespacedName, limit int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(action).limit = limit
	c.drop(action)
}

// room is what a poll of an action may ask for.
type room struct {
	// free is how many new jobs may be taken.
	free int32
	// awaited is how many jobs may be handed out again. They are asked for even if no slot is
	// free: those whose run continues already have one.
	awaited int32
	// since is when the newest of the awaited jobs began to be awaited.
	since time.Time
	// recheck is how long it is until a reservation expires. Zero: there is none.
	recheck time.Duration
}

// take gives an action the slots that are free within its own limit and the limit of all, and
// those that it already holds. It holds them until give, or for pollLife.
func (c *capacity) take(action types.NamespacedName) room {
	c.mu.Lock()
	defer c.mu.Unlock()
	recheck := c.expire()
	of := c.of(action)
	defer c.drop(action)
	held := c.held(of)
	of.polled, of.recording, of.inLane = 0, false, false
	of.polled, of.polledAt = c.share(action, of, held), c.clock.Now()
	if slices.Contains(c.waiting, action) {
		recheck = soonest(recheck, askAgain)
	}
	open := room{free: of.polled, recheck: recheck}
	open.awaited, open.since = of.awaitedIn(of.here, c.clock.Now())
	return open
}

// held returns how many slots an action holds for its poll.
func (c *capacity) held(of *usage) int32 {
	if !of.recording && c.clock.Since(of.polledAt) >= pollLife {
		return 0
	}
	return of.polled
}

// share returns how many of the free slots an action gets: those that it holds, and more if
// one remains for each action whose turn comes first and that can use it.
func (c *capacity) share(action types.NamespacedName, of *usage, held int32) int32 {
	want := of.free()
	if c.limit == 0 || want == 0 {
		c.leave(action)
		return want
	}
	left := c.limit - c.used()
	for _, other := range c.inTurn(action) {
		if other == action {
			break
		}
		if c.canUse(other) {
			left--
		}
	}
	if granted := min(want, max(left, held)); granted > 0 {
		c.leave(action)
		return granted
	}
	if !slices.Contains(c.waiting, action) {
		c.waiting = append(c.waiting, action)
	}
	return 0
}

// free returns how many more jobs the action's own limit allows.
func (u *usage) free() int32 { return max(0, u.limit-size(u.slots)-size(u.reserved)) }

// used counts the slots of all actions, including those that polls may still fill.
func (c *capacity) used() (used int32) {
	for _, of := range c.actions {
		used += size(of.slots) + size(of.reserved) + c.held(of)
	}
	return used
}

// canUse reports whether an action could fill a slot. One that is suspended, or at its own
// limit, must not keep slots from others.
func (c *capacity) canUse(action types.NamespacedName) bool {
	of, ok := c.actions[action]
	return ok && !of.inLane && of.free() > 0
}

// expire drops reservations that have expired, and the usage of actions that had nothing else. It
// returns how long it is until the next reservation, or the hold of a poll, expires.
func (c *capacity) expire() (next time.Duration) {
	for action, of := range c.actions {
		if of.polled > 0 && !of.recording {
			next = soonest(next, pollLife-c.clock.Since(of.polledAt))
		}
		for name, is := range of.reserved {
			left := reservationLife - c.clock.Since(is.at)
			if left <= 0 {
				delete(of.reserved, name)
			}
			next = soonest(next, left)
		}
		c.drop(action)
	}
	return next
}

// answered keeps as many slots as jobs were handed out until the jobs are recorded, unless the
// answer came too late.
func (c *capacity) answered(action types.NamespacedName, jobs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	of.polled = min(of.polled, int32(min(jobs, math.MaxInt32))) //nolint:gosec // it is bounded
	of.recording = c.held(of) > 0
}

// enterLane marks an action without slots as waiting for its lane, until it takes slots again.
// In the meantime, others need not leave it a slot. It keeps its place in the queue.
func (c *capacity) enterLane(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	of.inLane = of.polled == 0
	c.drop(action)
}

// reserve uses a slot of the current poll for a PipelineJob that is about to be created, and
// reports whether there is one. A name that already has a slot keeps it. There is no slot for a job
// that was handed out in a place that the action has left since: another action may take the jobs
// there.
func (c *capacity) reserve(action types.NamespacedName, name string, in Place) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	_, held := of.slots[name]
	_, reserved := of.reserved[name]
	if held || reserved {
		return true
	}
	if of.here != nil && !of.here.covers(in) {
		return false
	}
	late := c.held(of) < of.polled
	if of.polled == 0 || late && c.limit > 0 && c.used() >= c.limit {
		return false
	}
	of.polled--
	of.reserve(name, in, c.clock.Now())
	return true
}

// reserve reserves a slot for a job. What is unknown about the job's place is that of the action's.
func (u *usage) reserve(name string, in Place, now time.Time) {
	if u.here != nil && u.here.covers(in) {
		in = *u.here
	}
	u.reserved[name] = reservation{in, now}
}

// mayRecord reports whether an action may still record new jobs of a place that matters: it takes
// jobs there, or the answer to a poll there is being recorded, or the informer has not shown yet
// what was.
func (c *capacity) mayRecord(action types.NamespacedName, matters func(Place) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, known := c.actions[action]
	if !known {
		return false
	}
	if of.here != nil && matters(*of.here) && (of.limit > 0 || of.polled > 0) {
		return true
	}
	for _, is := range of.reserved {
		if c.clock.Since(is.at) < reservationLife && (is.in.AccountID == "" || matters(is.in)) {
			return true
		}
	}
	return false
}

// hold reserves a slot for a PipelineJob that was updated to a new job, until the informer
// shows it.
func (c *capacity) hold(action types.NamespacedName, name string, in Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	if _, held := of.slots[name]; !held {
		of.reserve(name, in, c.clock.Now())
	}
	c.drop(action)
}

// release drops the reservation of a PipelineJob that was not created.
func (c *capacity) release(action types.NamespacedName, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of(action).reserved, name)
	c.drop(action)
}

// give returns the slots that the action's poll did not fill.
func (c *capacity) give(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	of.polled, of.recording, of.inLane = 0, false, false
	c.drop(action)
}

// standBack removes an action whose polls fail from the queue: the slot that it waits for goes
// to others until it asks again.
func (c *capacity) standBack(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(action)
}

// forget drops an action that is no longer polled. Its jobs still count.
func (c *capacity) forget(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	of.limit, of.polled, of.recording, of.inLane, of.here = 0, 0, false, false, nil
	c.leave(action)
	c.drop(action)
}

// next returns the actions to wake: those whose turn it is and that can use a slot, as many as
// there are free slots.
func (c *capacity) next() (turns []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.limit - c.used()
	for _, action := range c.inTurn(types.NamespacedName{}) {
		if left <= 0 {
			break
		}
		if c.canUse(action) {
			turns = append(turns, action)
			left--
		}
	}
	return turns
}

// inTurn returns the waiting actions in the order in which they get slots. Namespaces that use
// the fewest slots come first, so that one with thousands of actions does not keep freed slots
// from the others. Slots from earlier turns in this order count as used. Among equals, the
// action that has waited longest comes first. If also is set, it takes part as the last in the
// queue.
func (c *capacity) inTurn(also types.NamespacedName) []types.NamespacedName {
	order := slices.Clone(c.waiting)
	if also.Name != "" && !slices.Contains(order, also) {
		order = append(order, also)
	}
	if len(order) < 2 {
		return order
	}
	uses, turn := c.usedByNamespace(), map[types.NamespacedName]int32{}
	for _, action := range order {
		turn[action] = uses[action.Namespace]
		if c.canUse(action) {
			uses[action.Namespace]++
		}
	}
	slices.SortStableFunc(order, func(a, b types.NamespacedName) int { return cmp.Compare(turn[a], turn[b]) })
	return order
}

// usedByNamespace counts the slots that each namespace's actions use, without those held for
// polls.
func (c *capacity) usedByNamespace() map[string]int32 {
	uses := map[string]int32{}
	for action, of := range c.actions {
		uses[action.Namespace] += size(of.slots) + size(of.reserved)
	}
	return uses
}

func (c *capacity) leave(action types.NamespacedName) {
	c.waiting = slices.DeleteFunc(c.waiting, func(other types.NamespacedName) bool { return other == action })
}

// of returns the usage of an action. The caller must call drop afterwards.
func (c *capacity) of(action types.NamespacedName) *usage {
	of, ok := c.actions[action]
	if !ok {
		of = &usage{slots: map[string]struct{}{}, awaited: map[string]awaiting{}, reserved: map[string]reservation{}}
		c.actions[action] = of
	}
	return of
}

// drop deletes the usage of an action if it is empty.
func (c *capacity) drop(action types.NamespacedName) {
	of := c.actions[action]
	if of.limit == 0 && of.here == nil && of.polled == 0 && len(of.slots)+len(of.awaited)+len(of.reserved) == 0 {
		delete(c.actions, action)
	}
}

func size[V any](of map[string]V) int32 { return int32(len(of)) }

// TakesSlot reports whether a job counts against the limits. A job whose run has ended and
// that waits to be handed out again does not: it must not block the poll that brings it.
func TakesSlot(job *v1alpha1.PipelineJob) bool {
	return !job.Settled() && (!job.AwaitsContinuation() || job.Status.RunGoesOn())
}
