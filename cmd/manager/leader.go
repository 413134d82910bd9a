package main

import (
	"flag"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
)

// leaderElectionID is the name of the lease that the leader holds.
const leaderElectionID = "pipelinejob-operator.codepipeline.pipelinejob.dev"

// leaderElection has the flags of leader election, with the names and defaults of Kubernetes
// components.
type leaderElection struct {
	elect                               bool
	namespace                           string
	leaseDuration, renewDeadline, retry time.Duration
}

func (l *leaderElection) bind(flags *flag.FlagSet) {
	flags.BoolVar(&l.elect, "leader-elect", false, "Elect a leader: one of several replicas works, and the others are on standby.")
	flags.StringVar(&l.namespace, "leader-elect-resource-namespace", "", "Namespace of the lease (default: that of the operator's pod).")
	flags.DurationVar(&l.leaseDuration, "leader-elect-lease-duration", 15*time.Second,
		"Time after which another replica takes the lease of a leader that does not renew it.")
	flags.DurationVar(&l.renewDeadline, "leader-elect-renew-deadline", 10*time.Second,
		"Time after which a leader that could not renew its lease stops.")
	flags.DurationVar(&l.retry, "leader-elect-retry-period", 2*time.Second, "Time between two tries to get or renew the lease.")
}

// jitter is the largest factor by which client-go's leader election multiplies the retry period.
const jitter = 1.2

// check refuses values that leader election does not accept, and a lease that another replica could
// take over earlier than the leader assumes after its last write.
func (l *leaderElection) check() error {
	switch {
	case l.retry <= 0:
		return fmt.Errorf("--leader-elect-retry-period is %s: it must be more than 0", l.retry)
	case float64(l.renewDeadline) <= jitter*float64(l.retry):
		return fmt.Errorf("--leader-elect-renew-deadline is %s: it must be more than %g times --leader-elect-retry-period (%s)", l.renewDeadline, jitter, l.retry)
	case l.leaseDuration-l.renewDeadline < pipelinejob.Takeover:
		return fmt.Errorf("--leader-elect-lease-duration is %s: it must be at least %s more than --leader-elect-renew-deadline (%s)", l.leaseDuration, pipelinejob.Takeover, l.renewDeadline)
	}
	return nil
}

// apply sets the options of a manager.
func (l *leaderElection) apply(o *ctrl.Options) {
	o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = l.elect, leaderElectionID, l.namespace
	o.LeaderElectionReleaseOnCancel = true
	o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = &l.leaseDuration, &l.renewDeadline, &l.retry
}
