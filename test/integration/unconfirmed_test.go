package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// handOutAfter sets when CodePipeline hands out unclaimed jobs again, in tests of settled jobs:
// after the changes of their action. It is in real time.
func handOutAfter(o *emulator.Options) { o.RedispatchAfter = 12 * time.Second }

// passing moves the clock, which bounds the wait of deletions, not much faster than real time.
const passing = 100 * time.Millisecond

// workUnclaimed runs a job of which CodePipeline has neither the claim nor, later, the report: the
// first claim has no effect and no response, and the responses to the second claim and to the
// report look as if the first one had taken effect.
func (w *world) workUnclaimed(report string) {
	w.T.Helper()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("all")))).To(Succeed())
	w.awaitRegistration()
	for _, fault := range []emulator.Fault{
		{Operation: "AcknowledgeJob", Kind: emulator.ServerError, Times: 1},
		{Operation: "AcknowledgeJob", Kind: emulator.ModelledError, Code: "InvalidNonceException", Times: 1},
		{Operation: report, Kind: emulator.ModelledError, Code: "JobNotFoundException", Times: 1},
	} {
		w.Expect(w.AWS.Inject(fault)).To(Succeed())
	}
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Await(func(g Gomega) {
		w.Clock.Step(100 * time.Millisecond)
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
}

// finishUnconfirmed ends the work of workUnclaimed.
func (w *world) finishUnconfirmed() {
	w.T.Helper()
	w.Succeed(w.RunningJob(1), podcontract.Result{Summary: "finished"})
	w.awaitUnconfirmed()
}

func (w *world) awaitUnconfirmed() {
	w.T.Helper()
	w.Await(func(g Gomega) {
		job := w.PipelineJob(g)
		g.Expect(job.Settled()).To(BeTrue())
		g.Expect(job.Status.Protocol.ClaimUnconfirmed).To(BeTrue())
	})
}

// awaitFinished waits until CodePipeline has the result of finishUnconfirmed.
func (w *world) awaitFinished() {
	w.T.Helper()
	w.Await(func(g Gomega) {
		w.Clock.Step(passing)
		g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("finished"))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(1), "the work is not done again")
}

// TestUnconfirmedResultIsReportedWhateverBecomesOfItsAction: CodePipeline has confirmed nothing
// about a settled job. Its action moves, loses its grant or is deleted before the job is handed out
// again.
func TestUnconfirmedResultIsReportedWhateverBecomesOfItsAction(t *testing.T) {
	for name, change := range map[string]func(*world){
		"another queryParam": func(w *world) {
			w.change(queried("some"))
			w.awaitPolling(And(ContainSubstring("the action has moved, and 1 of its jobs"), ContainSubstring("Target=all")))
		},
		"another AWS account": func(w *world) {
			w.change(w.ofOtherAccount(roleOf(roleElsewhere)))
			w.awaitPolling(ContainSubstring("the action has moved, and 1 of its jobs"))
		},
		"another region, and the account leaves the one of before": func(w *world) {
			w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = []v1alpha1.Region{"eu-west-1"} })
			w.awaitPolling(ContainSubstring("the action has moved, and 1 of its jobs"))
		},
		"no grant": func(w *world) {
			w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Grants = nil })
			w.readyReason("work", v1alpha1.ReasonAccessNotGranted)
		},
		"deleted": func(w *world) {
			w.Expect(w.Kube.Delete(w.Ctx, w.Action())).To(Succeed())
			w.readyReason("work", v1alpha1.ReasonDeleting)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, handOutAfter)
			w.workUnclaimed("PutJobSuccessResult")
			w.finishUnconfirmed()
			change(w)
			w.awaitFinished()
		})
	}
}

// TestUnconfirmedWorkIsNotDoneByAnotherAction: CodePipeline has confirmed nothing about a settled
// job. Its action moves away, while another action waits to take its place.
func TestUnconfirmedWorkIsNotDoneByAnotherAction(t *testing.T) {
	w := newWorld(t, handOutAfter)
	w.workUnclaimed("PutJobSuccessResult")
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("all"), named("two")))).To(Succeed())
	w.readyReason("two", v1alpha1.ReasonActionTypeTaken)
	w.finishUnconfirmed()
	w.change(queried("some"))
	w.awaitFinished()
	w.Expect(w.jobsIn(w, w.Namespace)).To(HaveLen(1), "it is not the other action's")
	w.changeNamed("two", labelled("again")) // the requeue is in real time
	w.readyReason("two", v1alpha1.ReasonReady)
}

// TestUnconfirmedCancellationOutlivesItsAction: a user deletes a CustomAction and its job, of which
// CodePipeline gets neither the claim nor the cancellation. The action is gone after the job was
// handed out again and failed.
func TestUnconfirmedCancellationOutlivesItsAction(t *testing.T) {
	w := newWorld(t, handOutAfter)
	w.workUnclaimed("PutJobFailureResult")
	w.RunningJob(1)
	w.Expect(w.Kube.Delete(w.Ctx, w.PipelineJob(w))).To(Succeed())
	w.Expect(w.Kube.Delete(w.Ctx, w.Action())).To(Succeed())
	w.awaitUnconfirmed()
	w.Await(func(g Gomega) {
		w.Clock.Step(passing)
		g.Expect(string(w.WorkState(g).Status)).To(Equal("Failed"))
	})
	w.Expect(w.Jobs(w)).To(BeEmpty(), "the work is not done again")
	w.awaitGone(w.Action())
}

// TestDeletionWaitsBrieflyForAHandOut: CodePipeline does not hand out the job again.
func TestDeletionWaitsBrieflyForAHandOut(t *testing.T) {
	w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	w.workUnclaimed("PutJobSuccessResult")
	w.finishUnconfirmed()
	w.Expect(w.Kube.Delete(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.readyReason("work", v1alpha1.ReasonDeleting)).To(Equal("being deleted: waiting for jobs that CodePipeline may hand out again, because it confirmed neither their claim nor a report"))
	w.Clock.Step(5 * time.Minute)
	w.Await(func(g Gomega) { // the requeue is in real time
		action := w.Action()
		g.Expect(client.IgnoreNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(Succeed())
		labelled("again")(action)
		g.Expect(client.IgnoreNotFound(w.Kube.Update(w.Ctx, action))).To(Succeed())
	})
	w.awaitGone(w.Action())
}
