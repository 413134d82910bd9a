package integration

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestEndIsAConditionAsOfABatchJob: one of Complete and Failed becomes True when the work has
// ended, so that "kubectl wait --for=condition=Complete" succeeds only for successful work.
func TestEndIsAConditionAsOfABatchJob(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(w *world, job *batchv1.Job)
		phase  v1alpha1.Phase
		is     string
		reason string
		isNot  string
	}{
		"success": {
			func(w *world, job *batchv1.Job) { w.Succeed(job, podcontract.Result{}) },
			v1alpha1.PhaseSucceeded, v1alpha1.ConditionComplete, v1alpha1.ReasonSucceeded, v1alpha1.ConditionFailed,
		},
		"failure": {
			func(w *world, job *batchv1.Job) { w.FailStep(job, "no") },
			v1alpha1.PhaseFailed, v1alpha1.ConditionFailed, v1alpha1.ReasonFailed, v1alpha1.ConditionComplete,
		},
		"execution abandoned, the work goes on": {
			func(w *world, _ *batchv1.Job) { w.abandon() },
			v1alpha1.PhaseCancelled, v1alpha1.ConditionFailed, v1alpha1.ReasonCancelled, v1alpha1.ConditionComplete,
		},
		"execution abandoned, the work succeeds before that is known": {
			func(w *world, job *batchv1.Job) {
				w.abandon()
				w.Succeed(job, podcontract.Result{})
			},
			v1alpha1.PhaseCancelled, v1alpha1.ConditionComplete, v1alpha1.ReasonSucceeded, v1alpha1.ConditionFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if name == "execution abandoned, the work goes on" {
				w.executionInterval = progressEvery
			}
			w.work()
			c.end(w, w.RunningJob(1))
			w.Await(func(g Gomega) {
				w.Clock.Step(w.executionInterval)
				status := w.PipelineJob(g).Status
				g.Expect(status.Phase).To(Equal(c.phase))
				is := meta.FindStatusCondition(status.Conditions, c.is)
				g.Expect(is).NotTo(BeNil())
				g.Expect(is.Status).To(Equal(metav1.ConditionTrue))
				g.Expect(is.Reason).To(Equal(c.reason))
				g.Expect(meta.FindStatusCondition(status.Conditions, c.isNot)).To(BeNil())
				g.Expect(meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionRunning)).To(BeTrue())
				g.Expect(status.FinishedAt).NotTo(BeNil())
				g.Expect(status.FailureDetails != nil).To(Equal(c.is == v1alpha1.ConditionFailed))
			})
		})
	}
}

// abandon stops the execution of the only PipelineJob.
func (w *world) abandon() {
	w.T.Helper()
	_, err := w.Pipelines.StopPipelineExecution(w.Ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &w.PipelineJob(w).Spec.Pipeline.ExecutionID, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
}

// fullJob returns a PipelineJob with every field of the spec.
func (w *world) fullJob() *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "full", Namespace: w.Namespace}}
	artifact := v1alpha1.Artifact{Name: "a", Revision: "1", S3Location: v1alpha1.S3Location{BucketName: "b", ObjectKey: "k"}}
	job.Spec = v1alpha1.PipelineJobSpec{
		ActionRef:  v1alpha1.ActionReference{Name: "work"},
		AccountRef: v1alpha1.AccountReference{Name: w.Namespace}, Region: "us-east-1",
		AccountID: "111122223333", QueryParam: map[string]v1alpha1.QueryValue{"Cluster": "eu-1"},
		Pipeline: v1alpha1.PipelineContext{
			Name: "web", ARN: "arn:aws:codepipeline:us-east-1:111122223333:web", ExecutionID: "e", Stage: "Build", Action: "compile", ActionExecutionID: "x",
		},
		Configuration:       map[string]string{"Level": "1"},
		SecretConfiguration: []string{"Token"},
		InputArtifacts:      []v1alpha1.Artifact{artifact},
		OutputArtifacts:     []v1alpha1.Artifact{artifact},
		EncryptionKey:       &v1alpha1.EncryptionKey{ID: "key", Type: "KMS"},
		CodePipelineJob:     v1alpha1.CodePipelineJob{ID: "1", Nonce: "1"},
	}
	return job
}

