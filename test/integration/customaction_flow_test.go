package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// ready waits until the condition Ready has this status and reason, and returns its message.
func (w *world) ready(status metav1.ConditionStatus, reason string) (message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		ready := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Status).To(Equal(status), ready.Message)
		g.Expect(ready.Reason).To(Equal(reason), ready.Message)
		g.Expect(ready.ObservedGeneration).To(Equal(action.Generation))
		message = ready.Message
	})
	return message
}

func TestActionTypeIsRegistered(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	found, err := w.Pipelines.ListActionTypes(w.Ctx, &sdk.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(found.ActionTypes).To(HaveLen(1))
	w.Expect(aws.ToString(found.ActionTypes[0].Id.Provider)).To(Equal("work"))
	w.Expect(found.ActionTypes[0].ActionConfigurationProperties).To(HaveLen(2))
}

func TestActionTypeOfAnotherDefinitionIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
		ConfigurationProperties: []types.ActionConfigurationProperty{{Name: aws.String("Other")}},
		InputArtifactDetails:    &types.ArtifactDetails{MaximumCount: 5},
		OutputArtifactDetails:   &types.ArtifactDetails{MaximumCount: 1},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	message := w.ready(metav1.ConditionFalse, v1alpha1.ReasonDefinitionConflict)
	w.Expect(message).To(ContainSubstring(
		"inputArtifactDetails.maximumCount, configurationProperties[Other] (only in CodePipeline), configurationProperties[Target] (missing in CodePipeline)"))
	w.Expect(w.Calls("CreateCustomActionType")).To(Equal(1), "only the test's own")
	w.Expect(w.Calls("PollForJobs")).To(BeZero())
}

func TestExternalActionTypeIsNotCreated(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.Registration = v1alpha1.RegistrationExternal
	}))).To(Succeed())
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonActionTypeNotFound)
	w.Expect(w.Calls("CreateCustomActionType")).To(BeZero())
}

func TestUnknownReferenceInTheTemplate(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Tarhget)"}
	}))).To(Succeed())
	message := w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.Expect(message).To(HavePrefix("spec.jobTemplate.spec.template.spec.containers[0].args[0]: $(config.Tarhget) is not a known reference; known are "))
	w.Expect(w.Calls("PollForJobs")).To(BeZero())
}

func TestThrottledRegistrationIsRetried(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.Throttle, Times: 2})).To(Succeed())
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func TestSuspendStopsPolling(t *testing.T) {
	w := newWorld(t)
	w.operate()
	action := w.Action()
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		action.Spec.Suspend = true
		g.Expect(w.Kube.Update(w.Ctx, action)).To(Succeed())
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	polls := w.Calls("PollForJobs")
	w.Consistently(func() int { return w.Calls("PollForJobs") }).WithTimeout(2500 * time.Millisecond).
		Should(BeNumerically("<=", polls+1)) // one may have been in progress
}

func TestDeletionWaitsForJobsAndThenDeregisters(t *testing.T) {
	w := newWorld(t)
	w.operate()
	action := w.Action(func(a *v1alpha1.CustomAction) { a.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).NotTo(BeZero()) })
	w.StartPipeline(nil)
	job := w.RunningJob(1)
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	message := w.ready(metav1.ConditionFalse, v1alpha1.ReasonDeleting)
	w.Expect(message).To(Equal("being deleted: waiting for 1 jobs to finish"))
	w.Expect(w.Calls("DeleteCustomActionType")).To(BeZero())
	w.Succeed(job, podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1))
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(BeTrue())
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
	})
}

// TestActionTypeThatIsDeletedElsewhere deletes the action type in CodePipeline. The operator
// notices it with its next poll and restores the type.
func TestActionTypeThatIsDeletedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	_, err := w.Pipelines.DeleteCustomActionType(w.Ctx, &sdk.DeleteCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Await(func(g Gomega) { g.Expect(w.Calls("CreateCustomActionType")).To(Equal(2)) })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func TestDeletionLetsContinuedJobsFinish(t *testing.T) {
	w := newWorld(t)
	w.operate()
	action := w.Action()
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).NotTo(BeZero()) })
	w.StartPipeline(nil)
	job := w.RunningJob(1)
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonDeleting)
	w.Succeed(job, podcontract.Result{ContinuationToken: "again"})
	w.Succeed(w.RunningJob(2), podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(BeTrue())
	})
}

// changeAccount changes the account of the world's namespace.
func (w *world) changeAccount(change func(*v1alpha1.CodePipelineAccount)) {
	w.T.Helper()
	w.Await(func(g Gomega) { // the operator writes it too
		account := &v1alpha1.CodePipelineAccount{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
		change(account)
		g.Expect(w.Kube.Update(w.Ctx, account)).To(Succeed())
	})
}

// ofOtherAccount creates another account and makes an action use it.
func (w *world) ofOtherAccount(changes ...func(*v1alpha1.CodePipelineAccount)) func(*v1alpha1.CustomAction) {
	w.T.Helper()
	account := harness.NewAccount(w.Namespace, changes...)
	account.Name += "-other"
	w.Expect(w.Kube.Create(w.Ctx, account)).To(Succeed())
	return func(action *v1alpha1.CustomAction) { action.Spec.AccountRef.Name = account.Name }
}
