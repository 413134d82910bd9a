package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// neighbour creates another namespace in which the operator works.
func (w *world) neighbour() string {
	w.T.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "neighbour-"}}
	w.Expect(w.Kube.Create(w.Ctx, namespace)).To(Succeed())
	w.neighbours = append(w.neighbours, namespace.Name)
	return namespace.Name
}

// in moves an action to a namespace, where it uses the world's account.
func (w *world) in(namespace string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Namespace = namespace }
}

// readyIn waits until the condition Ready of the action "work" in a namespace has a reason.
func (w *world) readyIn(namespace, reason string) (message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: namespace, Name: "work"}, action)).To(Succeed())
		ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(reason), ready.Message)
		message = ready.Message
	})
	return message
}

// grantTo makes the account grant namespaces full access.
func grantTo(namespaces ...string) func(*v1alpha1.CodePipelineAccount) {
	return func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: namespaces}, MayRegister: true}}
	}
}

func TestNoAccessWithoutAGrant(t *testing.T) {
	w := newWorld(t)
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.Grants = nil })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)).To(Equal(
		"no grant of CodePipelineAccount " + w.Namespace + " allows namespace " + w.Namespace + " to take jobs of Test actions of provider work: " +
			"the platform team can add one to spec.grants, or label the namespace to match a selector there"))
	w.Expect(w.AWS.Journal("ListActionTypes", "PollForJobs")).To(BeEmpty())
	w.changeAccount(grantTo(w.Namespace))
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestWithdrawnGrant removes the label of a namespace while a job runs. No new job is taken, and
// the running one is reported.
func TestWithdrawnGrant(t *testing.T) {
	w := newWorld(t)
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = []v1alpha1.Grant{{MayRegister: true, Namespaces: v1alpha1.GrantedNamespaces{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelEnabled: "true", "team": w.Namespace}},
		}}}
	})
	label := func(enabled string) {
		namespace := &corev1.Namespace{}
		w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, namespace)).To(Succeed())
		namespace.Labels[v1alpha1.LabelEnabled], namespace.Labels["team"] = enabled, w.Namespace
		w.Expect(w.Kube.Update(w.Ctx, namespace)).To(Succeed())
	}
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)
	label("true")
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.StartPipeline(nil)
	job := w.RunningJob(1)
	label("false")
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)
	w.Succeed(job, podcontract.Result{Summary: "finished"})
	w.Await(func(g Gomega) { g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("finished")) })
	w.Await(func(g Gomega) {
		w.Clock.Step(time.Minute)
		account := &v1alpha1.CodePipelineAccount{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		g.Expect(account.Status.Namespaces).To(BeEmpty(), "its last job is reported")
	})
	polls := w.Calls("PollForJobs")
	_, err := w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Consistently(func() int { return w.Calls("PollForJobs") }).WithTimeout(2 * time.Second).Should(Equal(polls))
}

// TestInvalidSelectorIsShown: the CRD accepts the selector of a grant, but Kubernetes does not. The
// grant applies to nobody, the account's condition says so, and its other grant applies.
func TestInvalidSelectorIsShown(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	broken := v1alpha1.Grant{MayRegister: true, Namespaces: v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn}},
	}}}
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.Grants = append(account.Spec.Grants, broken) })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), func(a *v1alpha1.CustomAction) {
		a.Spec.AccountRef.Name, a.Spec.ActionType.Provider = w.Namespace, "other"
	}))).To(Succeed())
	const said = "invalid selectors, whose grants give no namespace access until they are corrected: " +
		"spec.grants[1].namespaces.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'. The other grants count"
	w.accountReady(metav1.ConditionFalse, v1alpha1.ReasonInvalidGrant, said)
	w.Await(func(g Gomega) {
		var events eventsv1.EventList
		g.Expect(w.Kube.List(w.Ctx, &events, client.InNamespace(metav1.NamespaceDefault))).To(Succeed()) // the account has no namespace
		g.Expect(events.Items).To(ContainElement(And(HaveField("Regarding.Name", w.Namespace),
			HaveField("Type", corev1.EventTypeWarning), HaveField("Reason", v1alpha1.ReasonInvalidGrant), HaveField("Note", said))))
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)

	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants[1].Namespaces.Selector.MatchExpressions[0].Values = []string{neighbour}
	})
	w.accountReady(metav1.ConditionTrue, v1alpha1.ReasonProven, "AWS returned the account's ID, 111122223333")
	w.readyIn(neighbour, v1alpha1.ReasonReady)
}

