package integration

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// change is a change of a PipelineJob by a user who may do everything that no policy forbids.
type change struct {
	edit func(*v1alpha1.PipelineJob)
	// denied is the policy's message. Empty means that the change is allowed.
	denied string
}

// changesByHand returns changes by users.
func changesByHand() map[string]change {
	const (
		spec       = "only the operator writes the spec of a PipelineJob"
		label      = "only the operator changes a PipelineJob's labels"
		annotation = "only the operator changes a PipelineJob's annotations"
		owners     = "only the operator and the garbage collector change the owners"
	)
	return map[string]change{
		"the job in the spec":    {func(j *v1alpha1.PipelineJob) { j.Spec.CodePipelineJob.ID = "00000000-0000-4000-8000-000000000002" }, spec},
		"the nonce in the spec":  {func(j *v1alpha1.PipelineJob) { j.Spec.CodePipelineJob.Nonce = "2" }, spec},
		"a token in the spec":    {func(j *v1alpha1.PipelineJob) { j.Spec.CodePipelineJob.ContinuationToken = "again" }, spec},
		"a label of the user":    {func(j *v1alpha1.PipelineJob) { j.Labels["team"] = "web" }, ""},
		"a label of ours":        {func(j *v1alpha1.PipelineJob) { j.Labels[v1alpha1.LabelPipelineJob] = "other" }, label},
		"one more label of ours": {func(j *v1alpha1.PipelineJob) { j.Labels[v1alpha1.LabelRun] = "1" }, label},
		"no label":               {func(j *v1alpha1.PipelineJob) { j.Labels = nil }, label},
		"an annotation":          {func(j *v1alpha1.PipelineJob) { j.Annotations = map[string]string{"example.com/ticket": "17"} }, ""},
		"an annotation of ours": {func(j *v1alpha1.PipelineJob) {
			j.Annotations = map[string]string{v1alpha1.AnnotationAbandoned: v1alpha1.AbandonedByStop}
		}, annotation},
		"no owner": {func(j *v1alpha1.PipelineJob) { j.OwnerReferences = nil }, owners},
		"one more owner": {func(j *v1alpha1.PipelineJob) {
			j.OwnerReferences = append(j.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"})
		}, owners},
		"a finalizer":  {func(j *v1alpha1.PipelineJob) { j.Finalizers = append(j.Finalizers, "example.com/archive") }, ""},
		"no finalizer": {func(j *v1alpha1.PipelineJob) { j.Finalizers = nil }, ""},
	}
}

// recorded returns a PipelineJob as the operator creates it.
func (w *world) recorded() *v1alpha1.PipelineJob {
	w.T.Helper()
	job := w.pipelineJobByHand()
	job.Name, job.GenerateName = "", "recorded-"
	job.Finalizers = []string{v1alpha1.FinalizerPipelineJob}
	job.Labels = map[string]string{v1alpha1.LabelPipelineJob: "recorded", "kept": "true"}
	job.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CustomAction", Name: "work", UID: "work"}}
	w.Expect(w.as(operatorsUser).Create(w.Ctx, job)).To(Succeed())
	w.T.Cleanup(func() { // it has a finalizer, and there is no operator
		job.Finalizers = nil
		_ = w.Kube.Update(context.WithoutCancel(w.Ctx), job)
	})
	return job
}

// TestOnlyTheOperatorWritesPipelineJobs, in any way, including dry runs.
func TestOnlyTheOperatorWritesPipelineJobs(t *testing.T) {
	w := newWorld(t)
	w.install()
	alice, operator := w.as("alice"), w.as(operatorsUser)
	const onlyOperatorCreates, onlyOperatorsStatus = "only the operator creates PipelineJobs", "only the operator writes the status"
	t.Run("created", func(t *testing.T) { w.isDecided(t, alice.Create(w.Ctx, w.pipelineJobByHand()), onlyOperatorCreates) })
	t.Run("created by a dry run", func(t *testing.T) {
		w.isDecided(t, alice.Create(w.Ctx, w.pipelineJobByHand(), client.DryRunAll), onlyOperatorCreates)
	})
	t.Run("created by apply", func(t *testing.T) {
		w.isDecided(t, w.applyByHand(alice), onlyOperatorCreates)
	})
	t.Run("of the operator", func(t *testing.T) {
		job := w.recorded()
		job.Spec.CodePipelineJob.Nonce = "2"
		w.isDecided(t, operator.Update(w.Ctx, job), "")
		job.Status.Phase = v1alpha1.PhaseRunning
		w.isDecided(t, operator.Status().Update(w.Ctx, job), "")
	})
	for _, mode := range []string{"update", "patch", "dry run"} {
		t.Run("its status by "+mode, func(t *testing.T) {
			job := w.recorded()
			before := job.DeepCopy()
			job.Status.Phase = v1alpha1.PhaseSucceeded
			var err error
			switch mode {
			case "update":
				err = alice.Status().Update(w.Ctx, job)
			case "patch":
				err = alice.Status().Patch(w.Ctx, job, client.MergeFrom(before))
			default:
				err = alice.Status().Update(w.Ctx, job, client.DryRunAll)
			}
			w.isDecided(t, err, onlyOperatorsStatus)
		})
		for name, c := range changesByHand() {
			t.Run(name+" by "+mode, func(t *testing.T) {
				job := w.recorded()
				before := job.DeepCopy()
				c.edit(job)
				var err error
				switch mode {
				case "update":
					err = alice.Update(w.Ctx, job.DeepCopy())
				case "patch":
					err = alice.Patch(w.Ctx, job.DeepCopy(), client.MergeFrom(before))
				default:
					err = alice.Update(w.Ctx, job.DeepCopy(), client.DryRunAll)
				}
				w.isDecided(t, err, c.denied)
			})
		}
	}
}

// TestOnlyTheOperatorWritesTheStatusOfCustomActions: the status records the owner of an action
// type.
func TestOnlyTheOperatorWritesTheStatusOfCustomActions(t *testing.T) {
	w := newWorld(t)
	w.install()
	alice, action := w.as("alice"), w.Action()
	w.isDecided(t, alice.Create(w.Ctx, action), "")
	action.Spec.Suspend = true
	w.isDecided(t, alice.Update(w.Ctx, action), "")
	action.Status.ActionTypeOwner = v1alpha1.OwnerThis
	const denied = "only the operator writes the status of a CustomAction"
	w.isDecided(t, alice.Status().Update(w.Ctx, action.DeepCopy(), client.DryRunAll), denied)
	w.isDecided(t, alice.Status().Update(w.Ctx, action.DeepCopy()), denied)
	w.isDecided(t, w.as(operatorsUser).Status().Update(w.Ctx, action), "")
}

// applyByHand applies a PipelineJob that does not exist.
func (w *world) applyByHand(user client.Client) error {
	job := w.pipelineJobByHand()
	object := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"actionRef": map[string]any{"name": "work"}, "pipeline": map[string]any{}, "accountRef": map[string]any{"name": job.Spec.AccountRef.Name}, "region": job.Spec.Region,
			"codePipelineJob": map[string]any{"id": job.Spec.CodePipelineJob.ID, "nonce": "1"},
		},
	}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("PipelineJob"))
	object.SetName("applied")
	object.SetNamespace(w.Namespace)
	return user.Apply(w.Ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("alice"))
}

