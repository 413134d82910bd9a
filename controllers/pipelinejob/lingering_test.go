package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestPodThatLingers: a run gave its result, but a container that a webhook added keeps its
// pod running.
func TestPodThatLingers(t *testing.T) {
	for name, c := range map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"the result is recorded":                     {[]change{working, gave}, stepRecordResult, 0},
		"it is reported immediately":                 {[]change{working, gave, complete}, stepReport, 0},
		"it is reported, and the pod continues":      {[]change{working, gave, complete, reported}, stepWait, 30 * time.Second},
		"with a time to live":                        {[]change{working, gave, complete, reported, ttl(time.Hour)}, stepWait, 30 * time.Second},
		"the pod continues for long":                 {[]change{working, gave, complete, reported, finishedAgo(30 * time.Second)}, stepStopRun, 0},
		"not reported for long":                      {[]change{working, gave, complete, finishedAgo(30 * time.Second)}, stepStopRun, 0},
		"it ends by itself":                          {[]change{working, gave, complete, reported, ended}, stepWait, 0},
		"deleted in the meantime":                    {[]change{working, gave, complete, reported, deleting}, stepStopRun, 0},
		"a continuation token is recorded":           {[]change{working, gave, token}, stepReport, 0},
		"a continuation token is reported":           {[]change{working, gave, token, delivered}, stepWait, 30 * time.Second},
		"it is reported, and the pod stays":          {[]change{working, gave, token, delivered, finishedAgo(time.Minute)}, stepStopRun, 0},
		"the next run is due while the pod works":    {[]change{working, gave, token, delivered, continued, acknowledged, tokenUsed}, stepStopRun, 0},
		"the next run is due when the pod is ending": {[]change{working, gave, token, delivered, continued, acknowledged, tokenUsed, jobDeleting}, stepPlanRun, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := stateAfter(c.history)
			next, wait := decide(s)
			g.Expect(next).To(Equal(c.want))
			g.Expect(wait).To(Equal(c.wait))
		})
	}
}

// gave ends the report container while the Job continues.
func gave(s *state) { s.outcome = diagnosis.Outcome{Result: &podcontract.RunResult{}} }

func finishedAgo(ago time.Duration) change {
	return func(s *state) { s.job.Status.Run.FinishedAt = &metav1.Time{Time: noon.Add(-ago)} }
}

// TestProgressOfADeletedPodIsSaved: it is saved once, and only for a pod that is being
// deleted.
func TestProgressOfADeletedPodIsSaved(t *testing.T) {
	said := func(s *state) {
		s.outcome.Said = &podcontract.Progress{Summary: "3 tests failed"}
		s.pods = []corev1.Pod{{}}
	}
	leaving := func(s *state) { s.pods[0].DeletionTimestamp = &metav1.Time{Time: noon} }
	kept := func(s *state) {
		s.job.Status.ExecutionDetails = withProgress(s.job.Status.ExecutionDetails, *s.outcome.Said)
	}
	for name, c := range map[string]struct {
		history []change
		want    step
	}{
		"the pod stays":            {[]change{working, said}, stepWait},
		"the pod is being deleted": {[]change{working, said, leaving}, stepSaveProgress},
		"it is already saved":      {[]change{working, said, leaving, kept}, stepWait},
		"the run has ended":        {[]change{working, said, leaving, vanished}, stepRecordLost},
	} {
		t.Run(name, func(t *testing.T) {
			next, _ := decide(stateAfter(c.history))
			NewWithT(t).Expect(next).To(Equal(c.want))
		})
	}
}
