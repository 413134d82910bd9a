package poller

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	sdktypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
)

// newSpareStation returns a station whose jobs are never handed out again.
func newSpareStation(t *testing.T, jobsOfAll int32) *station {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	s.poller.init()
	s.poller.capacity.mu.Lock()
	defer s.poller.capacity.mu.Unlock()
	s.poller.capacity.limit = jobsOfAll
	return s
}

// comeToRest lets time pass until the action was just polled and the next poll is at least
// half a minute away.
func (s *station) comeToRest() {
	s.pass(time.Minute)
	for before := s.polls(); s.polls() == before; {
		s.pass(time.Second)
	}
}

// awaitWithin is awaitJobs, with a limit on the time that passes on the station's clock.
func (s *station) awaitWithin(d time.Duration, count int) {
	began := s.clock.Now()
	s.awaitJobs(count)
	s.Expect(s.clock.Since(began)).To(BeNumerically("<=", d))
}

// occupy creates a PipelineJob of an action that is not polled. It takes a slot.
func (s *station) occupy(by types.NamespacedName, name string) {
	s.Expect(s.kube.Create(s.ctx, inFlight(by, name))).To(Succeed())
	s.await(func(g Gomega) {
		s.poller.capacity.mu.Lock()
		defer s.poller.capacity.mu.Unlock()
		of := s.poller.capacity.actions[by]
		g.Expect(of).NotTo(BeNil())
		g.Expect(of.slots).To(HaveKey(name))
	})
}

// addAction creates another CustomAction, and polls for it in a region.
func (s *station) addAction(name, region string) {
	key := types.NamespacedName{Namespace: action.Namespace, Name: name}
	s.Expect(s.kube.Create(s.ctx, &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: name, UID: types.UID(name)}})).To(Succeed())
	target := s.target
	target.Action, target.Identity, target.MaxConcurrent = key, codepipeline.Identity{Region: region}, 100
	s.poller.Ensure(target)
}

// awaitWaiting waits until count actions wait for a slot.
func (s *station) awaitWaiting(count int) {
	s.await(func(g Gomega) {
		s.clock.Step(gatherFor)
		s.poller.capacity.mu.Lock()
		defer s.poller.capacity.mu.Unlock()
		g.Expect(s.poller.capacity.waiting).To(HaveLen(count))
	})
}

// TestSlotsFreedBesideFreeOnesShareAPoll has an action with free slots for which CodePipeline
// has no other jobs.
func TestSlotsFreedBesideFreeOnesShareAPoll(t *testing.T) {
	const jobs = 3
	s := newSpareStation(t, 0)
	s.queue(jobs)
	s.target.MaxConcurrent = jobs + 1
	s.poller.Ensure(s.target)
	s.awaitJobs(jobs)
	s.comeToRest()
	before := s.polls()
	for name := range s.jobs(s) {
		s.finish(name)
		s.atRest()
		s.clock.Step(gatherFor)
	}
	s.Consistently(s.polls).WithTimeout(200 * time.Millisecond).Should(Equal(before))
	s.clock.Step(gatherSpareFor)
	s.await(func(g Gomega) { g.Expect(s.polls()).To(Equal(before + 1)) })
}

// TestNextActionOfAPipelineIsPolledAtOnce has a pipeline with two actions of the type, one
// after the other. The end of the first queues the second.
func TestNextActionOfAPipelineIsPolledAtOnce(t *testing.T) {
	s := newSpareStation(t, 0)
	worker := pipeline.CustomType("Test", "work", "1")
	_, err := s.pipelines.CreatePipeline(s.ctx, pipeline.New("chain", "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("One", pipeline.NewAction("one", worker).Inputs("source")).
		Stage("Two", pipeline.NewAction("two", worker).Inputs("source")).
		Mode(sdktypes.ExecutionModeParallel).CreateInput())
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.pipelines.StartPipelineExecution(s.ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("chain")})
	s.Expect(err).NotTo(HaveOccurred())
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.comeToRest()
	s.finish(first(s.jobs(s)))
	s.awaitWithin(2*time.Second, 2)
}

// TestSlotThatAnotherActionTookMeanwhile has an action's poll leave a slot, which another
// action takes. Then a job is queued, and one of the first action's slots is freed.
func TestSlotThatAnotherActionTookMeanwhile(t *testing.T) {
	s := newSpareStation(t, 2)
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.comeToRest()
	own := first(s.jobs(s))
	s.occupy(types.NamespacedName{Namespace: "team", Name: "other"}, "other-1")
	s.queue(1)
	s.finish(own)
	s.awaitWithin(2*time.Second, 3)
}

