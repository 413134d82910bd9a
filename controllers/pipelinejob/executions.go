package pipelinejob

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

const (
	// deniedFor is how long the operator waits before it tries again after the permission was
	// missing.
	deniedFor = 30 * time.Minute
	// byIDs bounds the executions that an asker looks up by ID in one round, because they are not
	// among the latest of their pipeline.
	byIDs = 60
	// roundTimeout bounds a round of one asker.
	roundTimeout = 10 * time.Minute
)

// Executions asks CodePipeline, in rounds, for the state of the actions that jobs work on:
// nothing else shows that an execution was stopped or an action timed out. It is a
// manager.Runnable.
//
// A round makes one call per pipeline, which returns its latest actions, and a bounded number
// of calls for actions that are not among them, least recently asked first. An action that no
// answer contains may or may not be over.
type Executions struct {
	ExecutionsOptions

	mu sync.Mutex
	// over has, by PipelineJob UID, why CodePipeline no longer waits for a job.
	over map[types.UID]string
	// answers has the last answer for each job.
	answers map[types.UID]lastStatus
	// askedAt is when an execution was last looked up by its ID.
	askedAt map[executionID]time.Time
	// denied has the askers without permission, for deniedFor each. asking has the askers whose
	// round is in progress.
	denied *cache.Expiring
	asking map[asker]bool
	rounds sync.WaitGroup
}

// ExecutionsOptions configure Executions.
type ExecutionsOptions struct {
	// Reader reads PipelineJobs from the cache, with Unsettled.
	Reader client.Reader
	// Unsettled selects the PipelineJobs that are not settled.
	Unsettled client.ListOption
	AWS       *codepipeline.Clients
	Lanes     *lanes.Lanes
	// Interval is the time between two rounds. Zero: there are no rounds.
	Interval time.Duration
	Clock    clock.Clock
	// Identities resolve the identity with which calls are made.
	Identities identity.Resolver
	Events     events.EventRecorder
	Log        logr.Logger
	// Over is called for each PipelineJob that CodePipeline no longer waits for.
	Over func(types.NamespacedName)
}

// NewExecutions returns Executions without any answers.
func NewExecutions(o ExecutionsOptions) *Executions {
	return &Executions{
		ExecutionsOptions: o,
		over:              map[types.UID]string{}, answers: map[types.UID]lastStatus{}, askedAt: map[executionID]time.Time{},
		denied: cache.NewExpiringWithClock(o.Clock), asking: map[asker]bool{},
	}
}

type executionID struct {
	asker
	pipeline, execution string
}

// asker makes the calls for the jobs of one namespace and identity. A problem with one asker,
// such as a pipeline without permission or thousands of pipelines, must not delay noticing the
// stopped executions of another.
type asker struct {
	identity  codepipeline.Identity
	namespace string
}

// NeedLeaderElection makes the manager start the rounds only on the leader.
func (e *Executions) NeedLeaderElection() bool { return true }

