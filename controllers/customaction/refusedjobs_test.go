package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// TestRefusedJobsDoNotBegetExaminations has jobs refused although the dry run succeeds. Without a
// limit, examinations would follow one another immediately: for a second per job, or for as long as
// the clocks of two replicas differ.
func TestRefusedJobsDoNotBegetExaminations(t *testing.T) {
	for name, c := range map[string]struct {
		skew  time.Duration // of the clock of the replica that wrote the condition
		every time.Duration // the time between two refused jobs
		span  time.Duration
	}{
		"one job":                         {0, time.Hour, 10 * time.Second},
		"a job each second, for a minute": {0, time.Second, time.Minute},
		"another replica's clock is fast": {30 * time.Second, time.Hour, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clock := clocktesting.NewFakeClock(time.Now().Truncate(time.Second))
			r := &Reconciler{Clock: clock, Lanes: lanes.New(lanes.Options{Clock: clock})}
			action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "1", Generation: 1}}
			r.examinations.record(action, clock.Now(), clock.Now(), examined{})
			began, examinations := clock.Now(), 0
			job := v1alpha1.PipelineJob{}
			refusedAt := func(at time.Time) {
				job.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionRunning, Status: metav1.ConditionFalse,
					Reason: v1alpha1.ReasonPodRefused, LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))}}
			}
			refusedAt(began.Add(c.skew))
			next := began.Add(c.every)
			for clock.Since(began) < c.span {
				if !clock.Now().Before(next) {
					refusedAt(clock.Now())
					next = next.Add(c.every)
				}
				r.recheckRefused(action, []v1alpha1.PipelineJob{job}) // as in Reconcile, which runs after each examination
				if _, _, wait := r.examinations.of(action, clock.Now()); wait <= 0 {
					examinations++
					at := clock.Now()
					clock.Step(100 * time.Millisecond) // the duration of ListActionTypes and two dry runs
					r.examinations.record(action, at, clock.Now(), examined{})
					continue
				}
				clock.Step(100 * time.Millisecond)
			}
			g.Expect(examinations).To(BeNumerically("<=", 4), "in %s", c.span)
		})
	}
}
