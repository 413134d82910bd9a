package account

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// TestJobsThatUseAnAccount: a settled job uses its account for as long as CodePipeline may hand out
// the job again.
func TestJobsThatUseAnAccount(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	settled := func(job *v1alpha1.PipelineJob, ago time.Duration, unconfirmed bool) {
		job.Settle(metav1.NewTime(now.Add(-ago)))
		job.Status.Protocol.ClaimUnconfirmed = unconfirmed
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.PipelineJob)
		uses   bool
	}{
		"in flight":                  {func(*v1alpha1.PipelineJob) {}, true},
		"settled":                    {func(job *v1alpha1.PipelineJob) { settled(job, time.Minute, false) }, false},
		"settled, unconfirmed":       {func(job *v1alpha1.PipelineJob) { settled(job, time.Minute, true) }, true},
		"settled long ago, the same": {func(job *v1alpha1.PipelineJob) { settled(job, 2*time.Hour, true) }, false},
		"of another account":         {func(job *v1alpha1.PipelineJob) { job.Spec.AccountRef.Name = "other" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
			job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "job"}}
			job.Spec.AccountRef.Name, job.Spec.Region = "a", "us-east-1"
			c.change(job)
			account := &v1alpha1.CodePipelineAccount{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
			account.Spec.Regions = []v1alpha1.Region{"us-east-1"}
			account.Status.Namespaces = []string{"n"}
			r := &Reconciler{
				Client: fake.NewClientBuilder().WithScheme(scheme).
					WithIndex(&v1alpha1.CustomAction{}, identity.IndexAccount, identity.ByAccount).
					WithIndex(&v1alpha1.PipelineJob{}, identity.IndexAccount, identity.ByAccount).
					WithObjects(job, account).Build(),
				Clock:         clocktesting.NewFakePassiveClock(now),
				ActionTimeout: time.Hour,
			}
			used, err := r.usage(t.Context(), account)
			g.Expect(err).NotTo(HaveOccurred())
			if c.uses {
				g.Expect(used.jobs).NotTo(BeEmpty())
			} else {
				g.Expect(used.jobs).To(BeEmpty())
			}
		})
	}
}