// TestWhatCodePipelineHandedOverIsImmutable changes, adds and removes every field of a spec.
func TestWhatCodePipelineHandedOverIsImmutable(t *testing.T) {
	w := newWorld(t)
	bare := w.fullJob()
	bare.Name = "bare"
	bare.Spec.AccountID, bare.Spec.QueryParam, bare.Spec.Configuration, bare.Spec.SecretConfiguration = "", nil, nil, nil
	bare.Spec.InputArtifacts, bare.Spec.OutputArtifacts, bare.Spec.EncryptionKey = nil, nil, nil
	w.Expect(w.Kube.Create(w.Ctx, w.fullJob())).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, bare)).To(Succeed())
	full := w.fullJob().Spec
	changes := map[string]func(to, from *v1alpha1.PipelineJobSpec){
		"accountID":           func(to, from *v1alpha1.PipelineJobSpec) { to.AccountID = from.AccountID },
		"configuration":       func(to, from *v1alpha1.PipelineJobSpec) { to.Configuration = from.Configuration },
		"secretConfiguration": func(to, from *v1alpha1.PipelineJobSpec) { to.SecretConfiguration = from.SecretConfiguration },
		"inputArtifacts":      func(to, from *v1alpha1.PipelineJobSpec) { to.InputArtifacts = from.InputArtifacts },
		"outputArtifacts":     func(to, from *v1alpha1.PipelineJobSpec) { to.OutputArtifacts = from.OutputArtifacts },
		"encryptionKey":       func(to, from *v1alpha1.PipelineJobSpec) { to.EncryptionKey = from.EncryptionKey },
		"queryParam":          func(to, from *v1alpha1.PipelineJobSpec) { to.QueryParam = from.QueryParam },
	}
	edits := map[string]func(*v1alpha1.PipelineJobSpec){
		"actionRef":  func(s *v1alpha1.PipelineJobSpec) { s.ActionRef.Name = "other" },
		"accountRef": func(s *v1alpha1.PipelineJobSpec) { s.AccountRef.Name = "other" },
		"region":     func(s *v1alpha1.PipelineJobSpec) { s.Region = "eu-west-1" },
		"pipeline":   func(s *v1alpha1.PipelineJobSpec) { s.Pipeline.Stage = "Deploy" },
		"accountID":  func(s *v1alpha1.PipelineJobSpec) { s.AccountID = "444455556666" },
		"queryParam": func(s *v1alpha1.PipelineJobSpec) { s.QueryParam = map[string]v1alpha1.QueryValue{"Cluster": "other"} },
		"configuration": func(s *v1alpha1.PipelineJobSpec) {
			s.Configuration = map[string]string{"Level": "2"}
		},
		"secretConfiguration": func(s *v1alpha1.PipelineJobSpec) { s.SecretConfiguration = []string{"Other"} },
		"inputArtifacts":      func(s *v1alpha1.PipelineJobSpec) { s.InputArtifacts[0].S3Location.ObjectKey = "other" },
		"outputArtifacts":     func(s *v1alpha1.PipelineJobSpec) { s.OutputArtifacts[0].S3Location.BucketName = "other" },
		"encryptionKey":       func(s *v1alpha1.PipelineJobSpec) { s.EncryptionKey.ID = "other" },
	}
	refused := func(name, member string, edit func(*v1alpha1.PipelineJobSpec)) {
		t.Run(name+"/"+member, func(t *testing.T) {
			g := NewWithT(t)
			job := &v1alpha1.PipelineJob{}
			g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: map[string]string{"added": "bare"}[name] + map[bool]string{true: "full"}[name != "added"]}, job)).To(Succeed())
			edit(&job.Spec)
			err := w.Kube.Update(w.Ctx, job)
			g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring("spec." + member + ": Invalid value")))
			g.Expect(err).To(MatchError(ContainSubstring(member + " is immutable: it is what CodePipeline handed over")))
		})
	}
	for member, edit := range edits {
		refused("changed", member, edit)
	}
	for member, copyTo := range changes {
		refused("added", member, func(s *v1alpha1.PipelineJobSpec) { copyTo(s, &full) })
		refused("removed", member, func(s *v1alpha1.PipelineJobSpec) { copyTo(s, &v1alpha1.PipelineJobSpec{}) })
	}

	t.Run("codePipelineJob moves on", func(t *testing.T) {
		g := NewWithT(t)
		job := &v1alpha1.PipelineJob{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "full"}, job)).To(Succeed())
		job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "2", Nonce: "7", ContinuationToken: "t"}
		g.Expect(w.Kube.Update(w.Ctx, job)).To(Succeed())
	})
}

