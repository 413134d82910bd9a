package scope

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
)

const (
	// checkInterval is the time between two checks of the missing namespaces.
	checkInterval = 15 * time.Second
	// leastRun is how long the operator runs before it restarts for a namespace. So a user
	// who can revoke and grant the operator's rights in a namespace can't stop it for
	// others.
	leastRun = 2 * time.Minute
)

// Waiter waits for namespaces in which the operator can't work yet. It is a manager's
// Runnable, also in replicas that don't lead: each has its own cache.
//
// The namespaces of a cache can't change, and it is complete before the first object is
// reconciled. So the operator adds a namespace by a restart.
type Waiter struct {
	Kube  kubernetes.Interface
	Clock clock.Clock
	Log   logr.Logger
	// Waiting are as in Scope.Waiting.
	Waiting map[string]string
	// Restart ends the operator, so that it is restarted.
	Restart func()
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Waiter) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (w *Waiter) Start(ctx context.Context) error {
	for name, obstacle := range w.Waiting {
		w.tell(name, obstacle)
	}
	metrics.NamespacesWaiting(len(w.Waiting))
	started := w.Clock.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Clock.After(checkInterval):
		}
		if opened := w.look(ctx); len(opened) > 0 && w.Clock.Since(started) >= leastRun {
			w.Log.Info("Restarting to work in namespaces that are now ready", "namespaces", opened)
			w.Restart()
			return nil
		}
	}
}

// look returns the namespaces in which the operator could work by now.
func (w *Waiter) look(ctx context.Context) []string {
	found, err := Examine(ctx, w.Kube, slices.Sorted(maps.Keys(w.Waiting)))
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Info("Could not examine the missing namespaces", "reason", err.Error())
		}
		return nil
	}
	for name, obstacle := range found.Waiting {
		if w.Waiting[name] != obstacle {
			w.Waiting[name] = obstacle
			w.tell(name, obstacle)
		}
	}
	return found.Open
}

func (w *Waiter) tell(name, obstacle string) {
	w.Log.Info("Not working in a namespace of --namespaces: create it, and apply the Role and RoleBinding of config/namespaced/namespace to it",
		"namespace", name, "reason", obstacle)
}
