package pipelinejob

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestChangeDuringALaneStepThatOnlyWaitsIsSeen has a lane take a PipelineJob that only waits
// for a long time by then. The change that it waits for happens before the lane leaves it.
func TestChangeDuringALaneStepThatOnlyWaitsIsSeen(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.end(&p.running()[0], `{"result":{"continuationToken":"later"}}`)
	for range 10 {
		if job := p.pipelineJob(); job.AwaitsContinuation() && job.Status.Protocol.Secret == nil {
			break
		}
		p.step(p.pipelineJob().Name)
	}
	key := requestFor(p.pipelineJob().Name).NamespacedName
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	p.operator.queue = queue
	cached, polled := p.operator.Client.(client.WithWatch), false
	p.operator.Client = interceptor.NewClient(cached, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			err := c.Get(ctx, key, object, options...)
			if job, ok := object.(*v1alpha1.PipelineJob); ok && !polled {
				polled = true
				p.Expect(job.AwaitsContinuation()).To(BeTrue())
				for range 30 { // the continuation is polled, and a worker handles the event
					if p.pipelineJob().Spec.CodePipelineJob.ContinuationToken != "" {
						break
					}
					p.clock.Step(10 * time.Second)
					p.poll(nil)
				}
				p.Expect(p.pipelineJob().Spec.CodePipelineJob.ContinuationToken).NotTo(BeEmpty())
				p.Expect(p.operator.Reconcile(p.ctx, reconcile.Request{NamespacedName: requestFor(job.Name).NamespacedName})).To(Equal(reconcile.Result{}))
			}
			return err
		},
	})
	p.operator.takeInLane(p.ctx, key, takerAccount)
	p.Expect(polled).To(BeTrue())
	p.Expect(queue.Len()).To(Equal(1), "it is reconciled now, not in minutes")
}
