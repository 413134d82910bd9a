package operator

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestOnlyTheLeaderShowsAnInventory(t *testing.T) {
	found := make(chan prometheus.Metric, 1)
	collector{elected: make(chan struct{})}.Collect(found) // not elected: it must not read, because there is no cache
	NewWithT(t).Expect(found).To(BeEmpty())
}

func TestTally(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	job := func(name string, age time.Duration, change func(*v1alpha1.PipelineJob)) v1alpha1.PipelineJob {
		made := v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "team", CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		made.Spec.ActionRef.Name = name
		if change != nil {
			change(&made)
		}
		return made
	}
	awaits := func(j *v1alpha1.PipelineJob) {
		j.Spec.CodePipelineJob.ID, j.Status.Protocol.ReportedJobID, j.Status.ContinuationToken = "1", "1", "token"
	}
	g.Expect(tally([]v1alpha1.PipelineJob{
		job("a", time.Minute, nil), job("a", time.Hour, awaits), job("b", time.Second, nil),
	}, now)).To(Equal(map[types.NamespacedName]counted{
		{Namespace: "team", Name: "a"}: {inFlight: 2, slots: 1, oldest: time.Hour},
		{Namespace: "team", Name: "b"}: {inFlight: 1, slots: 1, oldest: time.Second},
	}))
}
