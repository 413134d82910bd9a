package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestDeletionWaitsForHandOuts: a deletion waits only a few minutes for settled, unconfirmed jobs to
// be handed out again.
func TestDeletionWaitsForHandOuts(t *testing.T) {
	now := time.Now()
	settled := func(ago time.Duration) v1alpha1.PipelineJob {
		job := v1alpha1.PipelineJob{}
		job.Status.Protocol.ClaimUnconfirmed = true
		job.Settle(metav1.NewTime(now.Add(-ago)))
		return job
	}
	for name, c := range map[string]struct {
		jobs    []v1alpha1.PipelineJob
		leading time.Duration // since the operator became the leader
		want    time.Duration
	}{
		"no jobs":              {nil, time.Hour, 0},
		"a job in flight":      {[]v1alpha1.PipelineJob{{}}, time.Hour, 0},
		"just settled":         {[]v1alpha1.PipelineJob{settled(0)}, time.Hour, deletionGracePeriod},
		"the last of two":      {[]v1alpha1.PipelineJob{settled(time.Minute), settled(2 * time.Minute)}, time.Hour, deletionGracePeriod - time.Minute},
		"settled long ago":     {[]v1alpha1.PipelineJob{settled(time.Hour)}, 2 * time.Hour, 0},
		"no leader since then": {[]v1alpha1.PipelineJob{settled(time.Hour)}, time.Minute, deletionGracePeriod - time.Minute},
		"settled by a replica whose clock is fast": {[]v1alpha1.PipelineJob{settled(-time.Hour)}, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{Clock: clocktesting.NewFakePassiveClock(now), leadingSince: now.Add(-c.leading)}
			NewWithT(t).Expect(r.handOutsMayComeIn(c.jobs)).To(Equal(max(0, c.want)))
		})
	}
}
