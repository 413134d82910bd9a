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

// TestPodThatLingers: a run has given its result, and a container that a webhook has added
// keeps its pod from ending.
func TestPodThatLingers(t *testing.T) {
	for name, c := range map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"the result is taken":                        {[]change{working, gave}, stepRecordResult, 0},
		"it is reported at once":                     {[]change{working, gave, complete}, stepReport, 0},
		"it is reported, and the pod goes on":        {[]change{working, gave, complete, reported}, stepWait, 30 * time.Second},
		"with a time to live":                        {[]change{working, gave, complete, reported, ttl(time.Hour)}, stepWait, 30 * time.Second},
		"it goes on for long":                        {[]change{working, gave, complete, reported, finishedAgo(30 * time.Second)}, stepStopRun, 0},
		"it is not reported for long":                {[]change{working, gave, complete, finishedAgo(30 * time.Second)}, stepStopRun, 0},
		"it ends by itself":                          {[]change{working, gave, complete, reported, ended}, stepWait, 0},
		"deleted meanwhile":                          {[]change{working, gave, complete, reported, deleting}, stepStopRun, 0},
		"a token is recorded":                        {[]change{working, gave, token}, stepReport, 0},
		"a token is reported":                        {[]change{working, gave, token, delivered}, stepWait, 30 * time.Second},
		"a token is reported, and the pod stays":     {[]change{working, gave, token, delivered, finishedAgo(time.Minute)}, stepStopRun, 0},
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

// gave has the report container end while the Job does not.
func gave(s *state) { s.outcome = diagnosis.Outcome{Result: &podcontract.RunResult{}} }

func finishedAgo(ago time.Duration) change {
	return func(s *state) { s.job.Status.Run.FinishedAt = &metav1.Time{Time: noon.Add(-ago)} }
}

// TestWhatADeletedPodSaidIsKept once, and only of a pod that is about to go.
func TestWhatADeletedPodSaidIsKept(t *testing.T) {
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
		"the pod stays":     {[]change{working, said}, stepWait},
		"the pod is to go":  {[]change{working, said, leaving}, stepSaveProgress},
		"it is kept":        {[]change{working, said, leaving, kept}, stepWait},
		"the run has ended": {[]change{working, said, leaving, vanished}, stepRecordLost},
	} {
		t.Run(name, func(t *testing.T) {
			next, _ := decide(stateAfter(c.history))
			NewWithT(t).Expect(next).To(Equal(c.want))
		})
	}
}
