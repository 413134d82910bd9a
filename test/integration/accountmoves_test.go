package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// roleElsewhere is a role in another AWS account.
const roleElsewhere = "arn:aws:iam::444455556666:role/ci"

func roleOf(arn string) func(*v1alpha1.CodePipelineAccount) {
	return func(account *v1alpha1.CodePipelineAccount) { account.Spec.RoleARN = arn }
}

// awaitReported waits until the condition Reported of the PipelineJob has a message.
func (w *world) awaitReported(message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		reported := meta.FindStatusCondition(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionReported)
		g.Expect(reported).NotTo(BeNil())
		g.Expect(reported.Status).To(Equal(metav1.ConditionFalse))
		g.Expect(reported.Message).To(ContainSubstring(message))
	})
}

// TestRoleOfAnotherAccountEndsNoWork changes an account's role to one of another AWS account while
// a job runs, and back. The other account does not know the job, but its responses must not end the
// work.
func TestRoleOfAnotherAccountEndsNoWork(t *testing.T) {
	const moved = "now uses AWS account 444455556666, and the job belongs to 111122223333: the platform team can restore its spec.roleARN"
	t.Run("progress", func(t *testing.T) {
		w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
		w.work(progressing)
		run := w.RunningJob(1)
		w.follow(run)
		w.changeAccount(roleOf(roleElsewhere))
		w.tell(run, 40, "unit tests")
		w.awaitReported(moved)
		w.Consistently(func(g Gomega) {
			g.Expect(w.PipelineJob(g).Settled()).To(BeFalse())
			g.Expect(w.Jobs(g)).To(HaveLen(1), "the work goes on")
		}).WithTimeout(time.Second).Should(Succeed())
		w.changeAccount(roleOf(""))
		w.Await(func(g Gomega) { // without moving the clock: it is reported as soon as the role is restored
			g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("unit tests"))
		})
		w.Expect(w.AWS.Journal("PutJobSuccessResult")).To(HaveEach(HaveField("AccountID", "111122223333")))
	})
	t.Run("a result", func(t *testing.T) {
		w := newWorld(t)
		w.work()
		run := w.RunningJob(1)
		w.changeAccount(roleOf(roleElsewhere))
		w.Succeed(run, podcontract.Result{Summary: "finished"})
		w.awaitReported(moved)
		w.changeAccount(roleOf(""))
		w.Await(func(g Gomega) { g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded)) })
		w.Expect(w.AWS.Journal("PutJobSuccessResult")).To(HaveEach(HaveField("AccountID", "111122223333")))
	})
}

// TestJobsWaitForTheProofOfTheirAccount restarts the operator while a job runs. Meanwhile, its
// account was created again, so that its ID is unknown, or has the ID that AWS returned before.
func TestJobsWaitForTheProofOfTheirAccount(t *testing.T) {
	restarted := func(t *testing.T, before func(*world)) *world {
		w := newWorld(t)
		stop := w.work()
		run := w.RunningJob(1)
		stop()
		before(w)
		w.Expect(w.AWS.Inject(emulator.Fault{Operation: "GetCallerIdentity", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
		w.operate()
		w.Succeed(run, podcontract.Result{Summary: "finished"})
		return w
	}
	finished := func(g Gomega, w *world) { g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("finished")) }
	t.Run("created again", func(t *testing.T) {
		w := restarted(t, func(w *world) {
			account := &v1alpha1.CodePipelineAccount{}
			w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
			account.Status = v1alpha1.CodePipelineAccountStatus{}
			w.Expect(w.Kube.Status().Update(w.Ctx, account)).To(Succeed())
		})
		w.awaitReported("the AWS account of CodePipelineAccount " + w.Namespace + " is not known yet: its condition Ready says why")
		w.Expect(w.AWS.Journal("PutJobSuccessResult")).To(BeEmpty())
		w.AWS.ClearFaults()
		w.Await(func(g Gomega) {
			w.Clock.Step(time.Second) // the ID is requested again
			finished(g, w)
		})
	})
	t.Run("of which the ID was told before", func(t *testing.T) {
		w := restarted(t, func(*world) {})
		w.Await(func(g Gomega) { finished(g, w) })
	})
}

// TestRegionOfAnActionMovesBeforeTheAccountAllowsIt: an action names a region before its account
// allows it. The status of the previous region must not be used for the new one.
func TestRegionOfAnActionMovesBeforeTheAccountAllowsIt(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.Region = "eu-west-1" })
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)
	w.expectRegistered(w, "us-east-1", "111122223333")
	w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = append(a.Spec.Regions, "eu-west-1") })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.expectRegistered(w, "eu-west-1", "111122223333")
}

// expectRegistered expects that the status of the action "work" names an action type of this
// account and region.
func (w *world) expectRegistered(g Gomega, region, account string) {
	w.T.Helper()
	action := &v1alpha1.CustomAction{}
	g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
	g.Expect(string(action.Status.Region)).To(Equal(region))
	g.Expect(action.Status.AccountID).To(Equal(account))
	g.Expect(action.Status.ActionTypeARN).To(Equal("arn:aws:codepipeline:" + region + ":" + account + ":actiontype:Custom/Test/work/1"))
}

