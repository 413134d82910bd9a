package fairqueue

import (
	"container/list"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// urgency is the line of its namespace in which an item waits.
type urgency int

const (
	normal urgency = iota
	low
	urgencies // the number of urgencies
)

// order has the items in the order of their turns. It is a workqueue.Queue.
type order struct {
	mu sync.Mutex
	// unhurried are items that will be added next, or again, with low urgency.
	unhurried map[reconcile.Request]struct{}
	// turns has the namespaces, of *lines, in the order of their turns.
	turns *list.List
	of    map[string]*lines
	at    map[reconcile.Request]place
}

// lines are the items of a namespace.
type lines struct {
	turn *list.Element
	of   [urgencies]list.List
}

// place is where an item waits.
type place struct {
	element *list.Element
	urgency urgency
}

func newOrder() *order {
	return &order{
		unhurried: map[reconcile.Request]struct{}{}, turns: list.New(), of: map[string]*lines{}, at: map[reconcile.Request]place{},
	}
}

// mark sets the urgency of an item that will be added next.
func (o *order) mark(item reconcile.Request, how urgency) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if how == low {
		o.unhurried[item] = struct{}{}
		return
	}
	delete(o.unhurried, item)
}

// Push adds an item that does not wait yet.
func (o *order) Push(item reconcile.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	how := normal
	if _, is := o.unhurried[item]; is {
		how = low
		delete(o.unhurried, item)
	}
	o.push(item, how)
}

// Touch is called if a waiting item is added again: if it is urgent now, it moves to the
// urgent line.
func (o *order) Touch(item reconcile.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, is := o.unhurried[item]
	waits, known := o.at[item]
	if known {
		delete(o.unhurried, item)
	}
	if is || !known || waits.urgency == normal {
		return
	}
	o.of[item.Namespace].of[low].Remove(waits.element)
	o.push(item, normal)
}

func (o *order) push(item reconcile.Request, how urgency) {
	of := o.of[item.Namespace]
	if of == nil {
		of = &lines{}
		of.turn = o.turns.PushBack(of)
		o.of[item.Namespace] = of
	}
	o.at[item] = place{of.of[how].PushBack(item), how}
}

// Len returns the number of waiting items.
func (o *order) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.at)
}

// Pop removes and returns the next item. The queue must not be empty. The item's namespace goes to
// the end.
func (o *order) Pop() reconcile.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	turn := o.turns.Front()
	of := turn.Value.(*lines)
	line := &of.of[normal]
	if line.Len() == 0 {
		line = &of.of[low]
	}
	item := line.Remove(line.Front()).(reconcile.Request)
	delete(o.at, item)
	o.turns.MoveToBack(turn)
	if of.of[normal].Len()+of.of[low].Len() == 0 {
		o.turns.Remove(turn)
		delete(o.of, item.Namespace)
	}
	return item
}
