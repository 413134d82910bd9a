package lanes

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

var here = Key{Account: "111122223333", Region: "us-east-1"}

// deadline is when a test gives up waiting.
const deadline = 30 * time.Second

// field has lanes whose calls the test ends.
type field struct {
	*WithT
	*Lanes
	clock *clocktesting.FakeClock

	mu      sync.Mutex
	started []string
	end     map[string]chan struct{}
}

func newField(t *testing.T, o Options) *field {
	f := &field{WithT: NewWithT(t), clock: clocktesting.NewFakeClock(time.Now()), end: map[string]chan struct{}{}}
	o.Clock, o.Log = f.clock, logr.Discard()
	f.Lanes = New(o)
	return f
}

// submit submits a call that runs until the test ends it.
func (f *field) submit(key Key, id, operation string) {
	end := make(chan struct{})
	f.mu.Lock()
	f.end[id] = end
	f.mu.Unlock()
	f.Submit(key, Call{ID: id, Operation: operation, Do: func(context.Context) {
		f.mu.Lock()
		f.started = append(f.started, id)
		f.mu.Unlock()
		<-end
	}})
}

func (f *field) endOf(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.end[id])
}

func (f *field) begun() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.started...)
}

// expectBegun waits until exactly these calls have started.
func (f *field) expectBegun(ids ...string) {
	f.Eventually(f.begun).WithTimeout(deadline).Should(ConsistOf(ids))
}

// expectClosed waits until the lanes accept no further calls.
func (f *field) expectClosed() {
	f.Eventually(func() bool {
		f.Lanes.mu.Lock()
		defer f.Lanes.mu.Unlock()
		return f.closed
	}).WithTimeout(deadline).Should(BeTrue())
}

// endAll ends all calls.
func (f *field) endAll() {
	f.mu.Lock()
	for _, end := range f.end {
		select {
		case <-end:
		default:
			close(end)
		}
	}
	f.mu.Unlock()
}

func TestAccountsShareALane(t *testing.T) {
	g := NewWithT(t)
	const one, two, other = "arn:aws:iam::111122223333:role/one", "arn:aws:iam::111122223333:role/two", "arn:aws:iam::444455556666:role/one"
	lane := func(region, role, externalID string) Key {
		return Of(codepipeline.Identity{Region: region, RoleARN: role, ExternalID: externalID})
	}
	first := lane("us-east-1", one, "cluster/a")
	g.Expect(lane("us-east-1", one, "cluster/b")).To(Equal(first), "another namespace")
	g.Expect(lane("us-east-1", two, "cluster/a")).To(Equal(first), "another role of the account")
	g.Expect(lane("us-east-1", other, "cluster/a")).NotTo(Equal(first))
	g.Expect(lane("eu-west-1", one, "cluster/a")).NotTo(Equal(first))
	g.Expect(lane("us-east-1", "", "")).NotTo(Equal(first), "the operator's own account")
}

func TestCallsInFlightAreBounded(t *testing.T) {
	f := newField(t, Options{InFlight: 2})
	defer f.endAll()
	for i := range 5 {
		f.submit(here, fmt.Sprint(i), "AcknowledgeJob")
		f.clock.Step(time.Second) // a token for each
	}
	f.expectBegun("0", "1")
	f.Expect(f.Loads()).To(Equal(map[Key]Load{here: {Waiting: 3, InFlight: 2, Rates: map[string]float64{"AcknowledgeJob": startRate}}}))
	f.endOf("0")
	f.expectBegun("0", "1", "2")
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	f.submit(Key{Account: "444455556666", Region: "us-east-1"}, "hangs", "AcknowledgeJob")
	f.submit(here, "here", "AcknowledgeJob")
	f.expectBegun("hangs", "here")
}

func TestImportantCallsGoFirst(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	f.submit(here, "running", "PollForJobs")
	f.expectBegun("running")
	inOrder := []string{"PutJobFailureResult", "AcknowledgeJob", "GetJobDetails", "ListActionTypes", "ListActionExecutions", "PollForJobs"}
	for i := range inOrder {
		operation := inOrder[len(inOrder)-1-i]
		f.submit(here, operation, operation)
	}
	f.clock.Step(time.Second)
	f.endOf("running")
	for i, operation := range inOrder {
		f.expectBegun(append([]string{"running"}, inOrder[:i+1]...)...)
		f.endOf(operation)
	}
}

func TestPollsLeaveRoomForResults(t *testing.T) {
	f := newField(t, Options{InFlight: 4})
	defer f.endAll()
	for i := range 4 {
		f.submit(here, fmt.Sprint("poll ", i), "PollForJobs")
		f.clock.Step(time.Second)
	}
	f.submit(here, "details", "GetJobDetails")
	f.submit(here, "more details", "GetJobDetails")
	f.clock.Step(time.Second)
	f.submit(here, "result", "PutJobSuccessResult")
	f.expectBegun("poll 0", "poll 1", "details", "result")
}

