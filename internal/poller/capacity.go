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

// reservationLife is how long the slot of a PipelineJob that was created is held
// for it if the informer never shows the object: it was deleted at once, or the
// creation did not happen.
const reservationLife = time.Minute

// pollLife is how long a poll that its lane has no room for, or that is not answered, holds
// slots: CodePipeline answers within a second, and a region that hangs must not keep them
// from others. Jobs of an answer that comes later are kept until there are slots.
const pollLife = 2 * time.Second

// askAgain is when an action that waits for a slot looks for one again, whether or not it
// is told of one.
const askAgain = pollLife

// capacity keeps the jobs in flight within the limits, that of each action and
// that of all of them, and shares what is free among the actions that ask. The
// informer of PipelineJobs keeps it current: see observe.
type capacity struct {
	// limit is that of all actions together; zero: none.
	limit int32
	// keepFor is how long CodePipeline may wait for a job.
	keepFor time.Duration
	clock   clock.PassiveClock

	mu      sync.Mutex
	actions map[types.NamespacedName]*usage
	// waiting are actions that found all slots taken, the longest first; inTurn is the order
	// in which they get some.
	waiting []types.NamespacedName
}

// usage is what the jobs of one action use.
type usage struct {
	// limit is the most jobs in flight; zero if no new job may be taken.
	limit int32
	// slots are the names of the PipelineJobs that take a slot.
	slots map[string]struct{}
	// awaited are the names of those that CodePipeline is to hand out again, or may
	// because it did not confirm their claim.
	awaited map[string]awaiting
	// here is where the action takes jobs; nil: anywhere.
	here *Place
	// reserved are the names of PipelineJobs that were created, or are about to be,
	// and that the informer has not shown, with the time of the reservation.
	reserved map[string]time.Time
	// polled is how many slots the poll under way may still fill, and polledAt since when
	// they are held for it.
	polled   int32
	polledAt time.Time
	// recording: the poll was answered in time, and its jobs are being recorded.
	recording bool
	// inLane: the action waits for its lane's room, and can't use a slot meanwhile.
	inLane bool
}

// awaiting is where and since when a job is awaited, and until when; zero: as long as it does not
// change.
type awaiting struct {
	in           Place
	since, until time.Time
}

func newCapacity(limit int32, keepFor time.Duration, clock clock.PassiveClock) *capacity {
	return &capacity{limit: limit, keepFor: keepFor, clock: clock, actions: map[types.NamespacedName]*usage{}}
}

// change is what a PipelineJob's event changes for the loops.
type change struct {
	// freed: a slot came free.
	freed bool
	// awaited: CodePipeline is to hand the job out again.
	awaited bool
}

// observe takes over what the informer shows of a PipelineJob. Its first event
// takes the place of the reservation under its name: a job that settled before it
// was counted holds nothing.
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

// awaits reports whether a job is awaited, and since and until when as far as it says.
//
// A settled job is awaited, too, if CodePipeline confirmed neither its claim nor a report: if it
// is handed out again it is claimed, and what is recorded is reported. Unless it is asked for,
// also while its action takes no new jobs, the action may stay in progress for ever.
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

// await notes that a job is awaited. It reports whether that is news: the informer may have
// left out that it was handed out meanwhile.
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

// gone takes note of a PipelineJob that was deleted. A reservation under its name
// stays: it is for an object that comes after it.
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

// limitTo sets how many jobs of an action may be in flight; zero if it may take no
// new ones.
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
	// awaited is how many jobs are to be handed out again. They are asked for though
	// no slot is free: those whose run goes on have theirs already.
	awaited int32
	// since is when the newest of the awaited jobs began to be awaited.
	since time.Time
	// recheck is how long it is until a reservation expires; zero if there is none.
	recheck time.Duration
}