// TestOthersMayDeletePipelineJobs, and Kubernetes' controllers may do their work.
func TestOthersMayDeletePipelineJobs(t *testing.T) {
	w := newWorld(t)
	w.install()
	job := w.recorded()
	for _, user := range []string{"system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"} {
		orphaned := job.DeepCopy()
		orphaned.OwnerReferences = nil
		w.isDecided(t, w.as(user).Update(w.Ctx, orphaned, client.DryRunAll), "")
		orphaned.Spec.CodePipelineJob.Nonce = "2"
		w.isDecided(t, w.as(user).Update(w.Ctx, orphaned, client.DryRunAll), "only the operator writes the spec")
	}
	w.Expect(w.as("alice").Delete(w.Ctx, job)).To(Succeed())
	w.Expect(w.as("alice").DeleteAllOf(w.Ctx, &v1alpha1.PipelineJob{}, client.InNamespace(w.Namespace))).To(Succeed())
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
	job.Finalizers = nil
	w.Expect(w.as("alice").Update(w.Ctx, job)).To(Succeed())
	w.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job))).To(BeTrue())
}

// TestPipelineJobsByHandTouchNothingElse: without the policies, PipelineJobs that users made refer
// to a Job and Secrets of others in every possible way. These are not changed while the
// PipelineJobs are settled and deleted.
func TestPipelineJobsByHandTouchNothingElse(t *testing.T) {
	for name, forge := range map[string]func(*v1alpha1.PipelineJob, *batchv1.Job){
		"planned": func(j *v1alpha1.PipelineJob, foreign *batchv1.Job) {
			j.Status.Run = &v1alpha1.Run{Number: 1, JobName: foreign.Name}
		},
		"running": func(j *v1alpha1.PipelineJob, foreign *batchv1.Job) {
			j.Status.Run = &v1alpha1.Run{Number: 1, JobName: foreign.Name, JobUID: string(foreign.UID)}
		},
		"settled": func(j *v1alpha1.PipelineJob, foreign *batchv1.Job) {
			j.Status.Run = &v1alpha1.Run{Number: 1, JobName: foreign.Name, JobUID: string(foreign.UID)}
			j.Settle(metav1.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			byHand := w.pipelineJobByHand()
			foreign := w.plainJob()
			foreign.Labels = map[string]string{v1alpha1.LabelPipelineJob: byHand.Name} // otherwise the operator would not see it
			w.Expect(w.Kube.Create(w.Ctx, foreign)).To(Succeed())
			byHand.Finalizers = []string{v1alpha1.FinalizerPipelineJob}
			byHand.Spec.SecretConfiguration = []string{"Token"}
			secrets := []*corev1.Secret{w.secret(byHand.Name), w.secret(byHand.Name + "-1"), w.secret("pipelinejob-" + byHand.Name)}
			for _, secret := range secrets {
				w.Expect(w.Kube.Create(w.Ctx, secret)).To(Succeed())
			}
			w.Expect(w.Kube.Create(w.Ctx, byHand)).To(Succeed())
			byHand.Status.Protocol.AcknowledgedJobID, byHand.Status.Protocol.AcknowledgedNonce = byHand.Spec.CodePipelineJob.ID, "1"
			byHand.Status.Protocol.Secret = &v1alpha1.SecretState{JobID: byHand.Spec.CodePipelineJob.ID, UID: secrets[0].UID}
			forge(byHand, foreign)
			w.Expect(w.Kube.Status().Update(w.Ctx, byHand)).To(Succeed())
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed()) // so that the account works for the namespace
			w.awaitRegistration()
			w.Expect(w.Kube.Delete(w.Ctx, byHand)).To(Succeed())
			w.Await(func(g Gomega) {
				g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(byHand), byHand))).To(BeTrue())
			})
			for _, object := range []client.Object{foreign, secrets[0], secrets[1], secrets[2]} {
				version := object.GetResourceVersion()
				w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(object), object)).To(Succeed(), object.GetName())
				w.Expect(object.GetResourceVersion()).To(Equal(version), object.GetName())
			}
		})
	}
}

// TestOperatorThatThePoliciesDoNotName can't write anything, and an event of the CustomAction has
// the reason.
func TestOperatorThatThePoliciesDoNotName(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(w.events(g, "work")).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonStatusRefused),
			HaveField("Note", ContainSubstring("If this is the operator under another name, the policy has to name it")))))
	})
}
