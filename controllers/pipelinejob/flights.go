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

// A step that calls AWS is taken by a goroutine of the account's lane, when that has
// room: a worker would wait for the answer, and the workers are there for all accounts. In
// the same way, one that reads a log from a node has the node's lane take it. Meanwhile the
// PipelineJob may change, so that the step is decided on again then.

// taker is who takes a step. Each takes the steps of those before it, too.
type taker int

const (
	takerWorker taker = iota
	takerNode
	// takerNoAccount is for what would call AWS, while there may be no call: it only fails.
	// If there is access by then, the account's lane is to take it.
	takerNoAccount
	takerAccount
)

// queue is where a PipelineJob is put to be reconciled.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// busy has the PipelineJobs for which a worker, or a goroutine of a lane, is at work:
// one at a time.
type busy struct {
	mu sync.Mutex
	// with tells, for each, whether another caller was turned away since it entered.
	with map[types.NamespacedName]bool
}

// enter reports whether nobody is at work for a PipelineJob; then the caller is.
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

// flight names what a lane does for a PipelineJob.
type flight types.NamespacedName

// operationOf is the call to AWS that a step makes, or may make; empty if it makes none.
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

// operationLogs is the reading of a log, as a lane of a node has it.
const operationLogs = "GetPodLogs"

// readsLog reports whether a step reads a log and calls AWS for nothing.
func readsLog(next step, s state) bool {
	return next == stepReadProgress || next == stepRecordResult && s.outcome.Failure == nil && s.outcome.Log != nil
}

// takerOf is who is to take a step.
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

// handOver has a lane take a step that a worker would wait for.
func (r *Reconciler) handOver(ctx context.Context, key types.NamespacedName, next step, s state) {
	log, by := logf.FromContext(ctx), takerOf(next, s)
	call := lanes.Call{ID: flight(key), Namespace: key.Namespace, Operation: operationOf(next, s), Do: func(ctx context.Context) {
		r.fly(logf.IntoContext(ctx, log), key, by)
	}}
	if by == takerNode {
		call.Operation = operationLogs
		r.NodeLanes.Submit(nodeLaneOf(s), call)
		return
	}
	r.Lanes.Submit(r.laneOf(s), call)
}

// takeBack has no lane take a step that was decided on before.
func (r *Reconciler) takeBack(key types.NamespacedName, s state) {
	r.Lanes.Cancel(r.laneOf(s), flight(key))
	r.NodeLanes.Cancel(nodeLaneOf(s), flight(key))
}

// laneOf is the lane of a job's account and region. Jobs for which there may be no call have
// one of their own: their steps fail there, and hold up no other.
func (r *Reconciler) laneOf(s state) lanes.Key {
	if s.identity.Region == "" {
		return lanes.Key{Account: "none"}
	}
	return lanes.Of(s.identity)
}

// nodeLaneOf is the lane of the node from which logs of a run are read.
func nodeLaneOf(s state) lanes.Key {
	for i := range s.pods {
		if node := s.pods[i].Spec.NodeName; node != "" {
			return lanes.Key{Account: node}
		}
	}
	return lanes.Key{}
}

// fly takes the next step of a PipelineJob in a goroutine of a lane, and has it
// reconciled afterwards. If a worker is at it, it is reconciled after that.
func (r *Reconciler) fly(ctx context.Context, key types.NamespacedName, by taker) {
	if !r.busy.enter(key) {
		r.land(key, 0)
		return
	}
	result, err := r.advanceInLane(ctx, key, by)
	if r.busy.leave(key) {
		result.RequeueAfter = 0 // what it came for may be newer than what was read
	}
	if err != nil {
		logf.FromContext(ctx).Error(err, "A step failed, and is tried again", "pipelineJob", key)
	}
	r.land(key, result.RequeueAfter)
}

// advanceInLane makes an error of a panic, as controller-runtime does for workers: one
// job must not end the operator.
func (r *Reconciler) advanceInLane(ctx context.Context, key types.NamespacedName, by taker) (result reconcile.Result, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
		}
	}()
	result, handOver, err := r.advance(ctx, key, by)
	if handOver != nil {
		result.RequeueAfter = atOnce // it became a step for another lane
	}
	return result, err
}

// Again has a PipelineJob reconciled.
func (r *Reconciler) Again(key types.NamespacedName) { r.land(key, 0) }

// land has a PipelineJob reconciled: events of it may have come while it was in flight.
func (r *Reconciler) land(key types.NamespacedName, after time.Duration) {
	if r.queue != nil {
		r.queue.AddAfter(reconcile.Request{NamespacedName: key}, after)
	}
}