// Start starts a round at each interval, with jitter, until ctx ends.
func (e *Executions) Start(ctx context.Context) error {
	defer e.rounds.Wait()
	if e.Interval <= 0 {
		return nil
	}
	for {
		timer := e.Clock.NewTimer(e.Interval*9/10 + rand.N(e.Interval/5+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
		if err := e.round(ctx); err != nil {
			e.Log.Error(err, "Could not look for stopped executions in this round")
		}
	}
}

// round starts a round for all unsettled jobs. Askers do not wait for each other: if the last
// round of an asker is still in progress, it is skipped.
func (e *Executions) round(ctx context.Context) error {
	var list v1alpha1.PipelineJobList
	if err := e.Reader.List(ctx, &list, e.Unsettled, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the PipelineJobs: %w", err)
	}
	e.forget(list.Items)
	for by, pipelines := range e.group(ctx, list.Items) {
		if !e.begin(by) {
			continue
		}
		e.rounds.Go(func() {
			defer e.end(by)
			ctx, cancel := context.WithTimeout(ctx, roundTimeout)
			defer cancel()
			e.lookAll(ctx, by, pipelines)
		})
	}
	return nil
}

// watched is a PipelineJob whose action is looked up.
type watched struct {
	uid               types.UID
	key, action       types.NamespacedName
	execution, itself string // IDs of the pipeline execution and the action execution
}

// group returns the jobs to look up, by asker and pipeline. It skips an action that was
// claimed less than an interval ago: it is in progress, or the answer to its report shows that
// it is not.
func (e *Executions) group(ctx context.Context, jobs []v1alpha1.PipelineJob) map[asker]map[string][]watched {
	groups := map[asker]map[string][]watched{}
	for i := range jobs {
		job := &jobs[i]
		since, of := job.Status.AcknowledgedAt, job.Spec.Pipeline
		if since == nil || e.Clock.Since(since.Time) < e.Interval || of.ActionExecutionID == "" || of.ExecutionID == "" {
			continue
		}
		id, err := e.Identities.OfNamespace(ctx, job)
		if err != nil {
			continue // the reconciler reports it
		}
		by := asker{id, job.Namespace}
		if groups[by] == nil {
			groups[by] = map[string][]watched{}
		}
		groups[by][of.Name] = append(groups[by][of.Name], watched{
			uid: job.UID, key: client.ObjectKeyFromObject(job), action: naming.ActionOf(job),
			execution: of.ExecutionID, itself: of.ActionExecutionID,
		})
	}
	return groups
}

// lookAll does the round of one asker.
func (e *Executions) lookAll(ctx context.Context, by asker, pipelines map[string][]watched) {
	var left []executionID
	jobs := map[executionID][]watched{}
	for pipeline, all := range pipelines {
		found, err := e.ask(ctx, by, func(ctx context.Context, api *codepipeline.Client) (map[string]string, error) {
			return api.LatestActionExecutions(ctx, pipeline)
		})
		if err != nil {
			e.failed(ctx, by, err, all)
			if ctx.Err() != nil || codepipeline.KindOf(err) == codepipeline.AccessDenied {
				return
			}
			continue
		}
		for _, job := range e.judge(found, all) {
			execution := executionID{by, pipeline, job.execution}
			jobs[execution] = append(jobs[execution], job)
		}
	}
	left = e.longestAgo(slices.Collect(maps.Keys(jobs)))
	for _, execution := range left[:min(byIDs, len(left))] {
		found, err := e.ask(ctx, by, func(ctx context.Context, api *codepipeline.Client) (map[string]string, error) {
			return api.ListActionExecutions(ctx, execution.pipeline, execution.execution)
		})
		e.mark(execution)
		if err != nil {
			e.failed(ctx, by, err, jobs[execution])
			if ctx.Err() != nil {
				return
			}
			continue
		}
		e.judge(found, jobs[execution])
	}
}

// ask makes a call in the lane of the asker's identity, and waits for it.
func (e *Executions) ask(ctx context.Context, by asker, call func(context.Context, *codepipeline.Client) (map[string]string, error)) (found map[string]string, err error) {
	waited := e.Lanes.Do(ctx, lanes.Of(by.identity), by.namespace, operationExecutions, func(ctx context.Context) {
		var api *codepipeline.Client
		if api, err = e.AWS.For(ctx, by.identity); err == nil {
			found, err = call(ctx, api)
		}
	})
	if waited != nil {
		return nil, waited
	}
	return found, err
}

// judge records what CodePipeline answered for jobs. It returns the jobs that the answer does
// not contain.
func (e *Executions) judge(found map[string]string, jobs []watched) (unknown []watched) {
	for _, job := range jobs {
		status, known := found[job.itself]
		if !known {
			unknown = append(unknown, job)
			continue
		}
		if e.learn(job.uid, status) {
			e.Over(job.key)
		}
	}
	return unknown
}

// lastStatus is CodePipeline's last answer for an action.
type lastStatus struct {
	at time.Time
	// waits: the action is in progress.
	waits bool
	// unknown: CodePipeline does not know the action, or refused to answer.
	unknown bool
	// over: CodePipeline no longer waits for it.
	over bool
}

// learn records the status of an action execution. It reports whether the execution is over.
func (e *Executions) learn(job types.UID, status string) (over bool) {
	why := overBecause(status)
	e.mu.Lock()
	defer e.mu.Unlock()
	if why != "" {
		e.over[job] = why
		e.answers[job] = lastStatus{at: e.Clock.Now(), over: true}
		return true
	}
	e.answers[job] = lastStatus{at: e.Clock.Now(), waits: status == codepipeline.ActionInProgress, unknown: status == ""}
	return false
}

func (e *Executions) lastAnswer(job types.UID) lastStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answers[job]
}

// forgetJob drops what is known about a settled job. If there are no rounds, nothing else
// does.
func (e *Executions) forgetJob(job types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.over, job)
	delete(e.answers, job)
}

