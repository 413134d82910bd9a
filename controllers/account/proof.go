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

// Waits after a failure to prove an account: from a second to a minute, without end; and
// after a proof, since a role may be taken away.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	proveAgain = 10 * time.Minute
)

// proof is what AWS told of an account.
type proof struct {
	// generation and roleARN are what was asked with.
	generation int64
	roleARN    string
	// accountID is what GetCallerIdentity told; empty if it did not.
	accountID string
	// reason and failed say why not.
	reason, failed string
	failures       int
	due            time.Time
}

// proofs remembers what AWS told of each account. The zero value is ready for use.
type proofs struct {
	mu    sync.Mutex
	known map[string]proof
}

// of is what is known of an account, and how long it is until AWS is to be asked: now if that
// is not positive.
func (p *proofs) of(account *v1alpha1.CodePipelineAccount, now time.Time) (proof, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.known[account.Name]
	if !ok || last.generation != account.Generation {
		return proof{}, 0
	}
	return last, last.due.Sub(now)
}

// record takes over an answer.
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

// flight names what a lane does for an account.
type flight string

// proveInLane asks AWS for the account's ID, and has the account reconciled afterwards: no
// worker waits for AWS.
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

// again has an account reconciled.
func (r *Reconciler) again(name string) {
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
}

// counts remembers when the status of each account was written last. The zero value is
// ready for use.
type counts struct {
	mu sync.Mutex
	at map[string]time.Time
}

// wait is how long it is until a status may be written in which only the number of actions
// differs.
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
