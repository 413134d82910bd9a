package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// releaseAfter is how long a CustomAction keeps jobs that it can't take (docs/accounts.md).
const releaseAfter = 5 * time.Minute

// shareAll lists all values of the action type in a grant for a neighbour.
func (w *world) shareAll(neighbour string) {
	w.T.Helper()
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = append(account.Spec.Grants, shares(neighbour, "*"))
	})
}

// withoutGrant withdraws the first grant of the account and returns how to restore it.
func (w *world) withoutGrant() (restore func()) {
	w.T.Helper()
	var grants []v1alpha1.Grant
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		grants, account.Spec.Grants = account.Spec.Grants, account.Spec.Grants[1:]
	})
	return func() {
		w.T.Helper()
		w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.Grants = grants })
	}
}

// runningIn waits until the namespace has one PipelineJob, which runs, and returns its Job.
func (w *world) runningIn(namespace string) *batchv1.Job {
	w.T.Helper()
	job := &batchv1.Job{}
	w.Await(func(g Gomega) {
		of := w.jobsIn(g, namespace)
		g.Expect(of).To(HaveLen(1))
		g.Expect(of[0].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: namespace, Name: of[0].Status.Run.JobName}, job)).To(Succeed())
	})
	return job
}

// TestHolderWithoutAccountReleasesItsJobs: the account of a CustomAction gets a role that can't be
// assumed. Another CustomAction, which uses the same AWS account through another
// CodePipelineAccount, takes the jobs.
func TestHolderWithoutAccountReleasesItsJobs(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(named("two"), w.ofOtherAccount()))).To(Succeed())
	w.readyReason("two", v1alpha1.ReasonActionTypeTaken)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "AssumeRole", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	w.changeAccount(roleOf("arn:aws:iam::111122223333:role/gone"))
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccountNotReady)
	w.Clock.Step(releaseAfter)
	w.change(labelled("due"))
	w.readyReason("two", v1alpha1.ReasonReady)
}

// TestHolderThatMovedReleasesItsJobs: a CustomAction changes to another value while CodePipeline
// does not respond.
func TestHolderThatMovedReleasesItsJobs(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web"), named("two")))).To(Succeed())
	w.readyReason("two", v1alpha1.ReasonActionTypeTaken)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "ListActionTypes", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
	w.change(queried("mobile"))
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAWSUnavailable)
	w.readyReason("two", v1alpha1.ReasonReady)
}

// TestPassingFailureGivesNoJobsAway: the CustomAction that the tags name fails for less than
// releaseAfter. A neighbour for whom the value is listed waits.
func TestPassingFailureGivesNoJobsAway(t *testing.T) {
	for name, c := range map[string]struct {
		wrong  func(*world) (right func())
		reason string
	}{
		"AWS denies access": {func(w *world) func() {
			w.Expect(w.AWS.Inject(emulator.Fault{Operation: "ListActionTypes", Kind: emulator.AccessDenied, Times: 1})).To(Succeed())
			w.change(func(a *v1alpha1.CustomAction) { a.Spec.Polling.Interval = metav1.Duration{Duration: 2 * time.Second} })
			return func() {}
		}, v1alpha1.ReasonAccessDenied},
		"its grant is withdrawn": {(*world).withoutGrant, v1alpha1.ReasonAccessNotGranted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			neighbour := w.neighbour()
			w.shareAll(neighbour)
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web"), w.in(neighbour), using(w.Namespace)))).To(Succeed())
			w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
			right := c.wrong(w)
			w.ready(metav1.ConditionFalse, c.reason)
			w.Expect(w.owner(w)).To(Equal(v1alpha1.OwnerThis), "it is as known before")
			w.changeIn(neighbour, labelled("again")) // triggers a reconciliation
			w.Clock.Step(releaseAfter - time.Minute)
			right()
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
		})
	}
}

// TestPassingMistakeGivesNoJobsAway: the template of a CustomAction, whose action type has no tags,
// is temporarily invalid.
func TestPassingMistakeGivesNoJobsAway(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.withoutOwner()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Typo)"}
	})
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.changeIn(neighbour, labelled("again"))
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = nil })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)

	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Typo)"}
	})
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.Clock.Step(releaseAfter)
	w.change(labelled("due"))
	w.readyIn(neighbour, v1alpha1.ReasonReady)
}

// withoutOwner removes the tags that name the CustomAction, and waits until the status shows it.
func (w *world) withoutOwner() {
	w.T.Helper()
	_, err := w.Pipelines.UntagResource(w.Ctx, &sdk.UntagResourceInput{ResourceArn: aws.String(workARN), TagKeys: []string{v1alpha1.TagCluster, v1alpha1.TagNamespace, v1alpha1.TagName}})
	w.Expect(err).NotTo(HaveOccurred())
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.Polling.Interval = metav1.Duration{Duration: 2 * time.Second} })
	w.Await(func(g Gomega) { g.Expect(w.owner(g)).To(Equal(v1alpha1.OwnerNone)) })
}

// owner returns the owner of the action type in the status of the CustomAction "work".
func (w *world) owner(g Gomega) v1alpha1.ActionTypeOwner {
	action := w.Action()
	g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
	return action.Status.ActionTypeOwner
}

// TestOwnerGetsItsJobsBack: the CustomAction that the tags name loses its grant until a neighbour,
// for whom the value is listed, takes the jobs. Once the grant is restored, the neighbour finishes
// its job and takes no others.
func TestOwnerGetsItsJobsBack(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.shareAll(neighbour)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web"), w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	restore := w.withoutGrant()
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)
	w.Clock.Step(releaseAfter)
	w.change(labelled("due"))
	w.readyIn(neighbour, v1alpha1.ReasonReady)
	w.startTarget(w.Pipelines, "one", "web")
	job := w.runningIn(neighbour)

	restore()
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonActionTypeTaken)
	w.Expect(w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)).To(HavePrefix("a CustomAction of another namespace takes the jobs of action type Test/work/1 with Target=web"))
	w.startTarget(w.Pipelines, "two", "web")
	w.Succeed(job, podcontract.Result{})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.runningIn(w.Namespace)
	w.Expect(w.jobsIn(w, neighbour)).To(HaveLen(1))
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
}
