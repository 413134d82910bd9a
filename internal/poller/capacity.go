package poller

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// cacheLag is how long a PipelineJob just made may be missing from the cache.
const cacheLag = time.Minute

// capacity keeps the jobs in flight within the limits, that of each action and
// that of all of them, and shares what is free among the actions that ask.
type capacity struct {
	// limit is that of all actions together; zero: none.
	limit int32
	clock clock.PassiveClock

	mu sync.Mutex
	// recent are PipelineJobs that were made and that the cache may not show yet.
	recent map[types.NamespacedName]recent
	// polled are the slots that polls under way may fill, by action.
	polled map[types.NamespacedName]int32
	// waiting are actions that found all slots taken, the longest first.
	waiting []types.NamespacedName
}

type recent struct {
	action types.NamespacedName
	at     time.Time
}

func newCapacity(limit int32, clock clock.PassiveClock) *capacity {
	return &capacity{limit: limit, clock: clock, recent: map[types.NamespacedName]recent{}, polled: map[types.NamespacedName]int32{}}
}

// take gives an action the slots that it may poll for: those that its own limit
// and the limit of all leave free. jobs are the unsettled ones that the cache
// shows: of all actions when there is a limit of all, else of this one. The
// slots are held until give.
func (l *capacity) take(action types.NamespacedName, maxConcurrent int32, jobs []v1alpha1.PipelineJob) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, all := l.count(action, jobs)
	free := max(0, maxConcurrent-own)
	if l.limit > 0 && free > 0 {
		free = l.share(action, free, l.limit-all)
	}
	l.polled[action] = free
	return free
}

// share is the part of the room that is left for an action: each one that waits
// for longer is left a slot.
func (l *capacity) share(action types.NamespacedName, want, room int32) int32 {
	for other, held := range l.polled {
		if other != action {
			room -= held
		}
	}
	ahead := slices.Index(l.waiting, action)
	if ahead < 0 {
		ahead = len(l.waiting)
	}
	granted := min(want, room-int32(ahead)) //nolint:gosec // there are not that many actions
	if granted > 0 {
		l.leave(action)
		return granted
	}
	if !slices.Contains(l.waiting, action) {
		l.waiting = append(l.waiting, action)
	}
	return 0
}

// count counts the jobs that take a slot, of the action and of all.
func (l *capacity) count(action types.NamespacedName, jobs []v1alpha1.PipelineJob) (own, all int32) {
	add := func(of types.NamespacedName) {
		all++
		if of == action {
			own++
		}
	}
	for i := range jobs {
		delete(l.recent, client.ObjectKeyFromObject(&jobs[i]))
		if TakesSlot(&jobs[i]) {
			add(types.NamespacedName{Namespace: jobs[i].Namespace, Name: jobs[i].Spec.ActionRef.Name})
		}
	}
	for name, made := range l.recent {
		if l.clock.Since(made.at) > cacheLag {
			delete(l.recent, name)
			continue
		}
		add(made.action)
	}
	return own, all
}

// made notes a PipelineJob that fills a slot.
func (l *capacity) made(action, job types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[job] = recent{action, l.clock.Now()}
}

// give gives back the slots that the action's poll did not fill, and says whether
// there may be any.
func (l *capacity) give(action types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.polled[action]
	delete(l.polled, action)
	return held > 0
}

// forget drops an action that is no longer polled.
func (l *capacity) forget(action types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.polled, action)
	l.leave(action)
}

// next is the action that waits for longest.
func (l *capacity) next() (types.NamespacedName, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return types.NamespacedName{}, false
	}
	return l.waiting[0], true
}

func (l *capacity) leave(action types.NamespacedName) {
	l.waiting = slices.DeleteFunc(l.waiting, func(other types.NamespacedName) bool { return other == action })
}

// TakesSlot reports whether a job counts against the limits. One whose run has
// ended, and that waits to be handed out again, does not: it must not keep its
// own return from being polled.
func TakesSlot(job *v1alpha1.PipelineJob) bool {
	return !job.Settled() && (!job.AwaitsContinuation() || job.Status.RunGoesOn())
}
