//go:build bench

package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// steps are the times from when a job is available to each step of the operator.
type steps struct {
	// polled is the time to the poll that handed out the job, recorded to the creation of its
	// PipelineJob, claimed to AcknowledgeJob, and created to the creation of its Kubernetes Job.
	polled, recorded, claimed, created []time.Duration
}

// idle measures single jobs, each after the end of the previous one. CodePipeline's events wake up
// the operator, not the polling interval.
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
		// Don't load the API server until the end is near.
		w.Eventually(func() int { return len(w.aws.Journal("PutJobSuccessResult")) }).
			WithTimeout(testTimeout).WithPolling(20 * time.Millisecond).Should(Equal(i + 1))
		w.await(func(g Gomega) { g.Expect(w.reportedJobs()).To(Equal(i + 1)) })
	}
	return w.steps(began, jobs)
}

// quiet is the minimum time since the last poll: the operator polls when a slot becomes free, and
// then waits a while before the next poll.
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

// steps returns the times of jobs that ran one after another.
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

// calls returns the times of an operation's calls.
func (w *world) calls(operation string) []time.Time {
	var times []time.Time
	for _, call := range w.aws.Journal(operation) {
		times = append(times, call.Time)
	}
	return times
}
