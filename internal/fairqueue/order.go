package fairqueue

import (
	"container/list"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// urgency is in which of its namespace's lines an item waits.
type urgency int

const (
	normal urgency = iota
	low
	urgencies // how many there are
)

// order says which item is next. It is a workqueue.Queue.
type order struct {
	mu sync.Mutex
	// unhurried are items that are about to be added, or added again, with low urgency.
	unhurried map[reconcile.Request]struct{}
	// turns has the namespaces, of *lines, the one whose turn is next first.
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

// mark has an item that is about to be added wait with an urgency.
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

// Touch is told of an item that waits and is added again: if it is urgent now, it waits as
// such.
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

// Len tells how many items wait.
func (o *order) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.at)
}

// Pop removes the next item, of which there must be one: the namespace whose turn it is
// goes to the end.
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