// TestPipelineJobIsFoundByThePipelinesNames queries the API server like kubectl.
func TestPipelineJobIsFoundByThePipelinesNames(t *testing.T) {
	w, _ := begin(t)
	w.FailStep(w.RunningJob(1), "no")
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseFailed)) })
	found := func(selector client.ListOption) int {
		var jobs v1alpha1.PipelineJobList
		w.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace), selector)).To(Succeed())
		return len(jobs.Items)
	}
	for field, value := range map[string]string{
		"spec.actionRef.name": "work", "spec.pipeline.name": "p", "spec.pipeline.stage": "Work", "spec.pipeline.action": "work", "status.phase": "Failed",
	} {
		w.Expect(found(client.MatchingFields{field: value})).To(Equal(1), field)
		w.Expect(found(client.MatchingFields{field: "other"})).To(BeZero(), field)
	}
	labels := map[string]string{
		v1alpha1.LabelCustomAction: "work", v1alpha1.LabelPipeline: "p", v1alpha1.LabelStage: "Work", v1alpha1.LabelAction: "work",
	}
	w.Expect(found(client.MatchingLabels(labels))).To(Equal(1))
	job := w.Jobs(w)[0]
	for key := range maps.Keys(labels) {
		w.Expect(job.Labels).To(HaveKeyWithValue(key, labels[key]))
		w.Expect(job.Spec.Template.Labels).To(HaveKeyWithValue(key, labels[key]))
	}
}

// TestDeletionOfAReportedJobTellsNobody: the deletion changes the generation, but is not reported
// to CodePipeline.
func TestDeletionOfAReportedJobTellsNobody(t *testing.T) {
	w, _ := begin(t)
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) {
		job := w.PipelineJob(g)
		g.Expect(job.Settled()).To(BeTrue())
		g.Expect(job.Status.Protocol.Secret).To(BeNil())
	})
	job := w.PipelineJob(w)
	calls := len(w.putCalls())
	w.Expect(w.Kube.Delete(w.Ctx, job)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job))).To(BeTrue())
	})
	w.Expect(w.putCalls()).To(HaveLen(calls), "no result is reported again")
	for _, event := range w.events(w, job.Name) {
		w.Expect(event.Reason).NotTo(Equal(v1alpha1.ReasonJobNoLongerOpen))
	}
}

// putCalls returns all reports to CodePipeline, including refused ones.
func (w *world) putCalls() (calls []string) {
	for _, call := range w.AWS.Journal("PutJobSuccessResult", "PutJobFailureResult") {
		calls = append(calls, call.Operation)
	}
	return calls
}

// TestAFailingStepBacksOff: each attempt changes the status, which triggers a reconciliation, but
// not the next attempt.
func TestAFailingStepBacksOff(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PutJobSuccessResult", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	w.work()
	job := w.RunningJob(1)
	w.Clock.Freeze()
	w.Succeed(job, podcontract.Result{})
	retrying := func(g Gomega) *metav1.Condition {
		reported := meta.FindStatusCondition(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionReported)
		g.Expect(reported).NotTo(BeNil())
		g.Expect(reported.Reason).To(Equal(v1alpha1.ReasonRetrying))
		return reported
	}
	w.Await(func(g Gomega) { retrying(g) })
	w.annotate(50)
	w.Expect(w.putCalls()).To(HaveLen(1), "the clock stands still")
	w.Clock.Step(time.Second)
	w.Await(func(g Gomega) {
		w.annotate(1)
		g.Expect(w.putCalls()).To(HaveLen(2))
	})
	w.annotate(50)
	w.Expect(w.putCalls()).To(HaveLen(2))
}

// annotate changes the only PipelineJob several times, which triggers reconciliations.
func (w *world) annotate(times int) {
	w.T.Helper()
	for n := range times {
		job := w.PipelineJob(w)
		before := job.DeepCopy()
		job.Annotations = map[string]string{"touched": time.Now().String() + strconv.Itoa(n)}
		w.Expect(w.Kube.Patch(w.Ctx, job, client.MergeFrom(before))).To(Succeed())
	}
}
