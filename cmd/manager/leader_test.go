package main

import (
	"flag"
	"testing"

	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestLeaderElection(t *testing.T) {
	cases := map[string]struct {
		args []string
		err  string
	}{
		"the defaults":           {nil, ""},
		"shorter":                {[]string{"--leader-elect-lease-duration=8s", "--leader-elect-renew-deadline=3s", "--leader-elect-retry-period=1s"}, ""},
		"no pause between tries": {[]string{"--leader-elect-retry-period=0"}, "--leader-elect-retry-period is 0s: it must be more than 0"},
		"a deadline of one try": {[]string{"--leader-elect-renew-deadline=2s"},
			"--leader-elect-renew-deadline is 2s: it must be more than 1.2 times --leader-elect-retry-period (2s)"},
		"a lease that ends too soon after the leader's last write": {[]string{"--leader-elect-lease-duration=14s"},
			"--leader-elect-lease-duration is 14s: it must be at least 5s more than --leader-elect-renew-deadline (10s)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var l leaderElection
			flags := flag.NewFlagSet("manager", flag.ContinueOnError)
			l.bind(flags)
			g.Expect(flags.Parse(c.args)).To(Succeed())
			if c.err != "" {
				g.Expect(l.check()).To(MatchError(c.err))
				return
			}
			g.Expect(l.check()).To(Succeed())
			var o ctrl.Options
			l.apply(&o)
			g.Expect(o.LeaderElection).To(BeFalse(), "it is asked for")
			g.Expect(*o.LeaseDuration).To(Equal(l.leaseDuration))
		})
	}
}
