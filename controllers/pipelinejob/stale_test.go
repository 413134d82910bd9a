package pipelinejob

import (
	"context"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// world is harness.World with a reconciler.
type world struct{ *harness.World }

func newWorld(t *testing.T) *world {
	w := &world{harness.New(t)}
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { harness.InUse(account, w.Namespace) })
	return w
}

// changeAccount changes the account of the world's namespace, including its status.
func (w *world) changeAccount(change func(*v1alpha1.CodePipelineAccount)) {
	account := &v1alpha1.CodePipelineAccount{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: w.Namespace}, account)).To(Succeed())
	change(account)
	status := account.Status
	w.Expect(w.Kube.Update(w.Ctx, account)).To(Succeed())
	account.Status = status
	w.Expect(w.Kube.Status().Update(w.Ctx, account)).To(Succeed())
}

// reconciler returns a Reconciler whose steps the test takes itself, from objects of its
// choice.
func (w *world) reconciler() *Reconciler {
	return New(Options{
		Client: w.indexed(), Live: w.Kube, Identities: identity.Resolver{Reader: w.Kube}, AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}, w.Cloud()...), Clock: clock.RealClock{},
		Events: events.NewFakeRecorder(100), JobOptions: jobspec.Options{RunnerImage: "operator:test"},
	})
}

// indexed returns a client that finds pods by IndexJob, as a cache does.
func (w *world) indexed() client.Client {
	kube, err := client.NewWithWatch(w.Config, client.Options{Scheme: w.Kube.Scheme()})
	w.Expect(err).NotTo(HaveOccurred())
	return interceptor.NewClient(kube, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			given := (&client.ListOptions{}).ApplyOptions(opts)
			pods, ok := list.(*corev1.PodList)
			if !ok || given.FieldSelector == nil {
				return c.List(ctx, list, opts...)
			}
			uid, _ := given.FieldSelector.RequiresExactMatch(IndexJob)
			err := c.List(ctx, pods, client.InNamespace(given.Namespace))
			pods.Items = slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !slices.Contains(ByJob(&pod), uid) })
			return err
		},
	})
}

// recorded creates a PipelineJob, and sets its status with change.
func (w *world) recorded(change func(*v1alpha1.PipelineJobStatus)) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "work-1", Namespace: w.Namespace}}
	job.Spec.ActionRef.Name, job.Spec.AccountRef.Name, job.Spec.Region = "work", w.Namespace, "us-east-1"
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "00000000-0000-0000-0000-000000000001", Nonce: "1"}
	w.Expect(w.Kube.Create(w.Ctx, job)).To(Succeed())
	w.Expect(w.reconciler().writeStatus(w.Ctx, job, change)).To(Succeed())
	return job
}

// passOn makes an object in memory stale, by writing its status again.
func (w *world) passOn(reading *v1alpha1.PipelineJob) {
	newest := reading.DeepCopy()
	w.Expect(w.reconciler().writeStatus(w.Ctx, newest, func(status *v1alpha1.PipelineJobStatus) {
		setCondition(status, v1alpha1.ConditionAcknowledged, metav1.ConditionFalse, v1alpha1.ReasonRetrying, "written in the meantime")
	})).To(Succeed())
}

// TestStaleReadingMakesNoCall has a stale object show a claim or a report as in progress. If
// the call counted as a retry, another worker's claim would count as ours.
func TestStaleReadingMakesNoCall(t *testing.T) {
	steps := map[string]step{operationAcknowledge: stepAcknowledge, operationSuccess: stepReport, operationDetails: stepRenewSecret}
	for operation, step := range steps {
		t.Run(operation, func(t *testing.T) {
			w := newWorld(t)
			stale := w.recorded(func(status *v1alpha1.PipelineJobStatus) {
				status.Protocol.Call = &v1alpha1.Call{Operation: operation, JobID: "00000000-0000-0000-0000-000000000001", Since: metav1.Now(), Tries: 1}
				if operation == operationAcknowledge {
					status.Protocol.Call.Nonce = "1"
				}
			})
			w.passOn(stale)
			w.Expect(apierrors.IsConflict(w.reconciler().take(w.Ctx, step, state{job: stale}, nil))).To(BeTrue())
			w.Expect(w.AWS.Journal()).To(BeEmpty(), "CodePipeline was not called")
		})
	}
}

func TestStaleReadingMakesNoJob(t *testing.T) {
	w := newWorld(t)
	action := w.Action()
	stale := w.recorded(func(status *v1alpha1.PipelineJobStatus) {
		status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1"}
	})
	w.passOn(stale)
	w.Expect(apierrors.IsConflict(w.reconciler().createJob(w.Ctx, state{job: stale}, action))).To(BeTrue())
	w.Expect(w.Jobs(w)).To(BeEmpty())
}

