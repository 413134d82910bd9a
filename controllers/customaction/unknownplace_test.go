package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestJobOfWhichThePlaceIsNotKnown has an action have a job whose AWS account CodePipeline did not
// tell, or that was recorded before its queryParam was. It keeps the place from the action that the
// tags name, whose polls would bring the job's continuation.
func TestJobOfWhichThePlaceIsNotKnown(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PipelineJob){
		"all is known": func(*v1alpha1.PipelineJob) {},
		"no account":   func(j *v1alpha1.PipelineJob) { j.Spec.AccountID = "" },
		"no query":     func(j *v1alpha1.PipelineJob) { j.Spec.QueryParam = nil },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			account := harness.NewAccount("team")
			harness.InUse(account, "team")
			of := func(name string) *v1alpha1.CustomAction {
				return harness.NewAction("team", func(a *v1alpha1.CustomAction) {
					a.Name, a.UID = name, types.UID(name)
					a.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": "web"}
				})
			}
			one, two := of("one"), of("two")
			job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one-1"}}
			job.Spec.ActionRef.Name, job.Spec.AccountRef.Name, job.Spec.AccountID, job.Spec.Region = "one", "team", "111122223333", "us-east-1"
			job.Spec.QueryParam = map[string]v1alpha1.QueryValue{"Target": "web"}
			change(job)
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
			kube := fake.NewClientBuilder().WithScheme(scheme).
				WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).
				WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
				WithObjects(account, one, two, job, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}).Build()
			r := &Reconciler{Client: kube, Clock: clock.RealClock{}, Poller: &poller.Poller{KeepFor: time.Hour, Clock: clock.RealClock{}}}
			target := poller.Target{Account: "team", AccountID: "111122223333", QueryKey: "Target", QueryValue: "web"}
			target.Identity.Region = "us-east-1"
			g.Expect(target.HandsOut(job)).To(BeTrue(), "polls of the owner bring the job")
			taken, err := r.takenBefore(t.Context(), standing{CustomAction: two, owns: true}, place{"111122223333", "us-east-1", "Target=web"}, func(standing) bool { return true })
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(taken.err).To(HaveOccurred(), "the job is not reported")
		})
	}
}