// operationExecutions is the call that looks up executions. It only reads.
const operationExecutions = "ListActionExecutions"

// askExecution asks CodePipeline for the state of a job's action.
func (r *Reconciler) askExecution(ctx context.Context, job *v1alpha1.PipelineJob) error {
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return fmt.Errorf("ask whether CodePipeline still waits for the action: %w", err)
	}
	of := job.Spec.Pipeline
	found, err := api.ListActionExecutions(ctx, of.Name, of.ExecutionID)
	if err != nil && codepipeline.KindOf(err) != codepipeline.Refused { // refused if the pipeline is gone
		return fmt.Errorf("ask whether CodePipeline still waits for the action: %w", err)
	}
	r.Executions.learn(job.UID, found[of.ActionExecutionID])
	return nil
}

// Why CodePipeline no longer waits for a stopped action.
const (
	closedByAbandon = "the pipeline execution was stopped and its actions were abandoned"
	closedByUpdate  = "the pipeline was changed while the action ran, which cancelled the execution"
)

// overBecause returns why an action with this status is over. It is empty if the action is not
// over.
func overBecause(status string) string {
	switch status {
	case "", codepipeline.ActionInProgress:
		return ""
	case codepipeline.ActionAbandoned:
		return closedByAbandon
	default:
		return fmt.Sprintf("CodePipeline says that the action is %s: it timed out, or someone else ended it", status)
	}
}

// failed handles a call that failed. A missing permission is reported in an event; anything
// else is tried again in the next round.
func (e *Executions) failed(ctx context.Context, by asker, cause error, jobs []watched) {
	if ctx.Err() != nil {
		return
	}
	e.Log.Info("Could not look for stopped executions", "action", jobs[0].action, "error", cause.Error())
	if codepipeline.KindOf(cause) != codepipeline.AccessDenied {
		return
	}
	e.denied.Set(by, nil, deniedFor)
	action := &v1alpha1.CustomAction{}
	if err := e.Reader.Get(ctx, jobs[0].action, action); err != nil {
		return // it is gone
	}
	e.Events.Eventf(action, nil, corev1.EventTypeWarning, v1alpha1.ReasonAccessDenied, "WatchExecutions", "%s", limits.CutBytes(
		"The operator can't detect stopped executions before their jobs end: codepipeline:ListActionExecutions is not allowed: "+cause.Error(), limits.EventNote))
}

// closed returns why CodePipeline no longer waits for a job. It is empty if CodePipeline waits
// or if that is unknown.
func (e *Executions) closed(job *v1alpha1.PipelineJob) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over[job.UID]
}

// begin reports whether an asker may start a round.
func (e *Executions) begin(by asker) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, denied := e.denied.Get(by); denied || e.asking[by] {
		return false
	}
	e.asking[by] = true
	return true
}

func (e *Executions) end(by asker) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.asking, by)
}

// longestAgo sorts executions by when they were last looked up by ID. Those never looked up
// come first.
func (e *Executions) longestAgo(executions []executionID) []executionID {
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.SortFunc(executions, func(a, b executionID) int {
		return cmp.Or(e.askedAt[a].Compare(e.askedAt[b]), cmp.Compare(a.execution, b.execution))
	})
	return executions
}

func (e *Executions) mark(execution executionID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.askedAt[execution] = e.Clock.Now()
}

// forget drops what is known about jobs that are settled or gone.
func (e *Executions) forget(unsettled []v1alpha1.PipelineJob) {
	jobs, executions := map[types.UID]bool{}, map[string]bool{}
	for i := range unsettled {
		jobs[unsettled[i].UID] = true
		executions[unsettled[i].Spec.Pipeline.ExecutionID] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.over, func(uid types.UID, _ string) bool { return !jobs[uid] })
	maps.DeleteFunc(e.answers, func(uid types.UID, _ lastStatus) bool { return !jobs[uid] })
	maps.DeleteFunc(e.askedAt, func(of executionID, _ time.Time) bool { return !executions[of.execution] })
}