// TestEndIsSeenBeforeThePods has the cache show that a Job has ended before it shows the pod
// with its result.
func TestEndIsSeenBeforeThePods(t *testing.T) {
	w := newWorld(t)
	r := w.reconciler()
	pj := w.recorded(func(status *v1alpha1.PipelineJobStatus) {
		status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1"}
	})
	w.Expect(r.createJob(w.Ctx, state{job: pj}, w.Action())).To(Succeed())
	w.Succeed(&w.Jobs(w)[0], podcontract.Result{Summary: "done"})

	cache, err := client.NewWithWatch(w.Config, client.Options{Scheme: w.Kube.Scheme()})
	w.Expect(err).NotTo(HaveOccurred())
	r.Client = interceptor.NewClient(cache, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, pods := list.(*corev1.PodList); pods {
				return nil // none yet
			}
			return c.List(ctx, list, opts...)
		},
	})
	s, _, err := r.gather(w.Ctx, pj)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(s.outcome.Result).To(Equal(&podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}))
}

// TestAJobThatIsHandedOutAgainGoesOn: a claim can fail because CodePipeline handed the job out
// again in the meantime, with another nonce. The PipelineJob is then cancelled, and must
// continue when the new nonce is claimed.
func TestAJobThatIsHandedOutAgainGoesOn(t *testing.T) {
	for name, cancel := range map[string]func(*Reconciler, context.Context, *v1alpha1.PipelineJob) error{
		"claimed elsewhere": func(r *Reconciler, ctx context.Context, job *v1alpha1.PipelineJob) error {
			return r.drop(ctx, job, r.writeStatus, v1alpha1.ReasonClaimedElsewhere, "another worker claimed the job first")
		},
		"no longer open": func(r *Reconciler, ctx context.Context, job *v1alpha1.PipelineJob) error {
			return r.unreported(ctx, job, r.writeStatus, v1alpha1.ReasonJobNoLongerOpen, "the execution was stopped")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.reconciler()
			job := w.recorded(func(status *v1alpha1.PipelineJobStatus) {
				status.Protocol.AcknowledgedJobID = "00000000-0000-0000-0000-000000000000" // the previous job
				status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1", FinishedAt: &metav1.Time{Time: time.Now()}}
				status.ContinuationToken = "token"
			})
			w.Expect(cancel(r, w.Ctx, job)).To(Succeed())
			w.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
			w.Expect(meta.IsStatusConditionTrue(job.Status.Conditions, v1alpha1.ConditionFailed)).To(BeTrue())

			before := job.DeepCopy()
			job.Spec.CodePipelineJob.Nonce, job.Spec.CodePipelineJob.ContinuationToken = "2", "token"
			w.Expect(w.Kube.Patch(w.Ctx, job, client.MergeFrom(before))).To(Succeed())
			next, _ := decide(state{job: job, now: time.Now(), longest: DefaultActionTimeout})
			w.Expect(next).To(Equal(stepAcknowledge))
			_, err := r.recordCall(w.Ctx, job, v1alpha1.Call{Operation: operationAcknowledge, Nonce: "2"})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(r.acknowledged(w.Ctx, state{job: job, now: time.Now()}, true)).To(Succeed())
			w.Expect(meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionFailed)).To(BeNil())
			w.Expect(job.Status.FailureDetails).To(BeNil())
			w.Expect(job.Status.FinishedAt).To(BeNil())
			next, _ = decide(state{job: job, now: time.Now(), longest: DefaultActionTimeout})
			w.Expect(next).To(Equal(stepCreateJob), "the next run, not a report")
			w.Expect(job.Status.Run.Number).To(BeEquivalentTo(2))
		})
	}
}

// TestForgedPod has a tenant create pods with the label of a run's Job. They must not count,
// whether read from the cache or from the API server.
func TestForgedPod(t *testing.T) {
	w := newWorld(t)
	r := w.reconciler()
	pj := w.recorded(func(status *v1alpha1.PipelineJobStatus) {
		status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1-1"}
	})
	w.Expect(r.createJob(w.Ctx, state{job: pj}, w.Action())).To(Succeed())
	job := &w.Jobs(w)[0]
	forge := func(name string, owners ...metav1.OwnerReference) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: w.Namespace, OwnerReferences: owners, Labels: map[string]string{batchv1.JobNameLabel: job.Name},
		}, Spec: job.Spec.Template.Spec}
		w.Expect(w.Kube.Create(w.Ctx, pod)).To(Succeed())
		pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
			harness.Terminated(podcontract.ContainerReport, 0, `{"result":{"summary":"forged"}}`),
		}}
		w.Expect(w.Kube.Status().Update(w.Ctx, pod)).To(Succeed())
	}
	forge("a-forged", metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: "another", Controller: ptr.To(true)})
	forge("b-forged")
	forge("c-forged", metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID})
	s, _, err := r.gather(w.Ctx, pj)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(s.pods).To(BeEmpty(), "for a running Job, from the cache")

	w.Succeed(job, podcontract.Result{Summary: "done"})
	s, _, err = r.gather(w.Ctx, pj)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(s.outcome.Result).To(Equal(&podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}))
}