func TestCallsOfOneOperationKeepTheirOrder(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	f.submit(here, "running", "AcknowledgeJob")
	for _, id := range []string{"a", "b", "c"} {
		f.submit(here, id, "AcknowledgeJob")
		f.clock.Step(time.Second)
	}
	f.submit(here, "a", "AcknowledgeJob") // again: it keeps its place
	f.expectBegun("running")
	f.endOf("running")
	for i, id := range []string{"a", "b", "c"} {
		f.expectBegun(append([]string{"running"}, []string{"a", "b", "c"}[:i+1]...)...)
		f.endOf(id)
	}
}

func TestOneCallForAnID(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	f.submit(here, "running", "AcknowledgeJob")
	f.expectBegun("running")
	f.submit(here, "waiting", "AcknowledgeJob")
	f.submit(here, "waiting", "PutJobSuccessResult") // takes its place
	f.submit(here, "taken back", "AcknowledgeJob")
	f.Expect(f.Cancel(here, "taken back")).To(BeTrue())
	f.Expect(f.Cancel(here, "taken back")).To(BeFalse())
	f.Expect(f.Cancel(here, "running")).To(BeFalse(), "it goes on")
	f.clock.Step(time.Second)
	f.endOf("running")
	f.expectBegun("running", "waiting")
	f.endOf("waiting")
	f.Wait()
	f.expectBegun("running", "waiting")
}

// TestCallOfAnIDThatRunsIsMadeAfterwards submits the next call after the last one has had its
// effect, but before the lane knows that it has ended.
func TestCallOfAnIDThatRunsIsMadeAfterwards(t *testing.T) {
	f := newField(t, Options{})
	made := make(chan string, 10)
	call := func(name string, then ...func()) Call {
		return Call{ID: "job", Operation: "AcknowledgeJob", Do: func(context.Context) {
			made <- name
			for _, do := range then {
				do()
			}
		}}
	}
	f.Submit(here, call("first", func() {
		f.Submit(here, call("replaced"))
		f.Submit(here, call("second", func() {
			f.Submit(here, call("taken back"))
			f.Expect(f.Cancel(here, "job")).To(BeTrue())
		}))
	}))
	for range 2 {
		f.clock.Step(time.Second)
		f.Eventually(made).WithTimeout(deadline).Should(Receive(Or(Equal("first"), Equal("second"))))
	}
	f.Wait()
	f.Expect(made).To(BeEmpty())
}

func TestCallsComeAtTheRate(t *testing.T) {
	f := newField(t, Options{})
	defer f.endAll()
	for i := range 10 {
		f.submit(here, fmt.Sprint(i), "AcknowledgeJob")
	}
	f.expectBegun("0")
	f.clock.Step(time.Second / startRate)
	f.expectBegun("0", "1")
	f.clock.Step(10 * time.Second / startRate)
	f.Eventually(f.begun).WithTimeout(deadline).Should(HaveLen(10))
}

func TestOperationWithoutTokensHoldsUpNoOther(t *testing.T) {
	f := newField(t, Options{})
	defer f.endAll()
	f.submit(here, "result", "PutJobSuccessResult")
	f.submit(here, "next result", "PutJobSuccessResult")
	f.submit(here, "poll", "PollForJobs")
	f.expectBegun("result", "poll")
}

func TestLessImportantCallsMakeWayForThrottledOnes(t *testing.T) {
	f := newField(t, Options{})
	rates := func() (rates []float64) {
		for _, operation := range []string{"PutJobSuccessResult", "AcknowledgeJob", "PollForJobs"} {
			rates = append(rates, f.lanes[here].paces[operation].rate)
		}
		return rates
	}
	for _, operation := range []string{"PutJobSuccessResult", "AcknowledgeJob", "PollForJobs"} {
		f.Answered(here, operation, AnswerGiven)
	}
	f.Answered(here, "AcknowledgeJob", AnswerThrottled)
	f.Expect(rates()).To(Equal([]float64{startRate, startRate / 2, startRate / 2}))
}

func TestDoWaitsForItsTurn(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	defer f.endAll()
	f.submit(here, "running", "AcknowledgeJob")
	f.expectBegun("running")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Expect(f.Do(ctx, here, "", "PollForJobs", func(context.Context) { panic("it was given up") })).To(MatchError(context.Canceled))
	f.clock.Step(time.Second)
	f.endOf("running")
	did := false
	f.Expect(f.Do(t.Context(), here, "", "PollForJobs", func(context.Context) { did = true })).To(Succeed())
	f.Expect(did).To(BeTrue())
}

