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
	// deniedFor is how long it is not tried again after the permission was missing.
	deniedFor = 30 * time.Minute
	// byIDs is how many executions that are not among the latest of their pipeline are
	// asked for in a round of one asker.
	byIDs = 60
	// roundTimeout bounds a round of one asker.
	roundTimeout = 10 * time.Minute
)

// Executions asks CodePipeline, in rounds, what became of the actions that jobs work
// for: a stopped execution, or an action that timed out, shows nowhere else. It is a
// manager.Runnable. A round has one call for each pipeline, which brings its latest
// actions, and a bounded number of calls for those that are not among them: the ones
// that were asked for longest ago. That an action is not among the answers says
// nothing.
type Executions struct {
	ExecutionsOptions

	mu sync.Mutex
	// over has why CodePipeline no longer waits for a job, by the UIDs of the
	// PipelineJobs that were looked at in the last round.
	over map[types.UID]string
	// answers has the last status of those that are not over.
	answers map[types.UID]lastStatus
	// askedAt is when an execution was asked for by its ID.
	askedAt map[executionID]time.Time
	// denied has, for as long as deniedFor, those who had no permission, and asking those
	// whose round is under way.
	denied *cache.Expiring
	asking map[asker]bool
	rounds sync.WaitGroup
}

// ExecutionsOptions are what Executions need.
type ExecutionsOptions struct {
	// Jobs are read from the cache, by Unsettled.
	Reader client.Reader
	// Unsettled selects the PipelineJobs that are not settled.
	Unsettled client.ListOption
	AWS       *codepipeline.Clients
	Lanes     *lanes.Lanes
	// Interval is the time between two rounds; zero: there is none.
	Interval time.Duration
	Clock    clock.Clock
	// Identities are as whom calls are made.
	Identities identity.Resolver
	Events     events.EventRecorder
	Log        logr.Logger
	// Over is called for a PipelineJob that CodePipeline no longer waits for.
	Over func(types.NamespacedName)
}

// NewExecutions returns Executions of which nothing is known yet.
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

// asker is for whom executions are asked for: the jobs of a namespace that have an identity
// in common. What is wrong with those of one, such as a pipeline that the operator may not
// ask for, or thousands of them, must not keep the stops of another from being noticed.
type asker struct {
	identity  codepipeline.Identity
	namespace string
}

// NeedLeaderElection makes the manager start the rounds on the leader alone.
func (e *Executions) NeedLeaderElection() bool { return true }

// Start begins a round at each interval, with jitter, until ctx ends.
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
			e.Log.Error(err, "Stopped executions are not looked for in this round")
		}
	}
}

// round looks at all jobs that are worked on. Askers do not wait for each other: one whose
// last round has not ended is left out.
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

// watched is a PipelineJob that is worked on.
type watched struct {
	uid               types.UID
	key, action       types.NamespacedName
	execution, itself string // IDs of the pipeline execution and the action execution
}

// group has the jobs to ask for by asker and pipeline. An action that was claimed
// less than an interval ago is in progress, or its report tells.
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
			continue // the reconciler says so
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

// lookAll is the round of one asker.
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

// ask makes a call in the lane of an asker's identity, and waits for it.
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

// judge takes over what CodePipeline says of jobs. It returns those of which it says
// nothing.
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

// lastStatus is what CodePipeline said of an action that it may still wait for.
type lastStatus struct {
	at time.Time
	// waits: the action is in progress.
	waits bool
	// unknown: CodePipeline does not know the action, or refuses to tell.
	unknown bool
	// over: CodePipeline no longer waits for it.
	over bool
}

// learn records the status of an action execution. It reports whether the execution is
// over.
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

// forgetJob drops what is known of a settled job. If there are no rounds, nothing else does.
func (e *Executions) forgetJob(job types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.over, job)
	delete(e.answers, job)
}

// operationExecutions is the call that asks for executions. It only reads.
const operationExecutions = "ListActionExecutions"

// askExecution asks what became of a job's action.
func (r *Reconciler) askExecution(ctx context.Context, job *v1alpha1.PipelineJob) error {
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return fmt.Errorf("ask whether CodePipeline still waits for the action: %w", err)
	}
	of := job.Spec.Pipeline
	found, err := api.ListActionExecutions(ctx, of.Name, of.ExecutionID)
	if err != nil && codepipeline.KindOf(err) != codepipeline.Refused { // it is refused if the pipeline is gone
		return fmt.Errorf("ask whether CodePipeline still waits for the action: %w", err)
	}
	r.Executions.learn(job.UID, found[of.ActionExecutionID])
	return nil
}

// Why CodePipeline no longer waits for an action that was stopped.
const (
	closedByAbandon = "the pipeline execution was stopped and its actions were abandoned"
	closedByUpdate  = "the pipeline was changed while the action ran, which cancelled the execution"
)

// overBecause says why an action of this status is over; empty if it is not.
func overBecause(status string) string {
	switch status {
	case "", codepipeline.ActionInProgress:
		return ""
	case codepipeline.ActionAbandoned:
		return closedByAbandon
	default:
		return fmt.Sprintf("CodePipeline says that the action is %s: it timed out, or was ended from elsewhere", status)
	}
}

// failed takes note of a call that failed. That the permission is missing is told, once
// in a while; anything else is tried again in the next round.
func (e *Executions) failed(ctx context.Context, by asker, cause error, jobs []watched) {
	if ctx.Err() != nil {
		return
	}
	e.Log.Info("Stopped executions can't be noticed", "action", jobs[0].action, "error", cause.Error())
	if codepipeline.KindOf(cause) != codepipeline.AccessDenied {
		return
	}
	e.denied.Set(by, nil, deniedFor)
	action := &v1alpha1.CustomAction{}
	if err := e.Reader.Get(ctx, jobs[0].action, action); err != nil {
		return // it is gone
	}
	e.Events.Eventf(action, nil, corev1.EventTypeWarning, v1alpha1.ReasonAccessDenied, "WatchExecutions", "%s", limits.CutBytes(
		"Stopped executions are not noticed before their jobs end: codepipeline:ListActionExecutions is not allowed: "+cause.Error(), limits.EventNote))
}

// closed is why CodePipeline no longer waits for a job; empty when it does, and when
// that is not known.
func (e *Executions) closed(job *v1alpha1.PipelineJob) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over[job.UID]
}

// begin reports whether a round of an asker may begin.
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

// longestAgo sorts executions by when they were asked for by ID, never first.
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

// forget drops what is known of jobs that are settled or gone.
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