// TestActionTypeIsRegisteredWhereAnAccountMoves: the region or the role of an account changes, but
// not the action. The action type is registered in the new place before the operator polls for
// jobs.
func TestActionTypeIsRegisteredWhereAnAccountMoves(t *testing.T) {
	for name, c := range map[string]struct {
		move            func(*v1alpha1.CodePipelineAccount)
		region, account string
	}{
		"to another region":  {func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = []v1alpha1.Region{"eu-west-1"} }, "eu-west-1", "111122223333"},
		"to another account": {roleOf(roleElsewhere), "us-east-1", "444455556666"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			w.changeAccount(c.move)
			w.Await(func(g Gomega) { w.expectRegistered(g, c.region, c.account) })
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			moved := false
			for _, call := range w.AWS.Journal("CreateCustomActionType", "PollForJobs") {
				there := call.Region == c.region && call.AccountID == c.account
				w.Expect(!there || moved || call.Operation == "CreateCustomActionType").To(BeTrue(), "it is not polled for before it is registered")
				moved = moved || there
			}
		})
	}
}

// TestContinuationOfAnActionThatMoved: an action, or its account, moves while a job runs, which
// then ends with a continuation token. The job is handed out again only where it was taken.
func TestContinuationOfAnActionThatMoved(t *testing.T) {
	queried := func(a *v1alpha1.CustomAction) {
		a.Spec.ActionType.ConfigurationProperties[0].Required = true
		a.Spec.ActionType.ConfigurationProperties[0].Queryable = ptr.To(true)
		a.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": "all"}
	}
	for name, c := range map[string]struct {
		action func(*v1alpha1.CustomAction)
		move   func(*world)
		where  string
	}{
		"the account's only region": {func(*v1alpha1.CustomAction) {}, func(w *world) {
			w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = []v1alpha1.Region{"eu-west-1"} })
		}, "us-east-1"},
		"the action's region": {func(*v1alpha1.CustomAction) {}, func(w *world) {
			w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = append(a.Spec.Regions, "eu-west-1") })
			w.change(func(a *v1alpha1.CustomAction) { a.Spec.Region = "eu-west-1" })
		}, "us-east-1"},
		"the action's account": {func(*v1alpha1.CustomAction) {}, func(w *world) {
			w.change(w.ofOtherAccount(roleOf(roleElsewhere)))
		}, "us-east-1"},
		"the action's queryParam": {queried, func(w *world) {
			w.change(func(a *v1alpha1.CustomAction) { a.Spec.Polling.QueryParam["Target"] = "some" })
		}, "Target=all"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = harness.Redispatch })
			w.work(c.action)
			run := w.RunningJob(1)
			c.move(w)
			w.awaitPolling(And(ContainSubstring("the action has moved, and 1 of its jobs that were taken in us-east-1 with CodePipelineAccount "+w.Namespace),
				ContainSubstring(c.where), HaveSuffix("are not confirmed as reported: the operator polls for them there, in case CodePipeline hands them out again")))
			w.Succeed(run, podcontract.Result{ContinuationToken: "deploy-1"})
			w.Await(func(g Gomega) {
				w.Clock.Step(time.Second)
				g.Expect(w.Jobs(g)).To(HaveLen(2), "the work continues")
			})
			w.Succeed(w.RunningJob(2), podcontract.Result{Summary: "deployed"})
			w.Await(func(g Gomega) { g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("deployed")) })
			w.awaitPolling(Not(ContainSubstring("moved")))
		})
	}
}

// awaitPolling waits until the message of the condition Polling of the action "work" matches.
func (w *world) awaitPolling(message gomegatypes.GomegaMatcher) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		polling := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionPolling)
		g.Expect(polling).NotTo(BeNil())
		g.Expect(polling.Message).To(message)
	})
}

// TestFormerAccountCreatedAgainGivesItsJobsAccess: an action moves to another account while a job
// runs. The account where the job was taken is created again, so that it has no status, and no
// CustomAction names it.
func TestFormerAccountCreatedAgainGivesItsJobsAccess(t *testing.T) {
	w := newWorld(t)
	w.work()
	run := w.RunningJob(1)
	w.change(w.ofOtherAccount(roleOf(roleElsewhere)))
	w.awaitPolling(HaveSuffix("the operator polls for them there, in case CodePipeline hands them out again"))
	w.Await(func(g Gomega) { // the operator writes it too
		account := &v1alpha1.CodePipelineAccount{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		account.Status = v1alpha1.CodePipelineAccountStatus{}
		g.Expect(w.Kube.Status().Update(w.Ctx, account)).To(Succeed())
	})
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.FailureLog = v1alpha1.FailureLogNoSecrets }) // triggers a reconciliation
	w.Succeed(run, podcontract.Result{Summary: "finished"})
	w.Await(func(g Gomega) { g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("finished")) })
}

// TestFormerAccountThatIsProvenAgain: an action that takes no new jobs moves to another account.
// The previous one temporarily is another AWS account. The operator polls for its job once the
// account is proven again.
func TestFormerAccountThatIsProvenAgain(t *testing.T) {
	w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = harness.Redispatch })
	w.work()
	w.RunningJob(1)
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.Suspend = true })
	w.change(w.ofOtherAccount(roleOf(roleElsewhere)))
	w.awaitPolling(HaveSuffix("the operator polls for them there, in case CodePipeline hands them out again"))
	w.changeAccount(roleOf("arn:aws:iam::777788889999:role/wrong"))
	w.awaitPolling(ContainSubstring("no calls are made for them"))
	w.changeAccount(roleOf(""))
	w.awaitPolling(HaveSuffix("the operator polls for them there, in case CodePipeline hands them out again"))
}
