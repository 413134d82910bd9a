//go:build bench

package bench

import (
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// figures are what was measured of jobs from the first to the last.
type figures struct {
	jobs int
	took time.Duration
	// requests to the API server, by verb and resource.
	requests map[string]int
	// calls to AWS, by operation.
	calls map[string]int
	// cpu is the processor time of each process.
	cpu map[string]time.Duration
	// before and after are the memory of each process, peak the most that it ever had, in MiB.
	before, after, peak map[string]float64
	// waits are the times from a job's being available to its Kubernetes Job.
	waits []time.Duration
}

// measure runs begin, and measures until count has found the end of all jobs. The requests
// that are counted are those of user.
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

// countCalls counts the calls to AWS from a time on.
func (f *figures) countCalls(aws *emulator.Server, from time.Time) {
	f.calls = map[string]int{}
	for _, call := range aws.Journal() {
		if !call.Time.Before(from) {
			f.calls[call.Operation]++
		}
	}
}

// rate is in jobs a second.
func (f figures) rate() float64 { return float64(f.jobs) / f.took.Seconds() }

// processor is the processor time of all processes.
func (f figures) processor() time.Duration {
	var sum time.Duration
	for _, used := range f.cpu {
		sum += used
	}
	return sum
}

// cores is how many of the machine's cores were busy with it on average.
func (f figures) cores() float64 { return f.processor().Seconds() / f.took.Seconds() }
