package lanes

import (
	"container/list"
	"time"
)

// turns has the waiting calls of one priority. Namespaces take turns: after the start of a
// call, its namespace goes to the end, so that thousands of calls of one namespace delay a
// call of another by one call. Only namespaces with waiting calls are in memory.
type turns struct {
	// order has the namespaces, of *queue, in the order of their turns.
	order *list.List
	of    map[string]*queue
	// operations counts the calls of each operation, to skip operations without a
	// token.
	operations map[string]int
}

// queue has the calls of a namespace, a list of *entry for each operation: an operation
// without a token does not delay others.
type queue struct {
	turn  *list.Element
	lines map[string]*list.List
}

func newTurns() *turns {
	return &turns{order: list.New(), of: map[string]*queue{}, operations: map[string]int{}}
}

func (t *turns) add(e *entry) {
	of := t.of[e.Namespace]
	if of == nil {
		of = &queue{lines: map[string]*list.List{}}
		of.turn = t.order.PushBack(of)
		t.of[e.Namespace] = of
	}
	line := of.lines[e.Operation]
	if line == nil {
		line = list.New()
		of.lines[e.Operation] = line
	}
	e.place = line.PushBack(e)
	t.operations[e.Operation]++
}

// remove removes a call from its queue.
func (t *turns) remove(e *entry) {
	of := t.of[e.Namespace]
	line := of.lines[e.Operation]
	line.Remove(e.place)
	e.place = nil
	if line.Len() == 0 {
		delete(of.lines, e.Operation)
	}
	if len(of.lines) == 0 {
		t.order.Remove(of.turn)
		delete(t.of, e.Namespace)
	}
	if t.operations[e.Operation]--; t.operations[e.Operation] == 0 {
		delete(t.operations, e.Operation)
	}
}

// start removes a call that is started, and ends the turn of its namespace.
func (t *turns) start(e *entry) {
	t.order.MoveToBack(t.of[e.Namespace].turn)
	t.remove(e)
}

// next returns the call whose turn it is, of the operations with a token and the
// namespaces with room. If no operation has a token, it returns how long to wait for one;
// zero if no call waits.
func (t *turns) next(tokenIn func(operation string) time.Duration, hasRoom func(namespace string) bool) (first *entry, wait time.Duration) {
	ready := map[string]bool{}
	for operation := range t.operations {
		left := tokenIn(operation)
		if left <= 0 {
			ready[operation] = true
		} else if wait == 0 || left < wait {
			wait = left
		}
	}
	if len(ready) == 0 {
		return nil, wait
	}
	for turn := t.order.Front(); turn != nil; turn = turn.Next() {
		if first := turn.Value.(*queue).first(ready); first != nil && hasRoom(first.Namespace) {
			return first, 0
		}
	}
	return nil, wait
}

// first returns the oldest call of the given operations; nil if there is none.
func (q *queue) first(operations map[string]bool) (first *entry) {
	for operation := range operations {
		line := q.lines[operation]
		if line == nil {
			continue
		}
		if head := line.Front().Value.(*entry); first == nil || head.arrived.Before(first.arrived) {
			first = head
		}
	}
	return first
}
