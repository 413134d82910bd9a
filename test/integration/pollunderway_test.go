package integration

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// gate holds back the answer to one poll, which hands out a job.
type gate struct {
	armed        atomic.Bool
	handed, open chan struct{}
}

// RoundTrip is that of http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PollForJobs") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if bytes.Contains(body, []byte(`"nonce"`)) && g.armed.CompareAndSwap(true, false) {
		close(g.handed)
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return answer, nil
}

// gated has the calls of operators go through a gate.
func (w *world) gated() *gate {
	w.T.Setenv("AWS_CA_BUNDLE", "") // the SDK adds it to its own transports alone
	g := &gate{handed: make(chan struct{}), open: make(chan struct{})}
	w.adjust = append(w.adjust, func(o *operator.Options) {
		o.AWSConfig = append(o.AWSConfig, config.WithHTTPClient(&http.Client{Transport: g}))
	})
	return g
}

// TestPollUnderWayWhileAnotherActionTakesThePlace has an action move while its poll is under way,
// which hands out a job, and another take its place. The work is one action's: both would poll for
// its continuations.
func TestPollUnderWayWhileAnotherActionTakesThePlace(t *testing.T) {
	w := newWorld(t, func(o *emulator.Options) {
		o.RedispatchAfter, o.ContinuationDelay = harness.Redispatch, 4*time.Second
	})
	polls := w.gated()
	w.operate()
	with := func(a *v1alpha1.CustomAction) {
		queried("web")(a)
		a.Spec.Progress = &v1alpha1.Progress{Interval: metav1.Duration{Duration: progressEvery}}
	}
	w.Expect(w.Kube.Create(w.Ctx, w.Action(with))).To(Succeed())
	w.readyReason("work", v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(with, named("two")))).To(Succeed())
	w.readyReason("two", v1alpha1.ReasonActionTypeTaken)
	polls.armed.Store(true)
	w.StartPipeline(map[string]string{"Target": "web"})
	<-polls.handed
	w.change(queried("mobile"))
	w.readyReason("two", v1alpha1.ReasonReady)
	close(polls.open)
	run := w.RunningJob(1)
	w.Expect(w.PipelineJob(w).Spec.ActionRef.Name).To(Equal("two"))
	w.follow(run)
	before := w.PipelineJob(w).Spec.CodePipelineJob.ID
	w.tell(run, 40, "unit tests")
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).Spec.CodePipelineJob.ID).NotTo(Equal(before)) })
	w.Expect(w.Jobs(w)).To(HaveLen(1), "the work is not done twice")
}

// TestPollUnderWayInARegionThatItsAccountLeaves: no calls may be made for the job, which keeps no
// slot.
func TestPollUnderWayInARegionThatItsAccountLeaves(t *testing.T) {
	w := newWorld(t)
	polls := w.gated()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.Polling.MaxConcurrentJobs = 1 }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	polls.armed.Store(true)
	w.StartPipeline(map[string]string{"Target": "all"})
	<-polls.handed
	w.changeAccount(func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = []v1alpha1.Region{"eu-west-1"} })
	w.Await(func(g Gomega) { w.expectRegistered(g, "eu-west-1", "111122223333") })
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	close(polls.open)
	there, err := config.LoadDefaultConfig(w.Ctx, append(w.Cloud(), config.WithRegion("eu-west-1"))...)
	w.Expect(err).NotTo(HaveOccurred())
	w.startTarget(sdk.NewFromConfig(there), "elsewhere", "all")
	w.RunningJob(1)
	w.Expect(w.PipelineJob(w).Spec.Region).To(BeEquivalentTo("eu-west-1"))
}

// TestPassingMistakeGivesNoJobsAwayAcrossARestart restarts the operator while the template of the
// CustomAction that takes the jobs is wrong.
func TestPassingMistakeGivesNoJobsAwayAcrossARestart(t *testing.T) {
	w := newWorld(t)
	neighbour := w.neighbour()
	w.changeAccount(grantTo(w.Namespace, neighbour))
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.withoutOwner()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(neighbour), using(w.Namespace)))).To(Succeed())
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.Await(func(g Gomega) {
		action := w.Action()
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		g.Expect(action.Status.LastPollTime).NotTo(BeNil())
	})
	mistake := func(args ...string) func(*v1alpha1.CustomAction) {
		return func(a *v1alpha1.CustomAction) {
			a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = args
		}
	}
	w.change(mistake("$(config.Typo)"))
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	stop()
	w.AWS.ClearJournal()
	w.operate()
	w.changeIn(neighbour, labelled("again"))
	w.Await(func(g Gomega) {
		g.Expect(w.AWS.Journal("ListTagsForResource")).NotTo(BeEmpty(), "the neighbour's is examined")
	})
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)
	w.change(mistake())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.readyIn(neighbour, v1alpha1.ReasonActionTypeTaken)

	w.change(mistake("$(config.Typo)"))
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.Clock.Step(releaseAfter)
	w.change(labelled("due"))
	w.readyIn(neighbour, v1alpha1.ReasonReady)
}

// TestHolderWithASettledJobGoesOn has the CustomAction that the tags name return while a neighbour
// has a settled job of which CodePipeline confirmed nothing: the neighbour can't give way for a day,
// and takes new jobs meanwhile.
func TestHolderWithASettledJobGoesOn(t *testing.T) {
	w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
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
	for _, operation := range []string{"AcknowledgeJob", "PutJobSuccessResult"} { // their answers are lost
		w.Expect(w.AWS.Inject(emulator.Fault{Operation: operation, Kind: emulator.ResetAfter, Times: 1})).To(Succeed())
	}
	w.startTarget(w.Pipelines, "one", "web")
	running := func(g Gomega, count int) {
		w.Clock.Step(passing)
		of := w.jobsIn(g, neighbour)
		g.Expect(of).To(HaveLen(count))
		g.Expect(of).To(ContainElement(HaveField("Status.Phase", v1alpha1.PhaseRunning)))
	}
	w.Await(func(g Gomega) { running(g, 1) })
	w.Succeed(w.runningIn(neighbour), podcontract.Result{})
	w.Await(func(g Gomega) {
		w.Clock.Step(passing)
		g.Expect(w.jobsIn(g, neighbour)).To(ConsistOf(And(HaveField("Settled()", true), HaveField("Status.Protocol.ClaimUnconfirmed", true))))
	})
	restore()
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonActionTypeTaken)
	w.startTarget(w.Pipelines, "two", "web")
	w.Await(func(g Gomega) { running(g, 2) })
}
