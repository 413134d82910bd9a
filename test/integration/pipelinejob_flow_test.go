package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// begin returns a world in which the operator runs the only action of a pipeline.
func begin(t *testing.T, faults ...emulator.Fault) (w *world, stop func()) {
	w = newWorld(t)
	for _, fault := range faults {
		w.Expect(w.AWS.Inject(fault)).To(Succeed())
	}
	return w, w.work()
}

// work starts an operator, creates the CustomAction "work" and starts a pipeline that uses it.
func (w *world) work(changes ...func(*v1alpha1.CustomAction)) (stop func()) {
	stop = w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(changes...))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "all"})
	return stop
}

func (w *world) awaitRegistration() {
	w.Await(func(g Gomega) {
		var action v1alpha1.CustomAction
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, &action)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(action.Status.Conditions, v1alpha1.ConditionRegistered)).To(BeTrue())
	})
}

func TestWorkThatSucceeds(t *testing.T) {
	w, _ := begin(t)
	w.Succeed(w.RunningJob(1), podcontract.Result{
		Summary:         "12 tests passed",
		OutputVariables: map[string]string{"TESTS": "12"},
		CurrentRevision: &podcontract.Revision{Revision: "r1", ChangeIdentifier: "c1"},
	})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(aws.ToString(state.Summary)).To(Equal("12 tests passed"))
		g.Expect(aws.ToInt32(state.PercentComplete)).To(BeEquivalentTo(100))
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
		g.Expect(aws.ToString(state.ExternalExecutionId)).To(Equal(w.Namespace + "." + pj.Name + "-1"))
		for _, condition := range []string{v1alpha1.ConditionAcknowledged, v1alpha1.ConditionComplete, v1alpha1.ConditionReported} {
			g.Expect(meta.IsStatusConditionTrue(pj.Status.Conditions, condition)).To(BeTrue(), condition)
		}
		g.Expect(pj.Status.Protocol.Secret).To(BeNil())
	})
	executions, err := w.Pipelines.ListActionExecutions(w.Ctx, &sdk.ListActionExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(executions.ActionExecutionDetails[0].Output.OutputVariables).To(Equal(map[string]string{"TESTS": "12"}))
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(1))
	w.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1))
	w.Expect(w.Calls("GetJobDetails")).To(Equal(1))
	w.Expect(w.Calls("ListActionTypes")).To(BeNumerically("<=", 2), "a job's steps cost no look at the registration; the test lists once")
}

// succeedByLog is Succeed for a result in the log of the pod. It returns the log.
func (w *world) succeedByLog(job *batchv1.Job, given podcontract.Result) (log string) {
	w.T.Helper()
	return w.giveBackByLog(job, podcontract.RunResult{Result: given})
}

// giveBackByLog is succeedByLog with further findings of the report container.
func (w *world) giveBackByLog(job *batchv1.Job, given podcontract.RunResult) (log string) {
	w.T.Helper()
	var text bytes.Buffer
	message, err := podcontract.WrapResult(given, 200, &text)
	w.Expect(err).NotTo(HaveOccurred())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
		harness.Terminated(podcontract.ContainerReport, 0, string(message)),
	}})
	w.EndJob(job, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	return text.String()
}

func (w *world) resultIsUnread() {
	w.T.Helper()
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		complete := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionComplete)
		g.Expect(complete).NotTo(BeNil())
		g.Expect(complete.Status).To(Equal(metav1.ConditionFalse))
		g.Expect(complete.Reason).To(Equal(v1alpha1.ReasonRetrying))
		g.Expect(complete.Message).To(ContainSubstring("the result of the work can't be read: no log of container codepipeline-report"))
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
}

func TestAResultThatCantBeReadAtFirst(t *testing.T) {
	w, _ := begin(t)
	for run, given := range []podcontract.Result{
		{ContinuationToken: strings.Repeat("t", 500)},
		{Summary: "done", OutputVariables: map[string]string{"K": strings.Repeat("v", 500)}},
	} {
		job := w.RunningJob(run + 1)
		log := w.succeedByLog(job, given)
		w.resultIsUnread()
		w.Logs.Write(job.Name+"-pod", podcontract.ContainerReport, log)
	}
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(w.PipelineJob(g).Status.OutputVariables).To(HaveKey("K"))
	})
}

func TestAResultThatCantBeReadForLong(t *testing.T) {
	w, _ := begin(t)
	w.succeedByLog(w.RunningJob(1), podcontract.Result{OutputVariables: map[string]string{"K": strings.Repeat("v", 500)}})
	w.resultIsUnread()
	w.Clock.Step(pipelinejob.ReadGrace)
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("SystemUnavailable"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring("the result of the work could not be read for 10m: no log of container"))
	})
}

// TestAResultThatKubernetesDoesNotTake: the operator must not retry forever without reporting the
// error.
func TestAResultThatKubernetesDoesNotTake(t *testing.T) {
	w := newWorld(t)
	w.wrap = func(next http.RoundTripper) http.RoundTripper { return refusing{next, "RESULT"} }
	w.work()
	w.Succeed(w.RunningJob(1), podcontract.Result{Summary: "RESULT"})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("ConfigurationError"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(HavePrefix("Kubernetes can't store the result of the work: "))
	})
}

