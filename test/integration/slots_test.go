package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// oneSlot limits an action to one job at a time, with an interval of an hour: anything earlier is
// not caused by the interval.
func oneSlot(a *v1alpha1.CustomAction) {
	a.Spec.Polling.Interval = metav1.Duration{Duration: time.Hour}
	a.Spec.Polling.MaxConcurrentJobs = 1
}

// redispatches are times until an unclaimed job is handed out again. The service does not document
// its own.
var redispatches = map[string]time.Duration{"1ms": time.Millisecond, "500ms": 500 * time.Millisecond, "1m": time.Minute, "never": emulator.RedispatchNever}

// TestQueuedJobIsPolledWhenASlotComesFree: jobs of an action with one slot end one after another.
func TestQueuedJobIsPolledWhenASlotComesFree(t *testing.T) {
	for name, after := range redispatches {
		t.Run("re-dispatch "+name, func(t *testing.T) {
			t.Parallel()
			const jobs = 6
			w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter, o.MaxConcurrentExecutions = after, jobs })
			w.operate()
			w.awaitTypeOf(w.Action(oneSlot))
			w.burst(jobs)
			w.Expect(w.Kube.Create(w.Ctx, w.Action(oneSlot))).To(Succeed())
			w.finishAll(jobs)
			w.inFlightByJournal(func(claimed, asked int) { w.Expect(claimed + asked).To(BeNumerically("<=", 1)) })
		})
	}
}

// awaitTypeOf registers the action type of a CustomAction, so that its pipelines can be created
// before it.
func (w *world) awaitTypeOf(action *v1alpha1.CustomAction) {
	action.Spec.Suspend = true
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(BeTrue())
	})
}

// TestContinuationIsNoticedWhateverTheInterval continues work twice with an interval of an hour.
func TestContinuationIsNoticedWhateverTheInterval(t *testing.T) {
	for name, after := range redispatches {
		t.Run("re-dispatch "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter, o.ContinuationDelay = after, 2*time.Second })
			w.awaitsWork(oneSlot)
			for run := 1; run <= 2; run++ {
				w.Succeed(w.RunningJob(run), podcontract.Result{ContinuationToken: fmt.Sprintf("token-%d", run)})
			}
			w.Succeed(w.RunningJob(3), podcontract.Result{})
			w.succeeds()
		})
	}
}

// awaitsWork starts an operator and a job of an action, whose interval may be long: the pipeline is
// started before the CustomAction exists.
func (w *world) awaitsWork(changes ...func(*v1alpha1.CustomAction)) *batchv1.Job {
	w.operate()
	w.awaitTypeOf(w.Action(changes...))
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(changes...))).To(Succeed())
	return w.RunningJob(1)
}

func (w *world) succeeds() {
	w.T.Helper()
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded)) })
}

// TestAwaitedJobsOfAnActionThatTakesNoNewOnes makes an action not ready while its job runs, and
// then continues the job.
func TestAwaitedJobsOfAnActionThatTakesNoNewOnes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.CustomAction)
		status metav1.ConditionStatus
		reason string
	}{
		"suspended": {func(a *v1alpha1.CustomAction) { a.Spec.Suspend = true }, metav1.ConditionTrue, v1alpha1.ReasonSuspended},
		"a typo in the template": {func(a *v1alpha1.CustomAction) {
			a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Tarhget)"}
		}, metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			job := w.awaitsWork(oneSlot)
			w.change(c.change)
			w.ready(c.status, c.reason)
			_, err := w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
			w.Expect(err).NotTo(HaveOccurred())
			w.Succeed(job, podcontract.Result{ContinuationToken: "again"})
			w.Await(func(g Gomega) { g.Expect(w.Calls("AcknowledgeJob")).To(Equal(2)) })
			w.Expect(w.PipelineJob(w).Spec.CodePipelineJob.ContinuationToken).To(Equal("again"), "and no new job was taken")
		})
	}
}

