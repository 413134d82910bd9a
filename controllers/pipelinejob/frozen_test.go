package pipelinejob

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// frozen is an operator that freezes in a call to CodePipeline until it is thawed.
type frozen struct {
	*Reconciler
	// entered is closed when the call is in progress.
	entered chan struct{}
	thawed  chan struct{}
	thaw    func()
}

// thaw says what happens to the call in which an operator was frozen.
type thaw string

const (
	thawsBefore thaw = "CodePipeline receives the call after the thaw"
	thawsAfter  thaw = "CodePipeline received the call before the freeze"
	thawsFault  thaw = "the answer is an error"
)

// freeze returns an operator that freezes in the first call of an operation.
func (p *play) freeze(t *testing.T, operation string, at thaw) *frozen {
	f := &frozen{entered: make(chan struct{}), thawed: make(chan struct{})}
	f.thaw = sync.OnceFunc(func() { close(f.thawed) })
	to, err := url.Parse(p.aws.URL())
	p.Expect(err).NotTo(HaveOccurred())
	pass := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+operation) {
			pass.ServeHTTP(w, r)
			return
		}
		hold := func() {
			close(f.entered)
			<-f.thawed
		}
		switch at {
		case thawsBefore:
			hold()
			pass.ServeHTTP(w, r)
		case thawsAfter:
			pass.ServeHTTP(w, r) // the answer is sent when the handler returns
			hold()
		case thawsFault:
			hold()
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(f.thaw)
	f.Reconciler = p.newOperator(append(p.cloud(), config.WithBaseEndpoint(server.URL))...)
	return f
}

// reconcile starts the operator's call, does something in the meantime, and thaws the
// operator.
func (f *frozen) reconcile(p *play, name string, meanwhile func()) error {
	ended := make(chan error, 1)
	go func() {
		_, err := f.advanceInLane(p.ctx, requestFor(name).NamespacedName, takerAccount)
		ended <- err
	}()
	<-f.entered
	meanwhile()
	f.thaw()
	return <-ended
}

// pipelineJob returns the only PipelineJob.
func (p *play) pipelineJob() *v1alpha1.PipelineJob {
	jobs := p.pipelineJobs()
	p.Expect(jobs).To(HaveLen(1))
	return &jobs[0]
}

// until takes steps, with polls, until the PipelineJob is as wanted.
func (p *play) until(is func(*v1alpha1.PipelineJob) bool) {
	for range 30 {
		if is(p.pipelineJob()) {
			return
		}
		p.step(p.pipelineJob().Name)
		if is(p.pipelineJob()) {
			return
		}
		p.clock.Step(10 * time.Second) // a continuation takes a while
		p.poll(nil)
	}
	p.Expect(p.pipelineJob().Status).To(BeNil(), "the PipelineJob never got there")
}

func runs1(job *v1alpha1.PipelineJob) bool { return runsAs(job, 1) }
func runs2(job *v1alpha1.PipelineJob) bool { return runsAs(job, 2) }

func runsAs(job *v1alpha1.PipelineJob, number int32) bool {
	return job.Status.Phase == v1alpha1.PhaseRunning && job.Status.Run.Number == number
}

func reporting(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseReporting }

// TestFrozenOperatorOverwritesNothing freezes an operator in a call, has another one take over
// and continue the job, and thaws the first. Whatever the answer to its call, what the other
// recorded must stay.
func TestFrozenOperatorOverwritesNothing(t *testing.T) {
	const done, later = `{"result":{"summary":"done"}}`, `{"result":{"continuationToken":"later"}}`
	claims := map[string]struct {
		result string // of run 1; empty: it continues
		is     func(*v1alpha1.PipelineJob) bool
	}{
		"the job runs":             {"", runs1},
		"the job is reported":      {done, (*v1alpha1.PipelineJob).Settled},
		"the job's next part runs": {later, runs2},
	}
	reports := map[string]struct {
		result string
		is     func(*v1alpha1.PipelineJob) bool
	}{
		"the job is reported":      {done, (*v1alpha1.PipelineJob).Settled},
		"the job's next part runs": {later, runs2},
	}
	for _, at := range []thaw{thawsBefore, thawsAfter, thawsFault} {
		for name, c := range claims {
			t.Run("claim: "+name+", "+string(at), func(t *testing.T) {
				p := newPlay(t)
				defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
				p.start(nil)
				p.poll(nil)
				p.thawOver(p.freeze(t, operationAcknowledge, at), func() {
					p.until(runs1)
					if c.result != "" {
						p.end(&p.running()[0], c.result)
					}
					p.until(c.is)
				})
			})
		}
		for name, c := range reports {
			t.Run("report: "+name+", "+string(at), func(t *testing.T) {
				p := newPlay(t)
				defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
				p.start(nil)
				p.poll(nil)
				p.until(runs1)
				p.end(&p.running()[0], c.result)
				p.until(reporting)
				p.thawOver(p.freeze(t, operationSuccess, at), func() { p.until(c.is) })
			})
		}
	}
}

