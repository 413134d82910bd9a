package main

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

func TestLimitsOfArtifactsBecomeArgumentsOfTheRunner(t *testing.T) {
	cases := map[string]struct {
		size           string
		entries, ratio int
		want           []string
		err            string
	}{
		"the default":      {"0", 0, 0, nil, ""},
		"all":              {"100Gi", 7, 300, []string{"--max-bytes=107374182400", "--max-entries=7", "--max-ratio=300"}, ""},
		"one":              {"0", 0, 1, []string{"--max-ratio=1"}, ""},
		"a negative size":  {"-1", 0, 0, nil, "--artifact-max-size is -1: it must be 0 or more"},
		"a negative count": {"0", -5, 0, nil, "--artifact-max-entries is -5: it must be 0 or more"},
		"a negative ratio": {"0", 0, -1, nil, "--artifact-max-ratio is -1: it must be 0 or more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			limits := artifactLimits{entries: c.entries, ratio: c.ratio}
			g.Expect(limits.size.Set(c.size)).To(Succeed())
			args, err := limits.args()
			if c.err != "" {
				g.Expect(err).To(MatchError(c.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(args).To(Equal(c.want))
		})
	}
}

func TestFlagsThatBreakARule(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*options)
		err    string
	}{
		"a renewal that is too seldom": {func(o *options) { o.renewal = time.Hour }, "--credentials-renewal is 1h0m0s: it must be from 5s to 10m"},
		"less than no jobs":            {func(o *options) { o.maxConcurrentJobs = -1 }, "--max-concurrent-jobs is -1: it must be 0 or more"},
		"no call in flight":            {func(o *options) { o.lanes.InFlight = 0 }, "--aws-max-in-flight is 0: it must be from 1 to 1000"},
		"no time for actions":          {func(o *options) { o.actionTimeout = time.Minute }, "--action-timeout is 1m0s: it must be 1h or more"},
		"no rate":                      {func(o *options) { o.lanes.Ceiling = 0 }, "--aws-max-rate is 0: it must be from 1 to 10000"},
		"no worker":                    {func(o *options) { o.workers = 0 }, "--concurrent-reconciles is 0: it must be from 1 to 1000"},
		"too many workers":             {func(o *options) { o.workers = 1001 }, "--concurrent-reconciles is 1001: it must be from 1 to 1000"},
		"no external ID":               {func(o *options) { o.clusterID = "two words" }, `--cluster-id is "two words": it may have up to 1000 letters`},
		"a workspace below nothing": {func(o *options) { o.workspaceSizeLimit.Quantity = resource.MustParse("-1Gi") },
			"--workspace-size-limit is -1Gi: it must be 0 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := options{
				renewal: pipelinejob.DefaultRenewal, actionTimeout: pipelinejob.DefaultActionTimeout, lanes: lanes.Options{InFlight: 1, Ceiling: 1}, workers: 1,
			}
			g.Expect(o.check()).To(Succeed())
			c.change(&o)
			g.Expect(o.check()).To(MatchError(HavePrefix(c.err)))
		})
	}
}
