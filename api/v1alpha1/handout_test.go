package v1alpha1

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMayBeHandedOut(t *testing.T) {
	now := time.Now()
	const actionTimeout = time.Hour
	for name, c := range map[string]struct {
		settled     bool
		unconfirmed bool
		ago         time.Duration // since it settled
		want, atAll bool
	}{
		"not settled":                            {want: true, atAll: true},
		"settled":                                {settled: true},
		"settled, and nothing is confirmed":      {settled: true, unconfirmed: true, want: true, atAll: true},
		"settled before the action's time is up": {settled: true, unconfirmed: true, ago: actionTimeout - 1, want: true, atAll: true},
		"settled for longer than actions last":   {settled: true, unconfirmed: true, ago: actionTimeout, atAll: true},
	} {
		t.Run(name, func(t *testing.T) {
			g, job := NewWithT(t), &PipelineJob{}
			job.Spec.CodePipelineJob.ID, job.Status.Protocol.ReportedJobID = "1", "1"
			job.Status.Protocol.ClaimUnconfirmed = c.unconfirmed
			if c.settled {
				job.Settle(metav1.NewTime(now.Add(-c.ago)))
			}
			g.Expect(job.MayBeHandedOut()).To(Equal(c.atAll))
			g.Expect(job.MayBeHandedOutAt(now, actionTimeout)).To(Equal(c.want))
		})
	}
}