// accountReady waits for the condition Ready of the account.
func (w *world) accountReady(status metav1.ConditionStatus, reason, message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		account := &v1alpha1.CodePipelineAccount{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		ready := meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).To(HaveValue(And(HaveField("Status", status), HaveField("Reason", reason), HaveField("Message", message))))
	})
}

// TestRegistrationNeedsAGrant: the account's grant only lets a namespace take jobs. The platform
// team creates the action type, with tags that the operator does not change.
func TestRegistrationNeedsAGrant(t *testing.T) {
	w := newWorld(t)
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.Grants[0].MayRegister = false })
	w.operate()
	action := w.Action(deletesType, tagged("team", "web"))
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonRegistrationNotGranted)).To(ContainSubstring(
		"no grant of CodePipelineAccount " + w.Namespace + " allows namespace " + w.Namespace + " to create it"))
	w.Expect(w.AWS.Journal("CreateCustomActionType")).To(BeEmpty())
	_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1}, OutputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1},
		ConfigurationProperties: []types.ActionConfigurationProperty{{Name: aws.String("Target")}, {Name: aws.String("Token"), Secret: true}},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Await(func(g Gomega) {
		w.Clock.Step(time.Minute)
		w.change(labelled(w.Clock.Now().Format("150405")))
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		g.Expect(action.Status.ActionTypeOwner).To(Equal(v1alpha1.OwnerNone))
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Await(func(g Gomega) {
		g.Expect(w.events(g, "work")).To(ContainElement(And(HaveField("Reason", v1alpha1.ReasonTagsOutOfSync),
			HaveField("Note", ContainSubstring("was not registered for this object")))))
	})
	w.deleteAction(action)
	w.Expect(w.AWS.Journal("TagResource", "UntagResource", "DeleteCustomActionType")).To(BeEmpty())
	w.notDeregistered("work", "no grant of CodePipelineAccount "+w.Namespace+" with mayRegister applies to it")
}

func TestAccountInUseIsKept(t *testing.T) {
	w := newWorld(t)
	w.operate()
	action := w.Action()
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	account := &v1alpha1.CodePipelineAccount{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
	w.Expect(account.Status.AccountID).To(Equal("111122223333"))
	w.Expect(w.Kube.Delete(w.Ctx, account)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		ready := meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonInUse))
		g.Expect(ready.Message).To(ContainSubstring("it is used by CustomAction " + w.Namespace + "/work"))
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.deleteAction(action)
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account))).To(BeTrue())
	})
}

// TestTypeIsNotTakenWhileItsOwnerIsAway deletes a CustomAction and creates it again, as a restore
// does. Meanwhile, a neighbour tries to use its action type.
func TestTypeIsNotTakenWhileItsOwnerIsAway(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.deleteAction(w.Action())

	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), func(a *v1alpha1.CustomAction) {
		a.Spec.AccountRef.Name, a.Spec.DeletionPolicy = w.Namespace, v1alpha1.DeletionDelete
	}))).To(Succeed())
	said := w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.Expect(said).To(ContainSubstring("name a CustomAction of another namespace or cluster"))
	w.Expect(said).NotTo(ContainSubstring(w.Namespace), "a neighbour is told no names")
	polls := w.Calls("PollForJobs")
	w.StartPipeline(nil)
	w.Consistently(func() int { return w.Calls("PollForJobs") }).WithTimeout(time.Second).Should(Equal(polls))

	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.RunningJob(1)
	w.deleteAction(w.Action(w.in(neighbour)))
	w.Expect(w.AWS.Journal("DeleteCustomActionType", "UntagResource")).To(BeEmpty())
}

