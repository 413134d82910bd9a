package integration

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// queried restricts an action to one value of its queryable property.
func queried(value v1alpha1.QueryValue) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) {
		action.Spec.ActionType.ConfigurationProperties[0].Required = true
		action.Spec.ActionType.ConfigurationProperties[0].Queryable = ptr.To(true)
		action.Spec.Polling.QueryParam = map[string]v1alpha1.QueryValue{"Target": value}
	}
}

// using makes an action use an account.
func using(account string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) { action.Spec.AccountRef.Name = account }
}

// changeIn changes the action "work" of a namespace.
func (w *world) changeIn(namespace string, change func(*v1alpha1.CustomAction)) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: namespace, Name: "work"}, action)).To(Succeed())
		change(action)
		g.Expect(w.Kube.Update(w.Ctx, action)).To(Succeed())
	})
}

// jobsIn returns the PipelineJobs of a namespace.
func (w *world) jobsIn(g Gomega, namespace string) []v1alpha1.PipelineJob {
	var list v1alpha1.PipelineJobList
	g.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return list.Items
}

// startTarget starts a pipeline whose action has a Target, in the client's region.
func (w *world) startTarget(api *sdk.Client, name, target string) {
	w.T.Helper()
	_, err := w.Objects.PutObject(w.Ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())
	action := pipeline.NewAction("work", harness.WorkType()).Inputs("source").Configure("Target", target)
	_, err = api.CreatePipeline(w.Ctx, harness.PipelineWith(name, action).CreateInput())
	w.Expect(err).NotTo(HaveOccurred())
	_, err = api.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String(name)})
	w.Expect(err).NotTo(HaveOccurred())
}

// shares returns a grant for a namespace that lists values.
func shares(namespace string, values ...v1alpha1.QueryValuePattern) v1alpha1.Grant {
	return v1alpha1.Grant{
		Namespaces:  v1alpha1.GrantedNamespaces{Names: []string{namespace}},
		ActionTypes: []v1alpha1.ActionTypePattern{{Provider: "work", QueryValues: values}},
	}
}

// TestValueIsNotTaken: a neighbour with a grant for the same action type waits for a value of its
// queryable property, while the owner's CustomAction has an invalid template, and while it is
// deleted and created again.
func TestValueIsNotTaken(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web"), w.in(neighbour), using(w.Namespace)))).To(Succeed())
	said := w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	w.Expect(said).To(ContainSubstring("no grant of CodePipelineAccount " + w.Namespace + " lists Target=web"))
	w.Expect(said).To(ContainSubstring("add it to actionTypes[].queryValues of a grant for namespace " + neighbour))

	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Typo)"}
	})
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	w.deleteAction(w.Action())
	w.startTarget(w.Pipelines, "web", "web")
	w.changeIn(neighbour, labelled("again"))
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.jobsIn(g, w.Namespace)).To(HaveLen(1)) })
	w.Expect(w.jobsIn(w, neighbour)).To(BeEmpty())
}

// TestValueThatIsGranted: the platform team lists a value of another namespace's action type for a
// neighbour.
func TestValueThatIsGranted(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = append(account.Spec.Grants, shares(neighbour, "mobile-*"))
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("mobile-1"), w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonReady)
	w.startTarget(w.Pipelines, "mobile", "mobile-1")
	w.Await(func(g Gomega) { g.Expect(w.jobsIn(g, neighbour)).To(HaveLen(1)) })
	w.changeIn(neighbour, queried("web"))
	w.Expect(w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)).To(ContainSubstring("provider work with Target=web"))
}

// TestJobsOfAnotherValueKeepNobodyOut: a neighbour, for whom all values are listed, changes to the
// owner's value while its own job runs, before the operator is restarted.
func TestJobsOfAnotherValueKeepNobodyOut(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants = append(account.Spec.Grants, shares(neighbour, "*"))
	})
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("web")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(queried("mine"), w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonReady)
	w.startTarget(w.Pipelines, "mine", "mine")
	w.Await(func(g Gomega) {
		jobs := w.jobsIn(g, neighbour)
		g.Expect(jobs).To(HaveLen(1))
		g.Expect(jobs[0].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
	w.changeIn(neighbour, queried("web"))
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	stop()
	w.AWS.ClearJournal()
	w.operate()
	w.Await(func(g Gomega) { g.Expect(w.AWS.Journal("PollForJobs")).NotTo(BeEmpty()) })
	w.startTarget(w.Pipelines, "web", "web")
	w.Await(func(g Gomega) { g.Expect(w.jobsIn(g, w.Namespace)).To(HaveLen(1)) })
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.Expect(w.jobsIn(w, neighbour)).To(HaveLen(1))
}

// TestJobsOfAnotherRegionKeepNobodyOut: a neighbour with a job in its own account names the owner's
// account, for which it has no grant, before the operator is restarted.
func TestJobsOfAnotherRegionKeepNobodyOut(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	own := harness.NewAccount(w.Namespace, grantTo(neighbour), func(account *v1alpha1.CodePipelineAccount) {
		account.Name, account.Spec.Regions = neighbour, []v1alpha1.Region{"eu-west-1"}
	})
	w.Expect(w.Kube.Create(w.Ctx, own)).To(Succeed())
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(deletesType))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), using(neighbour)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonReady)
	w.startTarget(sdk.New(w.Pipelines.Options(), func(o *sdk.Options) { o.Region = "eu-west-1" }), "own", "x")
	w.Await(func(g Gomega) {
		jobs := w.jobsIn(g, neighbour)
		g.Expect(jobs).To(HaveLen(1))
		g.Expect(jobs[0].Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
	w.changeIn(neighbour, using(w.Namespace))
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	stop()
	w.operate()
	w.startTarget(w.Pipelines, "owners", "x")
	w.Await(func(g Gomega) { g.Expect(w.jobsIn(g, w.Namespace)).To(HaveLen(1)) })
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.deleteAction(w.Action())
	w.Expect(w.Calls("DeleteCustomActionType")).To(Equal(1))
}

// TestAccountIsNotKeptByThoseWithoutAccess deletes an account that a CustomAction without a grant
// names.
func TestAccountIsNotKeptByThoseWithoutAccess(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonAccessNotGranted)
	account := &v1alpha1.CodePipelineAccount{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
	w.Expect(w.Kube.Delete(w.Ctx, account)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(account), account))).To(BeTrue())
	})
	w.readyIn(neighbour, v1alpha1.ReasonAccountNotFound)
}
