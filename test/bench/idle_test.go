//go:build bench

package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// steps are the times from a job's being available to what is done with it.
type steps struct {
	// polled is the poll that handed it out, recorded its PipelineJob, claimed its
	// acknowledgement, and created its Kubernetes Job.
	polled, recorded, claimed, created []time.Duration
}

// idle measures single jobs, each after the end of the one before. They are not polled for by
// the clock: CodePipeline's events wake the operator up.
func idle(t *testing.T, jobs int) steps {
	w := newWorld(t, time.Hour, true)
	for i := range jobs {
		w.addPipeline(fmt.Sprintf("p%d", i))
	}
	w.resume()
	began := time.Now()
	for i := range jobs {
		w.awaitQuiet()
		w.startPipeline(fmt.Sprintf("p%d", i))
		// The API server is left alone until the end is near.
		w.Eventually(func() int { return len(w.aws.Journal("PutJobSuccessResult")) }).
			WithTimeout(testTimeout).WithPolling(20 * time.Millisecond).Should(Equal(i + 1))
		w.await(func(g Gomega) { g.Expect(w.reportedJobs()).To(Equal(i + 1)) })
	}
	return w.steps(began, jobs)
}

// quiet is how long ago the last poll must be: a slot that comes free has the operator poll, and
// two polls are a while apart.
const quiet = 300 * time.Millisecond

func (w *world) awaitQuiet() {
	w.Eventually(func() time.Duration {
		polls := w.calls("PollForJobs")
		if len(polls) == 0 {
			return 0
		}
		return time.Since(polls[len(polls)-1])
	}).WithTimeout(testTimeout).WithPolling(20 * time.Millisecond).Should(BeNumerically(">=", quiet))
}

// steps reads the times of jobs that came one after another.
func (w *world) steps(began time.Time, jobs int) (s steps) {
	available, claims, polls := w.calls("StartPipelineExecution"), w.calls("AcknowledgeJob"), w.calls("PollForJobs")
	requests := w.audit.requests(w.WithT, userOperator, began, time.Now())
	records, creations := answered(requests, "create pipelinejobs"), answered(requests, "create jobs")
	for _, times := range [][]time.Time{available, claims, records, creations} {
		w.Expect(times).To(HaveLen(jobs), "one of each for a job")
	}
	for i, at := range available {
		last, _ := slices.BinarySearchFunc(polls, records[i], time.Time.Compare)
		w.Expect(last).To(BeNumerically(">", 0))
		s.polled = append(s.polled, polls[last-1].Sub(at))
		s.recorded = append(s.recorded, records[i].Sub(at))
		s.claimed = append(s.claimed, claims[i].Sub(at))
		s.created = append(s.created, creations[i].Sub(at))
	}
	return s
}

// calls returns when the calls of an operation were done.
func (w *world) calls(operation string) []time.Time {
	var times []time.Time
	for _, call := range w.aws.Journal(operation) {
		times = append(times, call.Time)
	}
	return times
}
