package integration

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestBlackHoledLanesHoldUpNoOther: claims in twenty regions get no response, and there are far
// more of them than the operator has workers. Meanwhile, a job of another region completes,
// including the registration of its type.
func TestBlackHoledLanesHoldUpNoOther(t *testing.T) {
	t.Parallel()
	const regions, each = 20, 3
	w := newWorld(t)
	w.adjust = append(w.adjust, func(o *operator.Options) {
		o.AWSTimeouts = codepipeline.Timeouts{Attempt: time.Hour, Call: time.Hour, Listing: time.Hour}
	})
	// Calls are only made for a namespace with an action, and in the regions of its account.
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		for region := range regions {
			account.Spec.Regions = append(account.Spec.Regions, v1alpha1.Region(fmt.Sprintf("xx-hole-%d", region)))
		}
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(named("hole"), func(a *v1alpha1.CustomAction) {
		a.Spec.ActionType.Provider, a.Spec.Registration, a.Spec.Region = "hole", v1alpha1.RegistrationExternal, "us-east-1"
	}))).To(Succeed())
	for region := range regions {
		name := fmt.Sprintf("xx-hole-%d", region)
		w.Expect(w.AWS.Inject(emulator.Fault{Operation: emulator.AnyOperation, Region: name, Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
		for n := range each {
			w.Expect(w.Kube.Create(w.Ctx, w.polledJob(name, region*each+n))).To(Succeed())
		}
	}
	stop := w.operate()
	w.Await(func(g Gomega) { g.Expect(w.hanging()).To(Equal(regions*each), "all hang at the same time") })

	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.Region = "us-east-1" }))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Await(func(g Gomega) { g.Expect(w.Jobs(g)).To(HaveLen(1)) })
	job := w.Jobs(w)[0]
	w.Succeed(&job, podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1)) })
	w.Expect(w.hanging()).To(Equal(regions*each), "none was given up and tried again")
	w.Expect(w.AWS.Close()).To(Succeed())
	stop()
}

// polledJob returns a PipelineJob as recorded by the poller.
func (w *world) polledJob(region string, number int) *v1alpha1.PipelineJob {
	now := metav1.Now()
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: fmt.Sprintf("hole-%d", number)}}
	job.Spec.ActionRef.Name, job.Spec.AccountRef.Name, job.Spec.Region = "hole", w.Namespace, v1alpha1.Region(region)
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", number), Nonce: "1", PolledAt: &now}
	return job
}

// hanging counts the claims without a response.
func (w *world) hanging() (count int) {
	for _, call := range w.AWS.Journal("AcknowledgeJob") {
		if call.Fault == emulator.BlackHole {
			count++
		}
	}
	return count
}
