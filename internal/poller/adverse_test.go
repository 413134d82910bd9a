package poller

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestOldPollAnswerMovesNothingBack: the object is at job 2, whose progress was reported. The
// old answer of a leader that was frozen in its poll hands out job 1.
func TestOldPollAnswerMovesNothingBack(t *testing.T) {
	g := NewWithT(t)
	known := &v1alpha1.PipelineJob{}
	known.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "2", Nonce: "n2", ContinuationToken: "progress/work-1/1", PolledAt: &metav1.Time{Time: time.Now()}}
	known.Status.Run = &v1alpha1.Run{Number: 1, JobName: "work-1"}
	known.Status.Protocol.AcknowledgedJobID, known.Status.Protocol.AcknowledgedNonce = "2", "n2"
	offered := &v1alpha1.PipelineJob{}
	offered.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "1", Nonce: "n1", PolledAt: &metav1.Time{Time: time.Now().Add(-time.Hour)}}
	became, err := compare(known, offered)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(became).NotTo(Equal(intakeContinued), "job 2 is claimed and running, and awaits nothing: job 1 is no continuation")
	known.Status.Protocol.ReportedJobID = "2"
	known.Status.Protocol.Progress = &v1alpha1.ProgressReport{ContinuationToken: "progress/work-1/2"}
	became, err = compare(known, offered)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(became).NotTo(Equal(intakeContinued), "the awaited job carries the token progress/work-1/2, and this one has none")
}

// TestLateAnswerLeaksNoSlot has the answer to the poller's patch arrive after the informer has
// shown that the object is gone.
func TestLateAnswerLeaksNoSlot(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = time.Second })
	s.queue(1)
	s.target.MaxConcurrent, s.target.Interval = 2, time.Second
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	name := first(s.jobs(s))
	slotsOf := func() int {
		s.poller.capacity.mu.Lock()
		defer s.poller.capacity.mu.Unlock()
		if of := s.poller.capacity.actions[action]; of != nil {
			return len(of.slots) + len(of.reserved)
		}
		return 0
	}
	s.await(func(g Gomega) { g.Expect(slotsOf()).To(Equal(1)) })

	known := s.jobs(s)[name].DeepCopy()
	record := known.DeepCopy()
	record.Spec.CodePipelineJob.Nonce = "another"
	slow := interceptor.NewClient(s.kube, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			err := c.Patch(ctx, o, patch, opts...) // it has its effect; its answer is slow
			s.Expect(err).NotTo(HaveOccurred())
			gone := &v1alpha1.PipelineJob{}
			s.Expect(c.Get(ctx, client.ObjectKeyFromObject(o), gone)).To(Succeed())
			gone.Finalizers = nil
			s.Expect(c.Update(ctx, gone)).To(Succeed())
			s.Expect(c.Delete(ctx, gone)).To(Succeed())
			s.await(func(g Gomega) { g.Expect(slotsOf()).To(Equal(0), "the informer has shown the deletion") })
			return nil
		},
	})
	l := &loop{poller: &Poller{Client: slow, Live: s.poller.Live, Log: s.poller.Log, capacity: s.poller.capacity}}
	became, err := l.advance(s.ctx, known, record)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(became).To(Equal(intakeRenewed))
	s.Expect(s.jobs(s)).To(BeEmpty())
	s.clock.Step(48 * time.Hour)
	s.await(func(g Gomega) {
		g.Expect(slotsOf()).To(Equal(0), "the slot of a deleted PipelineJob is never freed")
	})
}

// TestJobThatCantBeRecordedHoldsUpNoOther: one job can't be recorded. Others arrive, which the
// event queue announces. The interval is a second.
func TestJobThatCantBeRecordedHoldsUpNoOther(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = time.Second })
	poison := ""
	var mu sync.Mutex
	s.onCreate(func(_ context.Context, job *v1alpha1.PipelineJob) error {
		mu.Lock()
		defer mu.Unlock()
		if poison == "" || poison == job.Name {
			poison = job.Name
			return apierrors.NewInternalError(errors.New("out of order"))
		}
		return nil
	})
	s.queue(1)
	s.target.MaxConcurrent, s.target.Interval = 10, time.Second
	s.poller.Ensure(s.target)
	s.pass(5 * time.Minute)
	longest := time.Duration(0)
	for n := range 3 {
		s.queue(1)
		began := s.clock.Now()
		for len(s.jobs(s)) <= n {
			s.poller.WakeType("us-east-1", "", s.target.Type)
			s.pass(time.Second)
			s.Expect(s.clock.Since(began)).To(BeNumerically("<", 5*time.Minute))
		}
		longest = max(longest, s.clock.Since(began))
		s.pass(90 * time.Second)
	}
	s.Expect(longest).To(BeNumerically("<=", 5*time.Second), "a job waited this long because another one can't be recorded")
}
