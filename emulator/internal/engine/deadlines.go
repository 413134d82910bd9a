package engine

import (
	"container/heap"
	"fmt"
	"time"
)

// deadlineHeap has the actions that can time out, in order of their deadlines (container/heap).
type deadlineHeap []*actionRun

func (d deadlineHeap) Len() int           { return len(d) }
func (d deadlineHeap) Less(i, k int) bool { return d[i].deadline.Before(d[k].deadline) }
func (d deadlineHeap) Swap(i, k int) {
	d[i], d[k] = d[k], d[i]
	d[i].waits, d[k].waits = i, k
}

func (d *deadlineHeap) Push(a any) {
	run := a.(*actionRun)
	run.waits = len(*d)
	*d = append(*d, run)
}

func (d *deadlineHeap) Pop() any {
	last := len(*d) - 1
	run := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	run.waits = notWaiting
	return run
}

// notWaiting is the index of an action without a deadline.
const notWaiting = -1

// await sets the deadline of an action.
func (e *Engine) await(a *actionRun, limit time.Duration) {
	a.limit, a.deadline = limit, e.now().Add(limit)
	heap.Push(&e.deadlines, a)
}

// release removes the deadline of an ended action.
func (e *Engine) release(a *actionRun) {
	if a.waits != notWaiting {
		heap.Remove(&e.deadlines, a.waits)
	}
}

// expireActions fails the actions whose deadline has passed.
func (e *Engine) expireActions() {
	now := e.now()
	for len(e.deadlines) > 0 && !now.Before(e.deadlines[0].deadline) {
		a := e.deadlines[0]
		message := fmt.Sprintf("The action has not ended within %s", a.limit)
		if a.approval != "" {
			message = fmt.Sprintf("The approval was not answered within %s", a.limit)
		}
		if a.job != nil {
			e.closeJob(a.job, jobTimedOut)
		}
		a.fail(e, "JobFailed", message)
	}
}