// TestFrozenOperatorWritesNoSecret freezes an operator during GetJobDetails, and thaws it when
// the job has ended and its Secret is gone.
func TestFrozenOperatorWritesNoSecret(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Run != nil })
	p.thawOver(p.freeze(t, operationDetails, thawsAfter), func() {
		p.until(runs1)
		p.Expect(p.secrets).NotTo(BeEmpty())
		p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
		p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() && job.Status.Protocol.Secret == nil })
	})
	p.Expect(p.secrets).To(BeEmpty())
}

// thawOver does something while an operator is frozen, and expects that the operator, once
// thawed, overwrites nothing.
func (p *play) thawOver(f *frozen, meanwhile func()) {
	var recorded *v1alpha1.PipelineJob
	_ = f.reconcile(p, p.pipelineJob().Name, func() { // it may fail with a conflict
		meanwhile()
		recorded = p.pipelineJob()
	})
	p.Expect(p.pipelineJob().Status).To(Equal(recorded.Status))
	p.Expect(p.pipelineJob().ResourceVersion).To(Equal(recorded.ResourceVersion))
}

// TestAnswerIsNotLostToThePoller has the poller update spec.codePipelineJob while a claim is
// in progress. The answer must be recorded, for the nonce that was claimed.
func TestAnswerIsNotLostToThePoller(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	first := p.pipelineJob()
	p.Expect(p.freeze(t, operationAcknowledge, thawsBefore).reconcile(p, first.Name, func() {
		moved := p.pipelineJob()
		before := moved.DeepCopy()
		moved.Spec.CodePipelineJob.Nonce = "another"
		moved.Generation++ // as the API server does
		p.Expect(p.kube.Patch(p.ctx, moved, client.MergeFrom(before))).To(Succeed())
	})).To(Succeed())
	got := p.pipelineJob()
	p.Expect(got.Status.Protocol.AcknowledgedJobID).To(Equal(first.Spec.CodePipelineJob.ID))
	p.Expect(got.Status.Protocol.AcknowledgedNonce).To(Equal(first.Spec.CodePipelineJob.Nonce))
	p.Expect(got.Status.Protocol.Call).To(BeNil())
	p.Expect(got.Status.ObservedGeneration).To(Equal(first.Generation), "the new nonce is not claimed yet")
	p.Expect(got.Spec.CodePipelineJob.Nonce).To(Equal("another"))
}

// TestNonceOfAContinuationIsOutdated hands a continuation out again before it is claimed. The
// claim fails with InvalidNonce, which must not end the work.
func TestNonceOfAContinuationIsOutdated(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(runs1)
	p.end(&p.running()[0], `{"result":{"continuationToken":"later"}}`)
	p.until(func(job *v1alpha1.PipelineJob) bool {
		return job.Spec.CodePipelineJob.ID != job.Status.Protocol.AcknowledgedJobID
	})
	p.clock.Step(time.Minute) // it is handed out again, which is not recorded yet
	polled, err := p.pipelines.PollForJobs(p.ctx, &sdk.PollForJobsInput{ActionTypeId: harness.WorkType()})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(polled.Jobs).To(HaveLen(1))
	p.step(p.pipelineJob().Name)
	p.Expect(p.pipelineJob().Settled()).To(BeFalse())

	moved := p.pipelineJob()
	before := moved.DeepCopy()
	moved.Spec.CodePipelineJob.Nonce = *polled.Jobs[0].Nonce
	moved.Generation++ // as the API server does
	p.Expect(p.kube.Patch(p.ctx, moved, client.MergeFrom(before))).To(Succeed())
	p.until(runs2)
}

// TestContinuationIsClaimedElsewhere: if no new nonce is recorded in time, the continuation
// counts as another worker's.
func TestContinuationIsClaimedElsewhere(t *testing.T) {
	g := NewWithT(t)
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	job := &v1alpha1.PipelineJob{}
	job.Spec.CodePipelineJob.PolledAt = &metav1.Time{Time: p.clock.Now()}
	g.Expect(p.operator.maybeHandedOutAgain(state{job: job})).To(BeFalse(), "a first claim")
	job.Status.Protocol.AcknowledgedJobID = "earlier"
	g.Expect(p.operator.maybeHandedOutAgain(state{job: job})).To(BeTrue())
	p.clock.Step(claimGracePeriod)
	g.Expect(p.operator.maybeHandedOutAgain(state{job: job})).To(BeFalse())
	leading := state{job: job, leadingSince: p.clock.Now().Add(-time.Minute)}
	g.Expect(p.operator.maybeHandedOutAgain(leading)).To(BeTrue(), "without a leader, no nonce was recorded")
}
