package pipelinejob

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// Workers serve all accounts and must not wait for one. A step that calls AWS therefore runs in a
// goroutine of the account's lane, once the lane has room. A step that reads a log from a node
// runs in the node's lane. The PipelineJob may change in the meantime, so the lane decides on the
// step again.

// taker is who takes a step. Each taker also takes the steps of those before it.
type taker int

const (
	takerWorker taker = iota
	takerNode
	// takerNoAccount is for a step that would call AWS while the job has no access: the step only
	// fails. If there is access by then, the account's lane takes the step.
	takerNoAccount
	takerAccount
)

// queue is the controller's work queue.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// busy has the PipelineJobs that a worker or a lane's goroutine is working on, one at a time
// each.
type busy struct {
	mu sync.Mutex
	// with has, for each of them, whether another caller was turned away since enter.
	with map[types.NamespacedName]bool
}

// enter reports whether the caller may work on a PipelineJob. It is false while another caller
// does.
func (b *busy) enter(job types.NamespacedName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.with[job]; taken {
		b.with[job] = true
		return false
	}
	if b.with == nil {
		b.with = map[types.NamespacedName]bool{}
	}
	b.with[job] = false
	return true
}

// leave reports whether another caller was turned away since enter.
func (b *busy) leave(job types.NamespacedName) (turnedAway bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	turnedAway = b.with[job]
	delete(b.with, job)
	return turnedAway
}

// laneCallID identifies a PipelineJob's call in a lane.
type laneCallID types.NamespacedName

// operationOf returns the AWS call that a step makes or may make. It is empty if the step
// makes none.
func operationOf(next step, s state) string {
	switch next {
	case stepAcknowledge:
		return operationAcknowledge
	case stepRenewSecret:
		return operationDetails
	case stepReportProgress:
		return operationSuccess
	case stepAskExecution:
		return operationExecutions
	case stepReport:
		return reportOf(s.job)
	case stepRecordResult:
		if s.outcome.Failure != nil && len(s.job.Spec.SecretConfiguration) > 0 {
			return operationDetails // to mask the secrets in the message
		}
	}
	return ""
}

// operationLogs is the operation name of log reads in a node's lane.
const operationLogs = "GetPodLogs"

// readsLog reports whether a step reads a log and does not call AWS.
func readsLog(next step, s state) bool {
	return next == stepReadProgress || next == stepRecordResult && s.outcome.Failure == nil && s.outcome.Log != nil
}

// takerOf returns who must take a step.
func takerOf(next step, s state) taker {
	switch {
	case operationOf(next, s) != "" && s.identity.Region == "":
		return takerNoAccount
	case operationOf(next, s) != "":
		return takerAccount
	case readsLog(next, s):
		return takerNode
	default:
		return takerWorker
	}
}

// handOver submits a step to the lane that must take it.
func (r *Reconciler) handOver(ctx context.Context, key types.NamespacedName, next step, s state) {
	log, by := logf.FromContext(ctx), takerOf(next, s)
	call := lanes.Call{ID: laneCallID(key), Namespace: key.Namespace, Operation: operationOf(next, s), Do: func(ctx context.Context) {
		r.takeInLane(logf.IntoContext(ctx, log), key, by)
	}}
	if by == takerNode {
		call.Operation = operationLogs
		r.NodeLanes.Submit(nodeLaneOf(s), call)
		return
	}
	r.Lanes.Submit(r.laneOf(s), call)
}

// withdraw removes a step from the lanes that was submitted earlier.
func (r *Reconciler) withdraw(key types.NamespacedName, s state) {
	r.Lanes.Cancel(r.laneOf(s), laneCallID(key))
	r.NodeLanes.Cancel(nodeLaneOf(s), laneCallID(key))
}

// laneOf returns the lane of a job's account and region. Jobs without access share a lane of
// their own, where their steps fail without delaying others.
func (r *Reconciler) laneOf(s state) lanes.Key {
	if s.identity.Region == "" {
		return lanes.Key{Account: "none"}
	}
	return lanes.Of(s.identity)
}

// nodeLaneOf returns the lane of the node that logs of a run are read from.
func nodeLaneOf(s state) lanes.Key {
	for i := range s.pods {
		if node := s.pods[i].Spec.NodeName; node != "" {
			return lanes.Key{Account: node}
		}
	}
	return lanes.Key{}
}

// takeInLane takes the next step of a PipelineJob in a goroutine of a lane, and then requeues
// it. If a worker is busy with it, it only requeues it.
func (r *Reconciler) takeInLane(ctx context.Context, key types.NamespacedName, by taker) {
	if !r.busy.enter(key) {
		r.requeue(key, 0)
		return
	}
	result, err := r.advanceInLane(ctx, key, by)
	if r.busy.leave(key) {
		result.RequeueAfter = 0 // the change that triggered it may be newer than what was read
	}
	if err != nil {
		logf.FromContext(ctx).Error(err, "A step failed and will be retried", "pipelineJob", key)
	}
	r.requeue(key, result.RequeueAfter)
}

// advanceInLane turns a panic into an error, as controller-runtime does for workers: one job
// must not end the operator.
func (r *Reconciler) advanceInLane(ctx context.Context, key types.NamespacedName, by taker) (result reconcile.Result, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
		}
	}()
	result, handOver, err := r.advance(ctx, key, by)
	if handOver != nil {
		result.RequeueAfter = atOnce // the step changed and is now for another lane
	}
	return result, err
}

// Again requeues a PipelineJob.
func (r *Reconciler) Again(key types.NamespacedName) { r.requeue(key, 0) }

// requeue adds a PipelineJob to the work queue. After a step in a lane, it makes up for events
// that arrived in the meantime.
func (r *Reconciler) requeue(key types.NamespacedName, after time.Duration) {
	if r.queue != nil {
		r.queue.AddAfter(reconcile.Request{NamespacedName: key}, after)
	}
}
