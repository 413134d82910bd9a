package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestActionThatTakesLong: CodePipeline's timeout can be raised, and it is not documented
// whether a continuation restarts it.
func TestActionThatTakesLong(t *testing.T) {
	known := func(s *state) { s.job.Spec.Pipeline.ExecutionID, s.job.Spec.Pipeline.ActionExecutionID = "e", "a" }
	said := func(status lastStatus, ago time.Duration) change {
		return func(s *state) {
			status.at = noon.Add(-ago)
			s.answered = status
		}
	}
	polled := func(s *state) { s.job.Spec.CodePipelineJob.PolledAt = &metav1.Time{Time: noon.Add(-26 * time.Hour)} }
	long := claimedAgo(26 * time.Hour)
	for name, c := range map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"not too long":                            {[]change{known, working, claimedAgo(24 * time.Hour)}, stepWait, time.Hour},
		"too long":                                {[]change{known, working, long}, stepAskExecution, 0},
		"CodePipeline waits for it":               {[]change{known, working, long, said(lastStatus{waits: true}, 10*time.Minute)}, stepWait, 50 * time.Minute},
		"CodePipeline waited for it an hour ago":  {[]change{known, working, long, said(lastStatus{waits: true}, time.Hour)}, stepAskExecution, 0},
		"CodePipeline does not know it":           {[]change{known, working, long, said(lastStatus{unknown: true}, 0)}, stepRecordClosed, 0},
		"asking fails for long":                   {[]change{known, working, long, failing(stepAskExecution, time.Hour)}, stepRecordClosed, 0},
		"asking fails for now":                    {[]change{known, working, long, failing(stepAskExecution, 59*time.Minute)}, stepAskExecution, 0},
		"an execution without an ID":              {[]change{working, long}, stepRecordClosed, 0},
		"it is deleted":                           {[]change{known, working, long, deleting}, stepRecordClosed, 0},
		"it was never claimed":                    {[]change{known, polled}, stepRecordClosed, 0},
		"it is over":                              {[]change{known, working, long, said(lastStatus{waits: true}, 0), closed}, stepRecordClosed, 0},
		"its result is due, and it is waited for": {[]change{known, working, ended, complete, long, said(lastStatus{waits: true}, 0)}, stepReport, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			next, wait := decide(stateAfter(c.history))
			g.Expect(next).To(Equal(c.want))
			g.Expect(wait).To(Equal(c.wait))
		})
	}
}
