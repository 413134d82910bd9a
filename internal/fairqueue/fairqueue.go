// Package fairqueue makes the workers of a controller serve namespaces in turns. In a
// first-in, first-out queue, all namespaces would wait for one with thousands of objects.
package fairqueue

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Queue is a controller's queue in which namespaces take turns. Within a namespace, items of
// a priority below zero, for objects that did not change, come after all others. Priorities
// have no effect between namespaces, which would not be fair. A priority above zero counts
// as zero.
type Queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	order *order
}

var _ priorityqueue.PriorityQueue[reconcile.Request] = Queue{}

// New is for controller.Options.NewQueue.
func New(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	order := newOrder()
	items := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Queue: order})
	return Queue{
		TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{
			Name: name,
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{
				Name: name, Queue: items,
			}),
		}),
		order: order,
	}
}

// Add implements workqueue.TypedInterface.
func (q Queue) Add(item reconcile.Request) {
	q.order.mark(item, normal)
	q.TypedRateLimitingInterface.Add(item)
}

// AddWithOpts implements priorityqueue.PriorityQueue. Items that are added after a time
// have no priority.
func (q Queue) AddWithOpts(o priorityqueue.AddOpts, items ...reconcile.Request) {
	for _, item := range items {
		switch {
		case o.RateLimited:
			q.AddRateLimited(item)
		case o.After > 0:
			q.AddAfter(item, o.After)
		case o.Priority != nil && *o.Priority < 0:
			q.order.mark(item, low)
			q.TypedRateLimitingInterface.Add(item)
		default:
			q.Add(item)
		}
	}
}

// GetWithPriority implements priorityqueue.PriorityQueue. Items that are added again have
// no priority.
func (q Queue) GetWithPriority() (item reconcile.Request, priority int, shutdown bool) {
	item, shutdown = q.Get()
	return item, 0, shutdown
}
