package main

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// packages returns n import paths.
func packages(n int) map[string]bool {
	names := map[string]bool{}
	for i := range n {
		names[fmt.Sprint(i)] = true
	}
	return names
}

// compile compiles packages until done are compiled.
func (p *progress) compile(done int) {
	for name := range p.stale {
		if p.total-len(p.stale) >= done {
			return
		}
		p.compiled(name)
	}
}

func TestLineOfProgress(t *testing.T) {
	for name, c := range map[string]struct {
		done, total int
		elapsed     time.Duration
		line        string
	}{
		"the rate so far tells the rest":      {1200, 2700, 192 * time.Second, "compiled 1200/2700 packages, about 4 min left"},
		"the same packages in twice the time": {1200, 2700, 384 * time.Second, "compiled 1200/2700 packages, about 8 min left"},
		"the first seconds tell nothing":      {1200, 2700, estimateAfter - 1, "compiled 1200/2700 packages"},
		"no package tells nothing":            {0, 2700, time.Minute, "compiled 0/2700 packages"},
		"less than a minute is told in tens":  {2600, 2700, 17 * time.Minute, "compiled 2600/2700 packages, about 40 s left"},
		"almost a minute is one":              {2600, 2700, 26 * time.Minute, "compiled 2600/2700 packages, about 1 min left"},
		"the last seconds are not counted":    {2699, 2700, 10 * time.Minute, "compiled 2699/2700 packages, about 10 s left"},
		"all packages, but not the program":   {2700, 2700, 10 * time.Minute, "compiled 2700/2700 packages, linking"},
		"all packages are in the build cache": {0, 0, time.Second, "compiled 0/0 packages, linking"},
		"hours":                               {60, 2700, 10 * time.Minute, "compiled 60/2700 packages, about 440 min left"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			p := newProgress(packages(c.total), began)
			p.compile(c.done)
			NewWithT(t).Expect(p.line(began.Add(c.elapsed))).To(Equal(c.line))
		})
	}
}

func TestRateIsThatOfTheLastMinute(t *testing.T) {
	g, began := NewWithT(t), time.Now()
	p := newProgress(packages(1000), began)
	at := func(second, done int) string {
		p.compile(done)
		return p.line(began.Add(time.Duration(second) * time.Second))
	}
	g.Expect(at(60, 600)).To(HaveSuffix("600/1000 packages, about 40 s left"))
	g.Expect(at(90, 610)).To(HaveSuffix("about 1 min left"), "the window still has the quick minute")
	g.Expect(at(120, 620)).To(HaveSuffix("about 19 min left"), "20 packages in the last minute")
	for second := 130; second < 600; second += 10 {
		at(second, 620)
	}
	g.Expect(at(600, 620)).To(HaveSuffix("about 323 min left"), "10 packages in 510 seconds, though none in the last minute")
	g.Expect(at(610, 720)).To(HaveSuffix("about 23 min left"), "100 packages in 490 seconds")
	g.Expect(at(670, 820)).To(HaveSuffix("about 2 min left"), "100 packages in the last minute")
	g.Expect(p.samples).To(HaveLen(2), "older ones are forgotten")
}

func TestEachPackageIsCountedOnce(t *testing.T) {
	g := NewWithT(t)
	p := newProgress(map[string]bool{"fmt": true, "k8s.io/api/core/v1": true}, time.Now())
	g.Expect(p.compiled("# fmt")).To(BeFalse(), "the head of an error message")
	g.Expect(p.compiled("fmt")).To(BeTrue())
	g.Expect(p.compiled("fmt")).To(BeFalse())
	g.Expect(p.line(p.samples[0].at)).To(Equal("compiled 1/2 packages"))
}

func TestStalePackages(t *testing.T) {
	NewWithT(t).Expect(stalePackages("true fmt\nfalse unsafe\nfalse os\ntrue k8s.io/kubernetes/cmd/kubelet/app\n")).
		To(Equal(map[string]bool{"fmt": true, "k8s.io/kubernetes/cmd/kubelet/app": true}))
}
