package pipelinejob

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stypes "k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

func TestRetries(t *testing.T) {
	g := NewWithT(t)
	var r retries
	job, claim := k8stypes.NamespacedName{Name: "work-1"}, attempt{stepAcknowledge, 1}
	g.Expect(r.wait(job, claim, noon)).To(BeZero())
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		r.fail(job, claim, errWrite, noon)
		g.Expect(r.wait(job, claim, noon)).To(Equal(want))
		g.Expect(r.wait(job, claim, noon.Add(want))).To(BeZero())
	}
	for range 100 {
		r.fail(job, claim, errWrite, noon)
	}
	g.Expect(r.wait(job, claim, noon)).To(Equal(time.Minute))
	g.Expect(r.wait(job, attempt{stepAcknowledge, 2}, noon)).To(BeZero(), "a new nonce")
	g.Expect(r.wait(job, attempt{stepCancel, 1}, noon)).To(BeZero(), "another step")
	g.Expect(r.wait(k8stypes.NamespacedName{Name: "work-2"}, claim, noon)).To(BeZero(), "another job")
	r.succeed(job, stepCancel)
	g.Expect(r.wait(job, claim, noon)).To(Equal(time.Minute), "another step succeeded")
	r.succeed(job, stepAcknowledge)
	g.Expect(r.wait(job, claim, noon)).To(BeZero())
	g.Expect(r.failed).To(BeEmpty())
	r.fail(job, claim, errWrite, noon)
	r.forget(job)
	g.Expect(r.failed).To(BeEmpty())
}

// TestSinceWhenAStepFails has a step fail for a while, and again much later.
func TestSinceWhenAStepFails(t *testing.T) {
	g := NewWithT(t)
	var r retries
	job, claim := k8stypes.NamespacedName{Name: "work-1"}, attempt{stepAcknowledge, 1}
	g.Expect(r.failing(job, noon)).To(BeEmpty())
	r.fail(job, claim, errWrite, noon)
	r.fail(job, attempt{stepReport, 1}, errWrite, noon.Add(time.Second))
	r.fail(job, attempt{stepAcknowledge, 2}, errWrite, noon.Add(time.Minute))
	g.Expect(r.failing(job, noon)).To(Equal(map[step]time.Time{stepAcknowledge: noon, stepReport: noon.Add(time.Second)}))
	later := noon.Add(time.Hour)
	g.Expect(r.failing(job, later)).To(BeEmpty(), "it was not retried")
	r.fail(job, claim, errWrite, later)
	g.Expect(r.failing(job, later)).To(HaveKeyWithValue(stepAcknowledge, later))
	g.Expect(r.wait(job, claim, later)).To(Equal(time.Second))
	full := apierrors.NewForbidden(schema.GroupResource{}, "it", errors.New("exceeded quota: team"))
	r.fail(job, claim, full, later.Add(time.Minute))
	g.Expect(r.failsFor(job, stepAcknowledge, full, later.Add(time.Minute))).To(BeZero(), "in another way")
	r.fail(job, claim, full, later.Add(2*time.Minute))
	g.Expect(r.failsFor(job, stepAcknowledge, full, later.Add(2*time.Minute))).To(Equal(time.Minute))
	g.Expect(r.failsFor(job, stepAcknowledge, errWrite, later.Add(2*time.Minute))).To(BeZero())
	g.Expect(r.failing(job, later.Add(2*time.Minute))).To(HaveKeyWithValue(stepAcknowledge, later), "in any way")
}

// TestFailedCallIsNotRepeatedAtOnce: recording a failed call changes the object, which
// triggers a reconcile. That must not repeat the call.
func TestFailedCallIsNotRepeatedAtOnce(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.Expect(p.aws.Inject(emulator.Fault{Operation: operationAcknowledge, Kind: emulator.ServerError, Probability: 1})).To(Succeed())
	p.start(nil)
	p.poll(nil)
	request := requestFor(p.pipelineJob().Name)
	for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
		_, err := p.operator.advanceInLane(p.ctx, request.NamespacedName, takerAccount)
		p.Expect(err).To(HaveOccurred())
		tries := p.pipelineJob().Status.Protocol.Call.Tries
		for range 3 {
			p.Expect(p.operator.advanceInLane(p.ctx, request.NamespacedName, takerAccount)).To(Equal(ctrl.Result{RequeueAfter: wait}))
		}
		p.Expect(p.pipelineJob().Status.Protocol.Call.Tries).To(Equal(tries))
		p.clock.Step(wait)
	}
}

// TestRefusedRoleIsShown has the operator's flags refuse the role of a job that they allowed
// when it was recorded. Each step that calls AWS must say so.
func TestRefusedRoleIsShown(t *testing.T) {
	cases := map[string]struct {
		record    func(*v1alpha1.PipelineJobStatus)
		condition string
		step      step
	}{
		"the claim":  {func(*v1alpha1.PipelineJobStatus) {}, v1alpha1.ConditionAcknowledged, stepAcknowledge},
		"the report": {func(*v1alpha1.PipelineJobStatus) {}, v1alpha1.ConditionReported, stepReport},
		"the progress": {func(status *v1alpha1.PipelineJobStatus) {
			status.Protocol.Progress = &v1alpha1.ProgressReport{RecordedAt: metav1.Now(), ContinuationToken: "t"}
		}, v1alpha1.ConditionReported, stepReportProgress},
		"the credentials": {func(status *v1alpha1.PipelineJobStatus) {
			status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1"}
		}, v1alpha1.ConditionRunning, stepRenewSecret},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
				account.Spec.RoleARN = "arn:aws:iam::111122223333:role/other"
				harness.InUse(account, w.Namespace)
			})
			job := w.recorded(c.record)
			r := w.reconciler()
			r.AWS = codepipeline.NewClients(codepipeline.ClientsOptions{AllowedRoles: []string{"arn:aws:iam::111122223333:role/ours"}}, w.Cloud()...)
			w.Expect(r.take(w.Ctx, c.step, state{job: job}, nil)).NotTo(Succeed())
			said := meta.FindStatusCondition(w.PipelineJob(w).Status.Conditions, c.condition)
			w.Expect(said).NotTo(BeNil())
			w.Expect(said.Status).To(Equal(metav1.ConditionFalse))
			w.Expect(said.Reason).To(Equal(v1alpha1.ReasonRetrying))
			w.Expect(said.Message).To(ContainSubstring("--allowed-roles"))

			written := w.PipelineJob(w)
			w.Expect(r.take(w.Ctx, c.step, state{job: written.DeepCopy()}, nil)).NotTo(Succeed())
			w.Expect(w.PipelineJob(w).ResourceVersion).To(Equal(written.ResourceVersion), "it is recorded once")
		})
	}
}