// refusing is an API server that refuses a status with a text.
type refusing struct {
	next http.RoundTripper
	text string
}

func (r refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodPatch || !strings.HasSuffix(request.URL.Path, "/status") {
		return r.next.RoundTrip(request)
	}
	content, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(content))
	if !bytes.Contains(content, []byte(r.text)) {
		return r.next.RoundTrip(request)
	}
	refusal := apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("PipelineJob").GroupKind(), "work", nil).Status()
	refusal.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	text, err := json.Marshal(refusal)
	return &http.Response{
		StatusCode: http.StatusUnprocessableEntity, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(text)), Request: request,
	}, err
}

func TestStepThatFails(t *testing.T) {
	w, _ := begin(t)
	w.FailStep(w.RunningJob(1), "assertion failed: 1 != 2\n")
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("JobFailed"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp("^step \"work\" failed: exit code 3\\. The whole log: kubectl logs -n %s work-.* -c work\nassertion failed: 1 != 2$", w.Namespace))
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseFailed))
		g.Expect(pj.Status.FailureDetails.ExternalExecutionID).To(Equal(w.Namespace + "." + pj.Name + "-1"))
	})
}

func TestWorkThatContinues(t *testing.T) {
	w, _ := begin(t)
	for run := 1; run <= 2; run++ {
		w.Succeed(w.RunningJob(run), podcontract.Result{ContinuationToken: fmt.Sprintf("deploy-%d", run), PercentComplete: ptr.To(int32(30 * run))})
	}
	last := w.RunningJob(3)
	steps := last.Spec.Template.Spec.InitContainers
	w.Expect(steps[2].Env).To(ContainElement(corev1.EnvVar{Name: podcontract.EnvContinuationToken, Value: "deploy-2"}))
	w.Succeed(last, podcontract.Result{Summary: "deployed"})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(aws.ToString(state.Summary)).To(Equal("deployed"))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(3))
	w.Expect(w.Calls("PutJobSuccessResult")).To(Equal(3))
}

// TestAnswersOfAWS lets a call fail in each possible way, and expects that the work is done once
// and reported once.
func TestAnswersOfAWS(t *testing.T) {
	for _, operation := range []string{"AcknowledgeJob", "GetJobDetails", "PutJobSuccessResult"} {
		for _, kind := range []emulator.FaultKind{emulator.Throttle, emulator.ServerError, emulator.ServerErrorAfter, emulator.ResetBefore, emulator.ResetAfter, emulator.AccessDenied} {
			t.Run(fmt.Sprintf("%s %s", operation, kind), func(t *testing.T) {
				w, _ := begin(t, emulator.Fault{Operation: operation, Kind: kind})
				w.Succeed(w.RunningJob(1), podcontract.Result{Summary: "done"})
				w.Await(func(g Gomega) {
					g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
					pj := w.PipelineJob(g)
					g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
					g.Expect(pj.Status.Protocol.Call).To(BeNil())
				})
				w.Expect(w.Jobs(w)).To(HaveLen(1))
			})
		}
	}
}

// TestAnotherWorkerClaimsFirst: another worker polls and claims a job, while the operator has the
// record of a concurrent poll.
func TestAnotherWorkerClaimsFirst(t *testing.T) {
	w := newWorld(t)
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	stop()
	w.StartPipeline(nil)
	polled, err := w.Pipelines.PollForJobs(w.Ctx, &sdk.PollForJobsInput{ActionTypeId: &types.ActionTypeId{
		Category: types.ActionCategoryTest, Owner: types.ActionOwnerCustom, Provider: aws.String("work"), Version: aws.String("1"),
	}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(polled.Jobs).To(HaveLen(1))
	job := polled.Jobs[0]
	_, err = w.Pipelines.AcknowledgeJob(w.Ctx, &sdk.AcknowledgeJobInput{JobId: job.Id, Nonce: job.Nonce})
	w.Expect(err).NotTo(HaveOccurred())

	record := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "work-1", Namespace: w.Namespace}}
	record.Spec.ActionRef.Name, record.Spec.AccountRef.Name, record.Spec.Region = "work", w.Namespace, "us-east-1"
	record.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: *job.Id, Nonce: *job.Nonce}
	w.Expect(w.Kube.Create(w.Ctx, record)).To(Succeed())
	w.operate()
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseDropped))
		g.Expect(pj.Status.Conditions).To(ContainElement(HaveField("Reason", v1alpha1.ReasonClaimedElsewhere)))
	})
	w.Expect(w.Jobs(w)).To(BeEmpty())
}

// TestClaimThatNeverArrived: a claim is lost before it takes effect. Before the next attempt,
// another worker polls the job and does nothing. The response to the next attempt looks as if the
// first one had taken effect.
func TestClaimThatNeverArrived(t *testing.T) {
	w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = harness.Redispatch })
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.ResetBefore})).To(Succeed())
	w.work()
	w.Await(func(g Gomega) {
		polled, err := w.Pipelines.PollForJobs(w.Ctx, &sdk.PollForJobsInput{ActionTypeId: &types.ActionTypeId{
			Category: "Test", Owner: "Custom", Provider: aws.String("work"), Version: aws.String("1"),
		}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(polled.Jobs) == 1 || w.Calls("AcknowledgeJob") == 1).To(BeTrue())
	})
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(1))
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(1))
}

