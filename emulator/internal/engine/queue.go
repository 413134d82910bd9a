package engine

import (
	"container/list"
	"strconv"
	"time"
)

// queueID identifies a queue: the jobs of an action type and, if the type has a queryable property,
// of one of its values.
type queueID struct {
	actionType TypeID
	value      string
}

// queue has the open jobs that a poll may ask for. Each list is in the order in which its jobs
// become due.
type queue struct {
	// waiting are continued jobs that are not available yet.
	waiting *list.List
	// ready are jobs that can be handed out.
	ready *list.List
	// dispatched are jobs that were handed out and are not acknowledged yet.
	dispatched *list.List
	// claimed are jobs in progress.
	claimed *list.List
}

func newQueue() *queue { return &queue{list.New(), list.New(), list.New(), list.New()} }

func (q *queue) empty() bool {
	return q.waiting.Len()+q.ready.Len()+q.dispatched.Len()+q.claimed.Len() == 0
}

// newJob queues a job of an action. token is the continuation token of the previous job.
func (e *Engine) newJob(a *actionRun, token string, available time.Time) *job {
	id := queueID{actionType: a.declared.ActionTypeID}
	if t, ok := e.actionTypes[id.actionType]; ok {
		id.value = a.resolved[t.queryable()]
	}
	q, ok := e.queues[id]
	if !ok {
		q = newQueue()
		e.queues[id] = q
	}
	made := &job{id: newID(), action: a, status: jobQueued, token: token, available: available, queue: id}
	e.jobs[made.id] = made
	into := q.ready
	if available.After(e.now()) {
		into = q.waiting
	}
	made.moveTo(into)
	return made
}

// moveTo moves a job to the end of a list. Nil removes it from its list.
func (j *job) moveTo(into *list.List) {
	if j.list != nil {
		j.list.Remove(j.element)
	}
	j.list, j.element = into, nil
	if into != nil {
		j.element = into.PushBack(j)
	}
}

// dequeue removes an ended job from its queue.
func (e *Engine) dequeue(j *job) {
	j.moveTo(nil)
	if q, ok := e.queues[j.queue]; ok && q.empty() {
		delete(e.queues, j.queue)
	}
}

// handOut hands out up to count jobs, those that have waited longest first: jobs that were not
// acknowledged in time, then ready jobs.
func (e *Engine) handOut(q *queue, count int) []JobResponse {
	now := e.now()
	due := func(l *list.List, at func(*job) time.Time) *job {
		if first := l.Front(); first != nil && !now.Before(at(first.Value.(*job))) {
			return first.Value.(*job)
		}
		return nil
	}
	for j := due(q.waiting, availableAt); j != nil; j = due(q.waiting, availableAt) {
		j.moveTo(q.ready)
	}
	after := e.options.RedispatchAfter
	if after == RedispatchAtOnce {
		after = 0 // even if the clock stands still
	}
	again := func(j *job) time.Time { return j.dispatched.Add(after) }
	handed := []JobResponse{}
	before := q.dispatched.Len() // so that one poll hands out a job only once, whatever the time
	if after == RedispatchNever {
		before = 0
	}
	for ; len(handed) < count; before-- {
		var j *job
		if before > 0 {
			j = due(q.dispatched, again)
		}
		if j == nil {
			j = due(q.ready, availableAt)
		}
		if j == nil {
			break
		}
		handed = append(handed, e.dispatch(j, q))
	}
	return handed
}

func availableAt(j *job) time.Time { return j.available }

// dispatch hands out a job with a new nonce.
func (e *Engine) dispatch(j *job, q *queue) JobResponse {
	e.nonce++
	j.status, j.nonce, j.dispatched = jobDispatched, strconv.Itoa(e.nonce), e.now()
	j.moveTo(q.dispatched)
	return e.jobResponse(j)
}

// jobResponse returns a job in the form of PollForJobs.
func (e *Engine) jobResponse(j *job) JobResponse {
	return JobResponse{ID: j.id, Nonce: j.nonce, AccountID: e.options.AccountID, Data: e.dataOf(j)}
}