// take gives an action the slots that its own limit and the limit of all leave
// free, and those that are held for it. They are held until give, or for pollLife.
func (c *capacity) take(action types.NamespacedName) room {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	recheck := c.expire()
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

// held is how many slots are held for a poll of an action.
func (c *capacity) held(of *usage) int32 {
	if !of.recording && c.clock.Since(of.polledAt) >= pollLife {
		return 0
	}
	return of.polled
}

// share is the part of the free slots that an action gets: those that it holds, and more if
// each other one whose turn is before its own, and that can use a slot, is left one.
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

// free is how many more jobs the action's own limit has room for.
func (u *usage) free() int32 { return max(0, u.limit-size(u.slots)-size(u.reserved)) }

// used counts the slots of all actions, those that polls may still fill included.
func (c *capacity) used() (used int32) {
	for _, of := range c.actions {
		used += size(of.slots) + size(of.reserved) + c.held(of)
	}
	return used
}

// canUse reports whether an action could fill a slot: one that is suspended, or at
// its own limit, must not keep it from others.
func (c *capacity) canUse(action types.NamespacedName) bool {
	of, ok := c.actions[action]
	return ok && !of.inLane && of.free() > 0
}

// expire drops reservations that have lasted too long, and returns how long it is
// until the next one, or the hold of a poll, does.
func (c *capacity) expire() (next time.Duration) {
	for _, of := range c.actions {
		if of.polled > 0 && !of.recording {
			next = soonest(next, pollLife-c.clock.Since(of.polledAt))
		}
		for name, at := range of.reserved {
			left := reservationLife - c.clock.Since(at)
			if left <= 0 {
				delete(of.reserved, name)
			}
			next = soonest(next, left)
		}
	}
	return next
}

// answered holds as many slots as jobs were handed out until they are recorded, unless the
// answer came too late.
func (c *capacity) answered(action types.NamespacedName, jobs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	of.polled = min(of.polled, int32(min(jobs, math.MaxInt32))) //nolint:gosec // it is bounded
	of.recording = c.held(of) > 0
}

// enterLane has others not leave a slot to an action that waits for its lane's room with
// none, until it takes slots again. It keeps its place.
func (c *capacity) enterLane(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	of.inLane = of.polled == 0
	c.drop(action)
}

// reserve holds a slot of the poll under way for a PipelineJob that is about to be
// created, of a job that was handed out in a place, and reports whether there is one. A name that
// has a slot keeps it. There is none in a place from which the action has moved since the poll
// began: another action may take the jobs there by now.
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
	of.reserved[name] = c.clock.Now()
	return true
}

// mayRecord reports whether an action may still record new jobs of a place that matters: it takes
// jobs there, or the answer to a poll is being recorded. A PipelineJob that was created, and that
// the informer has not shown, may be of any place.
func (c *capacity) mayRecord(action types.NamespacedName, matters func(Place) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, known := c.actions[action]
	if !known {
		return false
	}
	c.expire()
	takes := of.here != nil && matters(*of.here) && (of.limit > 0 || of.polled > 0)
	return takes || len(of.reserved) > 0
}

// hold reserves a slot for a PipelineJob that was moved on, until the informer shows it.
func (c *capacity) hold(action types.NamespacedName, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	if _, held := of.slots[name]; !held {
		of.reserved[name] = c.clock.Now()
	}
	c.drop(action)
}

// release gives up the reservation of a PipelineJob that was not created.
func (c *capacity) release(action types.NamespacedName, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of(action).reserved, name)
	c.drop(action)
}

// give gives back the slots that the action's poll did not fill.
func (c *capacity) give(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	of.polled, of.recording, of.inLane = 0, false, false
	c.drop(action)
}

// standBack ends the waiting of an action whose polls fail: the slot that it waits
// for goes to others until it asks again.
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

// next returns the actions whose turn it is and that can use a slot, as many as there are
// free slots.
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

// inTurn has the actions that wait in the order of their turns. The namespaces that use the
// fewest slots come first, those that an earlier turn brings them included: one with
// thousands of actions must not keep the slots that come free from its neighbours. Among
// equals it is the action that waits for longest. An action that is given takes part too, as
// the last that came.
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

// usedByNamespace counts the slots that the actions of each namespace use, without those that
// are held for polls.
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

// of is the usage of an action. Whoever asks for it calls drop.
func (c *capacity) of(action types.NamespacedName) *usage {
	of, ok := c.actions[action]
	if !ok {
		of = &usage{slots: map[string]struct{}{}, awaited: map[string]awaiting{}, reserved: map[string]time.Time{}}
		c.actions[action] = of
	}
	return of
}

// drop forgets the usage of an action that has none.
func (c *capacity) drop(action types.NamespacedName) {
	of := c.actions[action]
	if of.limit == 0 && of.here == nil && of.polled == 0 && len(of.slots)+len(of.awaited)+len(of.reserved) == 0 {
		delete(c.actions, action)
	}
}

func size[V any](of map[string]V) int32 { return int32(len(of)) }

// TakesSlot reports whether a job counts against the limits. One whose run has
// ended, and that waits to be handed out again, does not: it must not keep its
// own return from being polled.
func TakesSlot(job *v1alpha1.PipelineJob) bool {
	return !job.Settled() && (!job.AwaitsContinuation() || job.Status.RunGoesOn())
}
