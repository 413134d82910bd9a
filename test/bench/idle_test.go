//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// steps are the times from a job's being available to what is done with it.
type steps struct {
	// recorded is its PipelineJob, claimed its acknowledgement.
	recorded, claimed, created []time.Duration
}

// idle measures single jobs, each after the end of the one before. They are not polled for by
// the clock: CodePipeline's events wake the operator up.
func idle(t *testing.T, jobs int) steps {
	w := newWorld(t, time.Hour, true)
	for i := range jobs {
		w.addPipeline(fmt.Sprintf("p%d", i))
	}
	w.resume()
	w.await(func(g Gomega) { g.Expect(w.condition(v1alpha1.ConditionReady)).To(BeTrue()) })
	began := time.Now()
	for i := range jobs {
		w.startPipeline(fmt.Sprintf("p%d", i))
		// The API server is left alone until the end is near.
		w.Eventually(func() int { return len(w.aws.Journal("PutJobSuccessResult")) }).
			WithTimeout(patience).WithPolling(20 * time.Millisecond).Should(Equal(i + 1))
		w.await(func(g Gomega) { g.Expect(w.reportedJobs()).To(Equal(i + 1)) })
	}
	return w.steps(began, jobs)
}

// steps reads the times of jobs that came one after another.
func (w *world) steps(began time.Time, jobs int) (s steps) {
	var available, claims []time.Time
	for _, call := range w.aws.Journal("StartPipelineExecution", "AcknowledgeJob") {
		if call.Operation == "AcknowledgeJob" {
			claims = append(claims, call.Time)
			continue
		}
		var started struct{ Name string }
		w.Expect(json.Unmarshal(call.Request, &started)).To(Succeed())
		w.Expect(started.Name).To(Equal(fmt.Sprintf("p%d", len(available))))
		available = append(available, call.Time)
	}
	requests := w.audit.requests(w.WithT, userOperator, began, time.Now())
	records, creations := answered(requests, "create pipelinejobs"), answered(requests, "create jobs")
	for _, times := range [][]time.Time{available, claims, records, creations} {
		w.Expect(times).To(HaveLen(jobs), "one of each for a job")
	}
	for i, at := range available {
		s.recorded = append(s.recorded, records[i].Sub(at))
		s.claimed = append(s.claimed, claims[i].Sub(at))
		s.created = append(s.created, creations[i].Sub(at))
	}
	return s
}
