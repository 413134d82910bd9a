package fairqueue

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// deadline is when a test gives up waiting.
const deadline = 30 * time.Second

// bench is a queue whose only worker is the test.
type bench struct {
	*WithT
	Queue
}

func newBench(t *testing.T) bench {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Millisecond, time.Second)
	b := bench{NewWithT(t), New("", limiter).(Queue)}
	t.Cleanup(b.ShutDown)
	return b
}

func of(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// work processes count items like a worker, and returns them.
func (b bench) work(count int) (items []string) {
	for range count {
		item, _, shutdown := b.GetWithPriority()
		b.Expect(shutdown).To(BeFalse())
		items = append(items, item.String())
		b.Done(item)
	}
	return items
}

func (b bench) unchanged(items ...reconcile.Request) {
	priority := -100 // handler.LowPriority
	b.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, items...)
}

// TestNamespacesTakeTurns: a namespace fills the queue before others add items.
func TestNamespacesTakeTurns(t *testing.T) {
	b := newBench(t)
	for i := range 5000 {
		b.Add(of("many", fmt.Sprint(i)))
	}
	b.Add(of("few", "a"))
	b.Add(of("few", "b"))
	b.Add(of("one", "c"))
	b.Expect(b.work(6)).To(Equal([]string{"many/0", "few/a", "one/c", "many/1", "few/b", "many/2"}))
	b.Expect(b.Len()).To(Equal(5000 - 3))
	b.Expect(b.order.of).To(HaveLen(1), "only namespaces with items are in memory")
	b.work(b.Len())
	b.Expect(b.order.of).To(BeEmpty())
	b.Expect(b.order.at).To(BeEmpty())
}

// TestUnchangedObjectsComeLastOfTheirNamespace: after a start, thousands of objects are queued,
// most of them settled.
func TestUnchangedObjectsComeLastOfTheirNamespace(t *testing.T) {
	b := newBench(t)
	b.unchanged(of("team", "settled"), of("team", "changes"), of("neighbour", "settled"))
	b.Add(of("team", "new"))
	b.Add(of("team", "changes"))
	b.Expect(b.work(4)).To(Equal([]string{"team/new", "neighbour/settled", "team/changes", "team/settled"}))
	b.Expect(b.order.unhurried).To(BeEmpty())
}

// TestUrgentItemStaysSo when it is added again, whether or not a worker is processing it.
func TestUrgentItemStaysSo(t *testing.T) {
	b := newBench(t)
	b.Add(of("team", "urgent"))
	b.unchanged(of("team", "settled"), of("team", "urgent"))
	b.Expect(b.work(2)).To(Equal([]string{"team/urgent", "team/settled"}))

	b.Add(of("team", "again"))
	item, _ := b.Get()
	b.unchanged(item)
	b.Add(item)
	b.unchanged(of("team", "settled"))
	b.Done(item)
	b.Expect(b.work(2)).To(Equal([]string{"team/again", "team/settled"}))
	b.Expect(b.order.unhurried).To(BeEmpty())
}

// TestLaterItemsComeWhenTheyAreDue, and only once.
func TestLaterItemsComeWhenTheyAreDue(t *testing.T) {
	b := newBench(t)
	b.AddWithOpts(priorityqueue.AddOpts{After: time.Millisecond}, of("team", "later"))
	b.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, of("team", "failed"))
	b.Eventually(b.Len).WithTimeout(deadline).Should(Equal(2))
	b.Expect(b.NumRequeues(of("team", "failed"))).To(Equal(1))
	b.Expect(b.work(2)).To(ConsistOf("team/later", "team/failed"))
}