// TestSquatterKeepsNobodyOut: an older object of a neighbour without a grant names the same action
// type.
func TestSquatterKeepsNobodyOut(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), func(a *v1alpha1.CustomAction) { a.Spec.AccountRef.Name = w.Namespace }))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(deletesType))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.deleteAction(w.Action())
	w.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1), "it does not count as a user either")
}

// TestTwoOfOneUntaggedType: two namespaces with a grant name an action type without tags. The one
// that takes its jobs keeps them, even when the other one, which is older, gets a grant.
func TestTwoOfOneUntaggedType(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1}, OutputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1},
		ConfigurationProperties: []types.ActionConfigurationProperty{{Name: aws.String("Target")}, {Name: aws.String("Token"), Secret: true}},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), func(a *v1alpha1.CustomAction) { a.Spec.AccountRef.Name = w.Namespace }))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.changeAccount(grantTo(w.Namespace, neighbour))
	w.Expect(w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)).To(HavePrefix("a CustomAction of another namespace takes the jobs of action type Test/work/1"))
	w.deleteAction(w.Action())
	w.readyIn(neighbour, v1alpha1.ReasonReady)
}

// TestHandMadePipelineJobCallsAsNobody: a PipelineJob that a user made, with a status, names an
// account that was never granted to its namespace.
func TestHandMadePipelineJobCallsAsNobody(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.AWS.ClearJournal()
	made := w.fullJob()
	made.Namespace, made.Spec.CodePipelineJob.ID = neighbour, "11111111-1111-4111-8111-111111111111"
	w.Expect(w.Kube.Create(w.Ctx, made)).To(Succeed())
	w.Await(func(g Gomega) { // the operator also writes it
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(made), made)).To(Succeed())
		made.Status.Protocol.AcknowledgedJobID, made.Status.AcknowledgedAt = made.Spec.CodePipelineJob.ID, &metav1.Time{Time: w.Clock.Now()}
		made.Status.Phase = v1alpha1.PhaseFailed
		made.Status.FailureDetails = &v1alpha1.FailureDetails{Type: "JobFailed", Message: "forged"}
		made.Status.FinishedAt = &metav1.Time{Time: w.Clock.Now()}
		g.Expect(w.Kube.Status().Update(w.Ctx, made)).To(Succeed())
	})
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(made), made)).To(Succeed())
		g.Expect(made.Status.Conditions).To(ContainElement(And(HaveField("Status", metav1.ConditionFalse),
			HaveField("Message", ContainSubstring("no grant of CodePipelineAccount "+w.Namespace+" applies to namespace "+neighbour)))))
	})
	w.Expect(w.AWS.Journal("AcknowledgeJob", "GetJobDetails", "PutJobSuccessResult", "PutJobFailureResult", "ListActionExecutions")).To(BeEmpty())
}

func TestRegionIsOneOfTheAccounts(t *testing.T) {
	w := newWorld(t)
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Regions = append(account.Spec.Regions, "eu-west-1")
	})
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessNotGranted)).To(HavePrefix("spec.region must be set: "))
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.Region = "us-west-2" })
	w.Await(func(g Gomega) {
		g.Expect(w.readyIn(w.Namespace, v1alpha1.ReasonAccessNotGranted)).To(Equal("spec.region is us-west-2, and CodePipelineAccount " + w.Namespace + " is for us-east-1, eu-west-1"))
	})
	w.change(func(a *v1alpha1.CustomAction) { a.Spec.Region = "eu-west-1" })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Journal("CreateCustomActionType")).To(ConsistOf(HaveField("Region", "eu-west-1")))
}

// TestThrottlingIsShown: AWS throttles the calls of an account.
func TestThrottlingIsShown(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.Throttle, Probability: 1})).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(w.AWS.Journal("PollForJobs")).To(ContainElement(HaveField("Fault", emulator.Throttle)))
	})
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = append(account.Spec.Grants, account.Spec.Grants[0])
	})
	w.Await(func(g Gomega) {
		account := &v1alpha1.CodePipelineAccount{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(account.Status.Conditions, v1alpha1.ConditionThrottled)).To(BeTrue())
	})
}
