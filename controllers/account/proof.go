package account

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// Delays after a failure to prove an account, from a second to a minute, without a limit of
// attempts, and after a proof, because a role may be revoked later.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	proveAgain = 10 * time.Minute
)

// proof is the response of AWS about an account.
type proof struct {
	// generation and roleARN of the request.
	generation int64
	roleARN    string
	// accountID is from GetCallerIdentity. It is empty if the call failed.
	accountID string
	// reason and failed describe the failure.
	reason, failed string
	failures       int
	due            time.Time
}

// proofs has the last response about each account. The zero value is ready for use.
type proofs struct {
	mu    sync.Mutex
	known map[string]proof
}

// of returns the proof of an account and how long to wait before the next request. Zero or less
// means now.
func (p *proofs) of(account *v1alpha1.CodePipelineAccount, now time.Time) (proof, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.known[account.Name]
	if !ok || last.generation != account.Generation {
		return proof{}, 0
	}
	return last, last.due.Sub(now)
}

// record stores a response.
func (p *proofs) record(account *v1alpha1.CodePipelineAccount, id string, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := proof{generation: account.Generation, roleARN: account.Spec.RoleARN, accountID: id, due: now.Add(proveAgain)}
	if err != nil {
		before := p.known[account.Name]
		found.failures = before.failures + 1
		found.reason, found.failed = reasonOf(err), codepipeline.StableText(err)
		found.due = now.Add(min(firstRetry<<min(before.failures, 10), lastRetry))
	}
	if p.known == nil {
		p.known = map[string]proof{}
	}
	p.known[account.Name] = found
}

func reasonOf(err error) string {
	if reason := identity.ReasonOf(err); reason != "" {
		return reason
	}
	return v1alpha1.ReasonAWSUnavailable
}

func (p *proofs) forget(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, account)
}

// flight is the ID of a lane's call for an account.
type flight string

// proveInLane requests the account's ID from AWS and then queues the account for reconciliation, so
// that no worker waits for AWS.
func (r *Reconciler) proveInLane(ctx context.Context, account *v1alpha1.CodePipelineAccount) {
	id, copied, log := r.identity(account, account.Spec.Regions[0]), account.DeepCopy(), logf.FromContext(ctx)
	r.Lanes.Submit(lanes.Of(id), lanes.Call{ID: flight(account.Name), Operation: "GetCallerIdentity", Do: func(ctx context.Context) {
		defer r.again(copied.Name)
		accountID, err := r.ask(ctx, id)
		if err != nil {
			log.Info("AWS did not return the ID of an account", "error", err.Error())
		}
		r.proofs.record(copied, accountID, err, r.Clock.Now())
	}})
}

func (r *Reconciler) ask(ctx context.Context, id codepipeline.Identity) (string, error) {
	api, err := r.AWS.For(ctx, id)
	if err != nil {
		return "", err
	}
	return api.AskAccount(ctx)
}

// again queues an account for reconciliation.
func (r *Reconciler) again(name string) {
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
}

// counts has the time of the last write of each account's status. The zero value is
// ready for use.
type counts struct {
	mu sync.Mutex
	at map[string]time.Time
}

// wait returns how long to wait before a status may be written in which only the number of
// actions differs.
func (c *counts) wait(account string, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[account].Add(countEvery).Sub(now)
}

func (c *counts) written(account string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[string]time.Time{}
	}
	c.at[account] = now
}

func (c *counts) forget(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at, account)
}
