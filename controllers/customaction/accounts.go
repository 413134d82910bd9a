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

// accounts remembers which account each identity has, as AWS says, and the failures to
// find it out. The zero value is ready for use.
type accounts struct {
	mu     sync.Mutex
	known  map[codepipeline.Identity]string
	failed map[codepipeline.Identity]failure
}

// failure is the last failure to find out the account of an identity.
type failure struct {
	text string
	at   time.Time
}

// accountAnswer is what is known of the account of an identity.
type accountAnswer struct {
	// account is empty while it is not known.
	account string
	// failed is why it could not be found out; empty before there is an answer.
	failed string
}

// of is what is known of the account of an identity. ask reports whether AWS is to be
// asked; the last failure holds until there is another answer.
func (a *accounts) of(id codepipeline.Identity, now time.Time) (found accountAnswer, ask bool) {
	if account := id.Account(); account != "" {
		return accountAnswer{account: account}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if account, known := a.known[id]; known {
		return accountAnswer{account: account}, false
	}
	last, failed := a.failed[id]
	return accountAnswer{failed: last.text}, !failed || now.Sub(last.at) >= lastRetry
}

func (a *accounts) record(id codepipeline.Identity, account string, err error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known, a.failed = map[codepipeline.Identity]string{}, map[codepipeline.Identity]failure{}
	}
	maps.DeleteFunc(a.failed, func(_ codepipeline.Identity, last failure) bool { return now.Sub(last.at) >= DriftInterval })
	if err != nil {
		a.failed[id] = failure{codepipeline.StableText(err), now}
		return
	}
	a.known[id] = account
}

// relation tells if two actions are of one account.
type relation int

const (
	otherAccount relation = iota
	sameAccount
	// unclearAccount: AWS does not say. The two may take the same jobs.
	unclearAccount
	// askedAccount: AWS is being asked for the first time.
	askedAccount
)

// compareAccounts finds out whether two actions are of one account, and why that is not
// clear. If AWS is to be asked, action is reconciled after that.
func (r *Reconciler) compareAccounts(ctx context.Context, action, other *v1alpha1.CustomAction) (_ relation, why string) {
	if action.Spec.AWS.RoleARN == other.Spec.AWS.RoleARN {
		return sameAccount, ""
	}
	answers := []accountAnswer{r.accountOf(ctx, action, action), r.accountOf(ctx, action, other)}
	for _, answer := range answers {
		switch {
		case answer.account != "":
		case answer.failed == "":
			return askedAccount, ""
		default:
			return unclearAccount, answer.failed
		}
	}
	if answers[0] == answers[1] {
		return sameAccount, ""
	}
	return otherAccount, ""
}

// accountOf is what is known of the account of an object. While AWS does not say, that
// of its action type counts: an outage of GetCallerIdentity must not stop polling after
// the operator was restarted.
func (r *Reconciler) accountOf(ctx context.Context, action, of *v1alpha1.CustomAction) accountAnswer {
	id := r.identity(of)
	found, ask := r.accounts.of(id, r.Clock.Now())
	if ask {
		r.askInLane(ctx, action, id)
	}
	if found.account == "" {
		found.account = recordedAccount(of)
	}
	return found
}

// recordedAccount is the account of the action type by the object's status; empty if it
// has none, or of another spec.aws.
func recordedAccount(action *v1alpha1.CustomAction) string {
	if !isRegistered(action) {
		return ""
	}
	return codepipeline.AccountOf(action.Status.ActionTypeARN)
}

// askInLane asks AWS for the account of an identity, and has action reconciled
// afterwards.
func (r *Reconciler) askInLane(ctx context.Context, action *v1alpha1.CustomAction, id codepipeline.Identity) {
	type lookup struct {
		id    codepipeline.Identity
		asked flight
	}
	name, log := client.ObjectKeyFromObject(action), logf.FromContext(ctx)
	r.Lanes.Submit(lanes.Of(id), lanes.Call{ID: lookup{id, flight(name)}, Namespace: name.Namespace, Operation: "GetCallerIdentity", Do: func(ctx context.Context) {
		defer r.again(name)
		if _, ask := r.accounts.of(id, r.Clock.Now()); !ask {
			return // it was asked for meanwhile
		}
		account, err := r.askAccount(ctx, id)
		if err != nil {
			log.Info("The account of an identity is not known", "error", err.Error())
		}
		r.accounts.record(id, account, err, r.Clock.Now())
	}})
}

func (r *Reconciler) askAccount(ctx context.Context, id codepipeline.Identity) (string, error) {
	api, err := r.AWS.For(ctx, id)
	if err != nil {
		return "", err
	}
	_, account, err := api.Account(ctx)
	return account, err
}