func TestPanicEndsOneCall(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	f.Submit(here, Call{ID: "broken", Operation: "AcknowledgeJob", Do: func(context.Context) { panic("broken") }})
	f.Wait()
	f.clock.Step(time.Second)
	f.Expect(f.Do(t.Context(), here, "", "AcknowledgeJob", func(context.Context) {})).To(Succeed())
}

func TestStopEndsWhatIsInFlightAndDropsTheRest(t *testing.T) {
	f := newField(t, Options{InFlight: 1})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Start(ctx) }()
	f.submit(here, "running", "AcknowledgeJob")
	f.submit(here, "waiting", "AcknowledgeJob")
	f.expectBegun("running")
	stop()
	f.expectClosed()
	f.Consistently(stopped, 50*time.Millisecond).ShouldNot(Receive())
	f.submit(here, "late", "AcknowledgeJob")
	f.Expect(f.Do(ctx, here, "", "PollForJobs", func(context.Context) { panic("it is late") })).To(MatchError(context.Canceled))
	f.endOf("running")
	f.Eventually(stopped).WithTimeout(deadline).Should(Receive(BeNil()))
	f.expectBegun("running")
}

// If nobody handled the response of a poll, its jobs would be lost until CodePipeline hands them
// out again.
func TestDoWaitsForWhatItBeganWhenTheLanesStop(t *testing.T) {
	f := newField(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	lasting, stop := context.WithCancel(t.Context())
	go func() { _ = f.Start(lasting) }()
	began, end, did := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	answer := ""
	go func() {
		did <- f.Do(ctx, here, "", "PollForJobs", func(context.Context) {
			close(began)
			<-end
			answer = "jobs"
		})
	}()
	f.Eventually(began).WithTimeout(deadline).Should(BeClosed())
	stop()
	f.expectClosed()
	cancel()
	f.Consistently(did, 50*time.Millisecond).ShouldNot(Receive())
	close(end)
	f.Eventually(did).WithTimeout(deadline).Should(Receive(BeNil()))
	f.Expect(answer).To(Equal("jobs"))
}

func TestIdleLanesAreForgotten(t *testing.T) {
	f := newField(t, Options{})
	defer f.endAll()
	f.submit(here, "hangs", "AcknowledgeJob")
	f.Answered(Key{Region: "eu-west-1"}, "PollForJobs", AnswerGiven)
	f.clock.Step(idleLife + time.Second)
	f.Answered(Key{Region: "eu-west-2"}, "PollForJobs", AnswerGiven)
	f.Expect(f.lanes).To(HaveLen(2))
	f.Expect(f.lanes).To(HaveKey(here), "a call is in flight")
}

// TestSilence makes calls without a response, and one with a response.
func TestSilence(t *testing.T) {
	f := newField(t, Options{})
	f.Expect(f.SilentFor(here)).To(BeZero(), "no call was made")
	f.Answered(here, "PollForJobs", AnswerNone)
	f.clock.Step(time.Minute)
	f.Answered(here, "AcknowledgeJob", AnswerNone)
	f.clock.Step(time.Minute)
	f.Expect(f.SilentFor(here)).To(Equal(time.Minute), "nobody knows of the time without a call")
	f.Expect(f.SilentFor(Key{Region: "eu-west-1"})).To(BeZero())
	for _, answer := range []Answer{AnswerGiven, AnswerThrottled} {
		f.Answered(here, "PollForJobs", answer)
		f.Expect(f.SilentFor(here)).To(BeZero())
		f.Answered(here, "PollForJobs", AnswerNone)
	}
}

// TestManyCallers is for the race detector.
func TestManyCallers(t *testing.T) {
	g := NewWithT(t)
	l := New(Options{InFlight: 4, Clock: clock.RealClock{}, Log: logr.Discard()})
	var callers sync.WaitGroup
	var mu sync.Mutex
	most, now := 0, 0
	for caller := range 8 {
		callers.Go(func() {
			for i := range 50 {
				operation := []string{"PutJobSuccessResult", "AcknowledgeJob", "PollForJobs"}[i%3]
				id := fmt.Sprint(caller, i%5)
				l.Submit(here, Call{ID: id, Operation: operation, Do: func(context.Context) {
					mu.Lock()
					now++
					most = max(most, now)
					mu.Unlock()
					l.Answered(here, operation, Answer(i%3))
					mu.Lock()
					now--
					mu.Unlock()
				}})
				l.Cancel(here, fmt.Sprint(caller, (i+1)%5))
			}
		})
	}
	callers.Wait()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	g.Expect(l.Start(ctx)).To(Succeed())
	g.Expect(most).To(BeNumerically("<=", 4))
	g.Expect(now).To(BeZero())
}