func TestExecutionThatIsAbandoned(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	pj := w.PipelineJob(w)
	_, err := w.Pipelines.StopPipelineExecution(w.Ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &pj.Spec.Pipeline.ExecutionID, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Succeed(job, podcontract.Result{})
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
		reported := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionReported)
		g.Expect(reported.Status).To(Equal(metav1.ConditionFalse))
		g.Expect(reported.Reason).To(Equal(v1alpha1.ReasonJobNoLongerOpen))
	})
}

func TestPipelineJobThatIsDeleted(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	pj := w.PipelineJob(w)
	w.Expect(w.Kube.Delete(w.Ctx, pj)).To(Succeed())
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(Equal("cancelled: the PipelineJob " + w.Namespace + "/" + pj.Name + " was deleted"))
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(pj), pj))).To(BeTrue())
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(job), job))).To(BeTrue())
	})
}

func TestJobThatIsDeletedByHand(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.Expect(w.Kube.Delete(w.Ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("SystemUnavailable"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(Equal("the Kubernetes Job " + job.Name + " was deleted while it was running, and not by the operator. Retry the action"))
	})
	w.Expect(w.Jobs(w)).To(BeEmpty(), "the work is not done again")
}

func TestResultThatBreaksARule(t *testing.T) {
	w, _ := begin(t)
	w.Succeed(w.RunningJob(1), podcontract.Result{OutputVariables: map[string]string{"bad key": "x"}})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("ConfigurationError"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring(`output variable "bad key"`))
	})
}

func TestTextsOverTheLimitsAreCut(t *testing.T) {
	w, _ := begin(t)
	w.Succeed(w.RunningJob(1), podcontract.Result{Summary: strings.Repeat("ä", 3000)})
	w.Await(func(g Gomega) {
		g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal(strings.Repeat("ä", 2047) + "…"))
	})
}

// TestOperatorThatIsRestarted stops the operator in each phase of a job, lets work continue without
// it, and starts another one.
func TestOperatorThatIsRestarted(t *testing.T) {
	w, stop := begin(t)
	job := w.RunningJob(1)
	stop()
	w.Succeed(job, podcontract.Result{ContinuationToken: "again"})
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PutJobSuccessResult", Kind: emulator.ResetAfter})).To(Succeed())
	stop = w.operate()
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1)) })
	stop()
	stop = w.operate()
	job = w.RunningJob(2)
	stop()
	w.Succeed(job, podcontract.Result{Summary: "done"})
	w.operate()
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(2))
	w.Expect(w.Calls("PutJobSuccessResult")).To(Equal(2))
}

func TestSecretValuesAreInTheSecretAlone(t *testing.T) {
	const value = "hunter2-hunter2"
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).NotTo(BeZero()) })
	w.StartPipeline(map[string]string{"Target": "all", "Token": value})
	job := w.RunningJob(1)
	pj := w.PipelineJob(w)

	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: w.Namespace, Name: naming.SecretName(pj)}
	w.Expect(w.Kube.Get(w.Ctx, key, secret)).To(Succeed())
	w.Expect(string(secret.Data["config.Token"])).To(Equal(value))
	var handover podcontract.Handover
	w.Expect(json.Unmarshal(secret.Data[podcontract.HandoverKey], &handover)).To(Succeed())
	w.Expect(handover.JobID).To(Equal(pj.Spec.CodePipelineJob.ID))
	w.Expect(handover.InputArtifacts).To(ConsistOf(HaveField("Bucket", "artifacts")))

	for _, object := range []client.Object{pj, job} {
		content, err := json.Marshal(object)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(string(content)).NotTo(ContainSubstring(value))
		w.Expect(string(content)).NotTo(ContainSubstring(handover.Credentials.SecretAccessKey))
		w.Expect(string(content)).NotTo(ContainSubstring(handover.Credentials.SessionToken))
	}
	w.Succeed(job, podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, key, secret))).To(BeTrue())
	})
}

func TestPipelineJobExpires(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.TTLSecondsAfterFinished = ptr.To[int32](1)
	}))).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).NotTo(BeZero()) })
	w.StartPipeline(nil)
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1), "reported before it is deleted")
		var jobs v1alpha1.PipelineJobList
		g.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace))).To(Succeed())
		g.Expect(jobs.Items).To(BeEmpty())
	})
}

func TestSlotsBoundJobsInFlight(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.Polling.MaxConcurrentJobs = 1
	}))).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).NotTo(BeZero()) })
	w.StartPipeline(nil)
	job := w.RunningJob(1)
	polls := w.Calls("PollForJobs")
	w.Consistently(func() int { return w.Calls("PollForJobs") }).WithTimeout(1500*time.Millisecond).
		Should(Equal(polls), "no slot is free: nothing is polled for")
	w.Succeed(job, podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).To(BeNumerically(">", polls)) })
}
