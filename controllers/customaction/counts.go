package customaction

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// tally is the part of a status that changes with each job or poll.
type tally struct {
	inFlight int32
	// lastPoll is zero if it is not known.
	lastPoll time.Time
}

// set writes the tally to a status, which has whole seconds only. The time never goes back.
func (t tally) set(status *v1alpha1.CustomActionStatus) {
	status.JobsInFlight = t.inFlight
	last := metav1.NewTime(t.lastPoll).Rfc3339Copy()
	if before := status.LastPollTime; !t.lastPoll.IsZero() && (before == nil || before.Before(&last)) {
		status.LastPollTime = &last
	}
}

// counts has the time of the last write of each CustomAction's status. The zero value is ready
// for use.
type counts struct {
	mu sync.Mutex
	at map[types.NamespacedName]time.Time
}

// wait returns how long to wait before a status may be written in which only the tally differs.
func (c *counts) wait(action types.NamespacedName, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[action].Add(countEvery).Sub(now)
}

func (c *counts) written(action types.NamespacedName, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[types.NamespacedName]time.Time{}
	}
	c.at[action] = now
}

func (c *counts) forget(action types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at, action)
}
