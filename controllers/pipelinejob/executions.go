package pipelinejob

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// Executions asks CodePipeline, at an interval, for the state of the actions of
// pipeline executions: a stopped execution, or an action that timed out, shows
// nowhere else. One call serves all jobs of an execution. It is safe for concurrent
// use.
type Executions struct {
	aws *codepipeline.Clients
	// interval is the time between two calls for an execution; zero: none is made.
	interval time.Duration
	clock    clock.PassiveClock

	mu     sync.Mutex
	known  map[executionID]*executionState
	denied map[codepipeline.Identity]time.Time
}

// NewExecutions returns Executions that asks for each pipeline execution at most
// once per interval. With an interval of zero it never asks.
func NewExecutions(aws *codepipeline.Clients, interval time.Duration, clock clock.PassiveClock) *Executions {
	return &Executions{
		aws: aws, interval: interval, clock: clock,
		known: map[executionID]*executionState{}, denied: map[codepipeline.Identity]time.Time{},
	}
}

type executionID struct {
	identity            codepipeline.Identity
	pipeline, execution string
}

// executionState is what is known of an execution.
type executionState struct {
	mu sync.Mutex // held while CodePipeline is asked
	// askedAt is when it was asked last; of a new one, when it became known: an
	// action that has just been claimed is in progress.
	askedAt time.Time
	actions map[string]string // statuses by action execution ID
}

// deniedFor is how long an identity without the permission is not tried again.
const deniedFor = 30 * time.Minute

// closed says why CodePipeline no longer waits for a job, empty when it does or
// when that is not known, and when to ask again (zero: never). first is an error
// to tell, once: the permission is missing.
func (e *Executions) closed(ctx context.Context, id codepipeline.Identity, job *v1alpha1.PipelineJob) (why string, again time.Duration, first error) {
	action := job.Spec.Pipeline.ActionExecutionID
	if e.interval <= 0 || action == "" || job.Spec.Pipeline.ExecutionID == "" || e.isDenied(id) {
		return "", 0, nil
	}
	state := e.state(executionID{id, job.Spec.Pipeline.Name, job.Spec.Pipeline.ExecutionID})
	state.mu.Lock()
	defer state.mu.Unlock()
	if left := state.askedAt.Add(e.interval).Sub(e.clock.Now()); left > 0 {
		return state.why(action), left, nil
	}
	actions, err := e.ask(ctx, id, job)
	state.askedAt = e.clock.Now()
	if err != nil {
		return "", e.interval, e.deny(id, err)
	}
	state.actions = actions
	return state.why(action), e.interval, nil
}

func (e *Executions) ask(ctx context.Context, id codepipeline.Identity, job *v1alpha1.PipelineJob) (map[string]string, error) {
	api, err := e.aws.For(ctx, id)
	if err != nil {
		return nil, err
	}
	return api.ListActionExecutions(ctx, job.Spec.Pipeline.Name, job.Spec.Pipeline.ExecutionID)
}

// closedByAbandon is why an abandoned action is over.
const closedByAbandon = "the pipeline execution was stopped and its actions were abandoned"

// why an action is over, as CodePipeline sees it.
func (s *executionState) why(action string) string {
	switch status := s.actions[action]; status {
	case "", codepipeline.ActionInProgress:
		return ""
	case codepipeline.ActionAbandoned:
		return closedByAbandon
	default:
		return fmt.Sprintf("CodePipeline says that the action is %s: it timed out, or was ended from elsewhere", status)
	}
}

// state is that of an execution; those that nobody asked for in a while are
// forgotten.
func (e *Executions) state(id executionID) *executionState {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	if known, ok := e.known[id]; ok {
		return known
	}
	for other, state := range e.known {
		if state.mu.TryLock() {
			if now.Sub(state.askedAt) > 10*e.interval {
				delete(e.known, other)
			}
			state.mu.Unlock()
		}
	}
	e.known[id] = &executionState{askedAt: now}
	return e.known[id]
}

func (e *Executions) isDenied(id codepipeline.Identity) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	since, ok := e.denied[id]
	return ok && e.clock.Since(since) < deniedFor
}

// deny remembers that the permission is missing. It returns the error when that
// was not known.
func (e *Executions) deny(id codepipeline.Identity, cause error) error {
	if codepipeline.KindOf(cause) != codepipeline.AccessDenied {
		return nil // it is tried again
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, told := e.denied[id]
	e.denied[id] = e.clock.Now()
	if told {
		return nil
	}
	return cause
}
