package customaction

import (
	"context"
	"maps"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// accounts remembers which account each identity has, as AWS says, and when it did not
// say. The zero value is ready for use.
type accounts struct {
	mu     sync.Mutex
	known  map[codepipeline.Identity]string
	failed map[codepipeline.Identity]time.Time
}

// of is the account of an identity; empty if AWS did not say lately. known is false if
// AWS is to be asked.
func (a *accounts) of(id codepipeline.Identity, now time.Time) (account string, known bool) {
	if account = id.Account(); account != "" {
		return account, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if account, known = a.known[id]; known {
		return account, true
	}
	_, known = a.failed[id]
	if since := a.failed[id]; known && now.Sub(since) < lastRetry {
		return "", true
	}
	return "", false
}

func (a *accounts) record(id codepipeline.Identity, account string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known, a.failed = map[codepipeline.Identity]string{}, map[codepipeline.Identity]time.Time{}
	}
	maps.DeleteFunc(a.failed, func(_ codepipeline.Identity, since time.Time) bool { return now.Sub(since) >= lastRetry })
	if account == "" {
		a.failed[id] = now
		return
	}
	a.known[id] = account
}

// sameAccount reports whether two actions are of one account. When AWS does not say,
// they count as different: neither can be polled then. known is false while AWS is
// being asked: action is reconciled again after that.
func (r *Reconciler) sameAccount(ctx context.Context, action, other *v1alpha1.CustomAction) (same, known bool) {
	if action.Spec.AWS.RoleARN == other.Spec.AWS.RoleARN {
		return true, true
	}
	a, aKnown := r.accountOf(ctx, action, r.identity(action))
	b, bKnown := r.accountOf(ctx, action, r.identity(other))
	return a != "" && a == b, aKnown && bKnown
}

// accountOf is the account of an identity. If it is not known it is asked for, and
// action is reconciled afterwards.
func (r *Reconciler) accountOf(ctx context.Context, action *v1alpha1.CustomAction, id codepipeline.Identity) (account string, known bool) {
	if account, known = r.accounts.of(id, r.Clock.Now()); known {
		return account, true
	}
	type lookup struct {
		id    codepipeline.Identity
		asked flight
	}
	name, log := client.ObjectKeyFromObject(action), logf.FromContext(ctx)
	r.Lanes.Submit(lanes.Of(id), lanes.Call{ID: lookup{id, flight(name)}, Operation: "GetCallerIdentity", Do: func(ctx context.Context) {
		defer r.again(name)
		if _, known := r.accounts.of(id, r.Clock.Now()); known {
			return // it was asked for meanwhile
		}
		r.accounts.record(id, r.askAccount(logf.IntoContext(ctx, log), id), r.Clock.Now())
	}})
	return "", false
}

func (r *Reconciler) askAccount(ctx context.Context, id codepipeline.Identity) string {
	api, err := r.AWS.For(ctx, id)
	account := ""
	if err == nil {
		_, account, err = api.Account(ctx)
	}
	if err != nil {
		logf.FromContext(ctx).Info("The account of an identity is not known", "error", err.Error())
	}
	return account
}
