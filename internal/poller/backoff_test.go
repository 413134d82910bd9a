package poller

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

func TestWaitsGrowToTheLimit(t *testing.T) {
	g := NewWithT(t)
	const limit = 30 * time.Second
	wait := time.Duration(0)
	for range 10 {
		next := grow(wait, limit)
		g.Expect(next).To(BeNumerically(">=", min(max(firstWait, 2*wait), limit)))
		g.Expect(next).To(BeNumerically("<=", limit))
		wait = next
	}
	g.Expect(wait).To(Equal(limit))
	g.Expect(grow(0, time.Millisecond)).To(Equal(time.Millisecond), "an interval below the first wait")
}

// polled returns the outcome of a poll.
func polled(asked int32, handed int, became tally) outcome {
	return outcome{asked: asked, handed: handed, tally: became}
}

func TestPauses(t *testing.T) {
	const interval = time.Hour
	now := time.Now()
	broken := errors.New("broken")
	atOnceWithSlots := Equal(pause{wait: 0, floor: gatherFor, slotFloor: gatherSpareFor})
	atOnce, untilWoken := Equal(pause{wait: 0, floor: gatherFor, slotFloor: gatherFor}), Equal(pause{wait: -1, floor: gatherFor, slotFloor: gatherFor})
	waits := func(least, most, floor time.Duration) gomegatypes.GomegaMatcher {
		return WithTransform(func(p pause) []time.Duration { return []time.Duration{p.wait, p.floor} }, And(
			HaveExactElements(And(BeNumerically(">=", least), BeNumerically("<=", most)), Equal(floor))))
	}
	first := waits(firstWait, 2*firstWait, gatherFor)
	whole := waits(interval, interval, gatherFor)
	free, full := room{free: 3}, room{}
	since := func(awaited int32, ago time.Duration) room { return room{awaited: awaited, since: now.Add(-ago)} }

	for name, c := range map[string]struct {
		before backoff
		did    outcome
		open   room
		want   gomegatypes.GomegaMatcher
		after  backoff // only its batch is compared
	}{
		"nothing new, after news": {backoff{}, polled(3, 0, tally{}), free, first, backoff{}},
		"nothing new, as before":  {backoff{idle: interval}, polled(3, 0, tally{}), free, whole, backoff{}},
		"news":                    {backoff{idle: interval}, polled(3, 2, tally{created: 2}), free, atOnceWithSlots, backoff{}},
		"a continued job is news": {backoff{idle: interval}, polled(1, 1, tally{continued: 1}), since(1, 0), atOnce, backoff{}},
		"all slots are taken":     {backoff{}, outcome{}, full, untilWoken, backoff{}},
		"a slot is reserved for a job that is not shown": {backoff{}, outcome{}, room{recheck: time.Minute}, Equal(pause{wait: time.Minute, floor: gatherFor, slotFloor: gatherFor}), backoff{}},
		"known jobs are not news":                        {backoff{idle: interval}, polled(3, 3, tally{}), free, whole, backoff{}},
		"new nonces are not news":                        {backoff{idle: interval}, polled(3, 2, tally{renewed: 2}), free, waits(interval, interval, firstWait), backoff{}},
		"new jobs may be queued after those":             {backoff{idle: interval}, polled(3, 3, tally{renewed: 3}), free, waits(firstWait, 2*firstWait, firstWait), backoff{}},
		"no new jobs are queued after those":             {backoff{idle: interval, again: 3}, polled(6, 3, tally{renewed: 3}), free, waits(interval, interval, firstWait), backoff{}},
		"new nonces, after news":                         {backoff{}, polled(3, 3, tally{renewed: 3}), free, waits(firstWait, 2*firstWait, firstWait), backoff{}},
		"news and new nonces: the claims come first":     {backoff{idle: interval}, polled(3, 3, tally{created: 1, renewed: 2}), free, waits(firstWait, 2*firstWait, firstWait), backoff{}},
		"a nonce is held back":                           {backoff{idle: interval}, polled(3, 1, tally{held: 1}), free, waits(heldWait, heldWait, firstWait), backoff{}},
		"the poll failed":                                {backoff{failing: 10 * time.Second}, outcome{asked: 3, err: broken}, free, waits(20*time.Second, 25*time.Second, 0), backoff{}},
		"a job could not be recorded":                    {backoff{}, polled(3, 1, tally{failed: 1, cause: broken}), free, waits(firstWait, 2*firstWait, 0), backoff{}},
		"one could not be recorded, another was":         {backoff{}, polled(3, 2, tally{created: 1, failed: 1, cause: broken}), free, atOnceWithSlots, backoff{}},
		"awaited just now":                               {backoff{idle: interval}, polled(1, 0, tally{}), since(1, 0), waits(awaitedWait, awaitedWait, gatherFor), backoff{}},
		"awaited for two minutes":                        {backoff{idle: interval}, polled(1, 0, tally{}), since(1, 2*time.Minute), waits(30*time.Second, 30*time.Second, gatherFor), backoff{}},
		"awaited for long":                               {backoff{idle: interval}, polled(1, 0, tally{}), since(1, time.Hour), waits(maxAwaitedWait, maxAwaitedWait, gatherFor), backoff{}},
		"an awaited job is missing from a full answer":   {backoff{idle: interval}, polled(1, 1, tally{}), since(1, 0), atOnce, backoff{batch: 1}},
		"it is still missing":                            {backoff{batch: 1}, polled(2, 2, tally{}), since(1, 0), atOnce, backoff{batch: 2}},
		"one of two is missing, after news":              {backoff{batch: 1}, polled(2, 2, tally{continued: 1}), since(2, 0), atOnce, backoff{batch: 2}},
		"it is missing from the largest answer":          {backoff{batch: 512}, polled(limits.PollBatch, limits.PollBatch, tally{}), since(1, 0), first, backoff{batch: limits.PollBatch}},
		"it is not available yet":                        {backoff{batch: 4}, polled(8, 7, tally{}), since(1, 0), first, backoff{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b := c.before
			got := b.after(c.did, c.open, interval, now)
			if c.did.err != nil || c.did.failed > 0 && !c.did.news() {
				got.floor -= got.wait // wake-ups do not end it
			}
			g.Expect(got).To(c.want)
			g.Expect(b.batch).To(Equal(c.after.batch))
		})
	}
}

func TestSlotsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		did  outcome
		free int32
		want bool
	}{
		"fewer jobs than slots": {polled(3, 2, tally{created: 2}), 3, true},
		"none":                  {polled(3, 0, tally{}), 3, true},
		"a full answer":         {polled(3, 3, tally{created: 1}), 5, false},
		"the answer was not full, but all slots are taken": {polled(3, 2, tally{created: 1}), 1, false},
		"unrecorded jobs wait for slots":                   {polled(3, 2, tally{created: 1, failed: 1}), 2, false},
		"only awaited jobs were asked for":                 {polled(2, 1, tally{continued: 1}), 0, false},
		"not polled":                                       {outcome{}, 3, false},
		"the poll failed":                                  {outcome{asked: 3, err: errors.New("broken")}, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			var b backoff
			NewWithT(t).Expect(b.after(c.did, room{free: c.free}, time.Hour, time.Now()).slotFloor == gatherSpareFor).To(Equal(c.want))
		})
	}
}

func TestBatches(t *testing.T) {
	for name, c := range map[string]struct {
		before, again int32
		free, awaited int32
		want          int32
	}{
		"free slots":                            {0, 0, 3, 0, 3},
		"awaited jobs need none":                {0, 0, 0, 2, 2},
		"both":                                  {0, 0, 3, 2, 5},
		"neither":                               {0, 0, 0, 0, 0},
		"an awaited job is queued after others": {1, 0, 0, 1, 2},
		"and after more":                        {256, 0, 0, 1, 512},
		"up to the largest":                     {512, 0, 0, 1, limits.PollBatch},
		"which stays":                           {limits.PollBatch, 0, 0, 1, limits.PollBatch},
		"nothing is awaited any longer":         {512, 0, 3, 0, 3},
		"more slots than the largest batch is":  {0, 0, 5000, 0, limits.PollBatch},
		"known jobs are handed out again":       {0, 4, 3, 0, 7},
		"and there is no slot":                  {0, 4, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := backoff{batch: c.before, again: c.again}
			NewWithT(t).Expect(b.ask(c.free, c.awaited)).To(Equal(c.want))
		})
	}
}

func TestBatchIsWhatCanBeRecordedInTime(t *testing.T) {
	for name, c := range map[string]struct {
		tried, recorded int32
		took            time.Duration
		want            int32
	}{
		"not tried yet":                   {0, 0, 0, firstBound},
		"too few to tell":                 {recorders - 1, recorders - 1, time.Minute, firstBound},
		"just in time":                    {100, 100, recordWithin, 100},
		"twice as fast":                   {100, 100, recordWithin / 2, 200},
		"at half the speed":               {100, 100, 2 * recordWithin, 50},
		"some fail":                       {100, 40, recordWithin, 40},
		"all fail: one for each recorder": {100, 0, recordWithin, recorders},
		"in no time":                      {100, 100, 0, limits.PollBatch},
	} {
		t.Run(name, func(t *testing.T) {
			var s speed
			s.learn(c.tried, c.recorded, c.took)
			NewWithT(t).Expect(s.bound()).To(Equal(c.want))
		})
	}
}

// TestHealthIsPublishedSparingly: what changes with each job or poll is published once in a
// while, and the rest immediately.
func TestHealthIsPublishedSparingly(t *testing.T) {
	at := time.Now()
	first := Health{LastPoll: at}
	later := Health{LastPoll: at.Add(time.Second)}
	failed := func(request string) Health {
		return Health{LastPoll: at, Err: errors.New("StatusCode: 400, RequestID: " + request + ", ThrottlingException"), FailingSince: at}
	}
	for name, c := range map[string]struct {
		now, published Health
		ago            time.Duration
		want           bool
		pending        time.Duration
	}{
		"the first answer":            {first, Health{}, 0, true, 0},
		"nothing new":                 {first, first, time.Hour, false, 0},
		"another answer":              {later, first, time.Second, false, notifyEvery - time.Second},
		"another answer, in a minute": {later, first, notifyEvery, true, 0},
		"full":                        {Health{LastPoll: at, Full: true}, first, time.Second, false, notifyEvery - time.Second},
		"full for a minute":           {Health{LastPoll: at, Full: true}, first, notifyEvery, true, 0},
		"a failure":                   {failed("1"), first, 0, true, 0},
		"the same failure":            {failed("2"), failed("1"), notifyEvery, false, 0},
		"its end":                     {later, failed("1"), 0, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			now, pending := c.now.news(c.published, c.ago)
			g.Expect(now).To(Equal(c.want))
			g.Expect(pending).To(Equal(c.pending))
		})
	}
}