// TestKeptJobIsRecordedAtOnce has a PipelineJob deleted while the poller updates it with a new
// nonce. The poller keeps the job in memory in the meantime.
func TestKeptJobIsRecordedAtOnce(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = time.Minute })
	deleted := false
	s.poller.Client = interceptor.NewClient(s.kube, interceptor.Funcs{
		Patch: func(ctx context.Context, kube client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if deleted {
				return kube.Patch(ctx, object, patch, options...)
			}
			deleted = true
			known := object.DeepCopyObject().(client.Object)
			s.Expect(kube.Get(ctx, client.ObjectKeyFromObject(object), known)).To(Succeed())
			known.SetFinalizers(nil)
			s.Expect(kube.Update(ctx, known)).To(Succeed())
			s.Expect(kube.Delete(ctx, known)).To(Succeed())
			return apierrors.NewNotFound(schema.GroupResource{}, object.GetName())
		},
	})
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitJobs(1)
	s.awaitJobs(0)
	s.awaitWithin(2*time.Second, 1)
}

// hang fills the lane of a region until the test ends.
func (s *station) hang(t *testing.T, region string) {
	answer := make(chan struct{})
	t.Cleanup(func() { close(answer) })
	for i := range 100 {
		s.poller.Lanes.Submit(lanes.Of(codepipeline.Identity{Region: region}),
			lanes.Call{ID: i, Operation: operationPoll, Do: func(context.Context) { <-answer }})
	}
}

// TestSlotIsNotLeftToAnActionThatAwaitsAJob has the action that has waited longest for a slot
// already wait for its lane, because one of its jobs is awaited.
func TestSlotIsNotLeftToAnActionThatAwaitsAJob(t *testing.T) {
	s := newSpareStation(t, 1)
	s.occupy(types.NamespacedName{Namespace: "team", Name: "other"}, "other-1")
	away := types.NamespacedName{Namespace: action.Namespace, Name: "away"}
	s.Expect(s.kube.Create(s.ctx, awaited(away, "away-1", false))).To(Succeed())
	s.await(func(g Gomega) { g.Expect(s.awaitedOf(away)).To(Equal(1)) })
	s.hang(t, "eu-west-1")
	s.addAction("away", "eu-west-1")
	s.awaitWaiting(1)
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitWaiting(2)
	s.settle("other-1")
	s.awaitWithin(3*time.Second, 3)
}

func (s *station) awaitedOf(action types.NamespacedName) int {
	s.poller.capacity.mu.Lock()
	defer s.poller.capacity.mu.Unlock()
	if of := s.poller.capacity.actions[action]; of != nil {
		return len(of.awaited)
	}
	return 0
}

// TestSlotsOfAnAnswerAreNotGivenToOthers has the jobs of an answer recorded for longer than a
// poll holds slots, while another action asks for slots.
func TestSlotsOfAnAnswerAreNotGivenToOthers(t *testing.T) {
	const jobs = 8
	s := newSpareStation(t, jobs)
	s.queue(jobs)
	other := types.NamespacedName{Namespace: "team", Name: "other"}
	s.poller.capacity.limitTo(other, jobs)
	created, taken := 0, int32(0)
	s.onCreate(func(context.Context, *v1alpha1.PipelineJob) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if created++; created == jobs/2 {
			s.clock.Step(pollLife)
			taken = s.poller.capacity.take(other).free
		}
		return nil
	})
	s.poller.Ensure(s.target)
	s.awaitJobs(jobs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Expect(taken).To(BeZero())
}

// TestSlotIsNotLeftToAnActionWhoseLaneHasNoRoom frees one slot, which the action that has
// waited longest can't use, because calls to its region hang.
func TestSlotIsNotLeftToAnActionWhoseLaneHasNoRoom(t *testing.T) {
	s := newSpareStation(t, 1)
	other := types.NamespacedName{Namespace: "team", Name: "other"}
	s.occupy(other, "other-1")
	s.hang(t, "eu-west-1")
	s.addAction("away", "eu-west-1")
	s.awaitWaiting(1)
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitWaiting(2)
	s.settle("other-1")
	s.awaitWithin(3*time.Second, 2)
}

// TestPollsThatHangHoldNoSlots has polls of a region hang, each of which may fill all slots.
func TestPollsThatHangHoldNoSlots(t *testing.T) {
	s := newSpareStation(t, 100)
	s.Expect(s.aws.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.BlackHole, Region: "eu-west-1", Probability: 1})).To(Succeed())
	for _, name := range []string{"away-1", "away-2", "away-3"} {
		s.addAction(name, "eu-west-1")
	}
	s.awaitWaiting(2)
	s.queue(1)
	s.poller.Ensure(s.target)
	s.awaitWithin(time.Minute, 1)
}