// TestThrottledExaminationDoesNotStopPolling: the next comparison of a registered action type fails
// for a while.
func TestThrottledExaminationDoesNotStopPolling(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "ListActionTypes", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
	asked := len(w.AWS.Journal("ListActionTypes"))
	w.Clock.Step(11 * time.Minute) // beyond the drift interval
	w.Await(func(g Gomega) { g.Expect(len(w.AWS.Journal("ListActionTypes"))).To(BeNumerically(">", asked)) })
	w.StartPipeline(nil)
	w.Await(func(g Gomega) { g.Expect(w.Calls("AcknowledgeJob")).To(Equal(1)) })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestDryRunWithoutAnAnswerDoesNotStopPolling: the API server times out during the drift check of a
// ready action, which does not count as a refusal of its Jobs.
func TestDryRunWithoutAnAnswerDoesNotStopPolling(t *testing.T) {
	w := newWorld(t)
	var fail atomic.Bool
	var failed atomic.Int64
	w.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !fail.Load() || r.Method != http.MethodPost || !r.URL.Query().Has("dryRun") {
				return next.RoundTrip(r)
			}
			failed.Add(1)
			const body = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"request did not complete","reason":"Timeout","code":504}`
			return &http.Response{StatusCode: http.StatusGatewayTimeout, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
	}
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	fail.Store(true)
	w.Clock.Step(11 * time.Minute) // beyond the drift interval
	w.Await(func(g Gomega) { g.Expect(failed.Load()).To(BeNumerically(">=", 2), "it is tried again") })
	w.StartPipeline(nil)
	w.Await(func(g Gomega) { g.Expect(w.Calls("AcknowledgeJob")).To(Equal(1)) })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestDeletionFindsTheContinuationBehindNewJobs deletes an action whose continued job is queued
// after others that nobody takes.
func TestDeletionFindsTheContinuationBehindNewJobs(t *testing.T) {
	for name, after := range redispatches {
		t.Run("re-dispatch "+name, func(t *testing.T) {
			t.Parallel()
			const others = 20
			w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter, o.MaxConcurrentExecutions = after, others+1 })
			w.operate()
			w.awaitTypeOf(w.Action(oneSlot))
			w.burst(1)
			action := w.Action(oneSlot)
			w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
			job := w.RunningJob(1)
			w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
			w.ready(metav1.ConditionFalse, v1alpha1.ReasonDeleting)
			for range others {
				_, err := w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
				w.Expect(err).NotTo(HaveOccurred())
			}
			w.Succeed(job, podcontract.Result{ContinuationToken: "again"})
			w.Succeed(w.RunningJob(2), podcontract.Result{})
			w.succeeds()
			w.Await(func(g Gomega) {
				g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(BeTrue())
			})
		})
	}
}

// statusWrites counts the writes of the status of the CustomAction "work".
type statusWrites struct {
	mu     sync.Mutex
	bodies []string
}

func (s *statusWrites) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/customactions/work/status") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			s.mu.Lock()
			s.bodies = append(s.bodies, string(body))
			s.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

func (s *statusWrites) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

// TestFailedPollsAreOneStatusWrite: every poll fails, each with another request ID.
func TestFailedPollsAreOneStatusWrite(t *testing.T) {
	w := newWorld(t)
	var writes statusWrites
	w.wrap = writes.wrap
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	message := w.ready(metav1.ConditionFalse, v1alpha1.ReasonAccessDenied)
	w.Expect(message).NotTo(ContainSubstring("RequestID"))
	failed := func() (count int) {
		for _, call := range w.AWS.Journal("PollForJobs") {
			if call.Error != "" {
				count++
			}
		}
		return count
	}
	before := len(writes.written())
	w.Await(func(g Gomega) { g.Expect(failed()).To(BeNumerically(">=", 4)) })
	w.Expect(writes.written()[before:]).To(BeEmpty())
}

// TestLastPollTimeMoves: an idle action is polled for, and jobs come and go. What changes with each
// poll is written once a minute.
func TestLastPollTimeMoves(t *testing.T) {
	w := newWorld(t)
	var writes statusWrites
	w.wrap = writes.wrap
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	status := func(g Gomega) v1alpha1.CustomActionStatus {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		return action.Status
	}
	var first metav1.Time
	w.Await(func(g Gomega) {
		g.Expect(status(g).LastPollTime).NotTo(BeNil())
		first = *status(g).LastPollTime
	})
	before := len(writes.written())
	for range 2 {
		polls := w.Calls("PollForJobs")
		w.Clock.Step(time.Minute)
		w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).To(BeNumerically(">", polls)) })
		w.Await(func(g Gomega) { g.Expect(status(g).LastPollTime.After(first.Time)).To(BeTrue()) })
		first = *status(w).LastPollTime
	}
	w.Expect(len(writes.written()) - before).To(BeNumerically("<=", 3))

	before = len(writes.written())
	w.StartPipeline(nil)
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.succeeds()
	w.Expect(len(writes.written())-before).To(BeNumerically("<=", 1), "not for each step of a job")
}

// TestOneRecordThatFailsOrHangs: the API server fails, or does not respond, when one of many jobs
// is recorded. CodePipeline hands out each job only once.
func TestOneRecordThatFailsOrHangs(t *testing.T) {
	for name, meet := range map[string]func(context.Context) error{
		"fails": func(context.Context) error { return fmt.Errorf("the connection was broken by the test") },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const jobs = 30
			w := newWorld(t, func(o *emulator.Options) {
				o.RedispatchAfter, o.MaxConcurrentExecutions = emulator.RedispatchNever, jobs
			})
			var mu sync.Mutex
			victim := ""
			w.wrap = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/pipelinejobs") {
						return next.RoundTrip(r)
					}
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					var object struct{ Metadata struct{ Name string } }
					if err := json.Unmarshal(body, &object); err != nil {
						return nil, err
					}
					mu.Lock()
					is := victim == ""
					if is {
						victim = object.Metadata.Name
					}
					mu.Unlock()
					if is {
						return nil, meet(r.Context())
					}
					return next.RoundTrip(r)
				})
			}
			w.operate()
			change := func(a *v1alpha1.CustomAction) { oneSlot(a); a.Spec.Polling.MaxConcurrentJobs = jobs }
			w.awaitTypeOf(w.Action(change))
			w.burst(jobs)
			w.Expect(w.Kube.Create(w.Ctx, w.Action(change))).To(Succeed())
			var running batchv1.JobList
			w.Eventually(func(g Gomega) {
				g.Expect(w.Kube.List(w.Ctx, &running, client.InNamespace(w.Namespace))).To(Succeed())
				g.Expect(running.Items).To(HaveLen(jobs))
			}).WithTimeout(2 * harness.Timeout).WithPolling(50 * time.Millisecond).Should(Succeed())
			w.Expect(w.Calls("AcknowledgeJob")).To(Equal(jobs))
		})
	}
}
