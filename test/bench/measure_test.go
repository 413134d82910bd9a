//go:build bench

package bench

import (
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// figures are the measurements of a run.
type figures struct {
	jobs int
	took time.Duration
	// requests are the requests to the API server, by verb and resource.
	requests map[string]int
	// calls are the calls to AWS, by operation.
	calls map[string]int
	// cpu is the processor time of each process.
	cpu map[string]time.Duration
	// before and after are the memory of each process in MiB, and peak its maximum.
	before, after, peak map[string]float64
	// waits are the times from when a job is available to the creation of its Kubernetes Job.
	waits []time.Duration
}

// measure calls begin, and measures until count shows that all jobs have ended. It counts the
// requests of user.
func (c *cluster) measure(jobs int, user string, begin func(), count func() int) (f figures, began time.Time) {
	f = figures{jobs: jobs, requests: map[string]int{}, cpu: map[string]time.Duration{},
		before: map[string]float64{}, after: map[string]float64{}, peak: map[string]float64{}}
	earlier := map[string]usage{}
	for name, pid := range c.pids {
		earlier[name] = usageOf(c.WithT, pid)
	}
	began = time.Now()
	begin()
	ended := c.awaitAll(jobs, began, count)
	for name, pid := range c.pids {
		now := usageOf(c.WithT, pid)
		f.cpu[name] = now.cpu - earlier[name].cpu
		f.before[name], f.after[name], f.peak[name] = earlier[name].resident, now.resident, now.peak
	}
	f.took = ended.Sub(began)
	for _, r := range c.audit.requests(c.WithT, user, began, ended) {
		f.requests[r.kind()]++
	}
	return f, began
}

// countCalls counts the calls to AWS since a time.
func (f *figures) countCalls(aws *emulator.Server, from time.Time) {
	f.calls = map[string]int{}
	for _, call := range aws.Journal() {
		if !call.Time.Before(from) {
			f.calls[call.Operation]++
		}
	}
}

// rate returns jobs per second.
func (f figures) rate() float64 { return float64(f.jobs) / f.took.Seconds() }

// processor returns the processor time of all processes.
func (f figures) processor() time.Duration {
	var sum time.Duration
	for _, used := range f.cpu {
		sum += used
	}
	return sum
}

// cores returns how many cores were busy on average.
func (f figures) cores() float64 { return f.processor().Seconds() / f.took.Seconds() }
