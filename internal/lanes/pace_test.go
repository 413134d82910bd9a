package lanes

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// rig is a pace with a clock that the test controls.
type rig struct {
	*WithT
	pace *pace
	now  time.Time
}

func newRig(t *testing.T) *rig {
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	return &rig{NewWithT(t), newPace(startRate, DefaultCeiling, now), now}
}

// call makes a call as soon as there is a token.
func (r *rig) call(throttled bool) {
	r.now = r.now.Add(r.pace.wait(r.now))
	r.pace.take()
	r.pace.answered(throttled, r.now)
}

// calls makes as many calls as there are tokens within a time, and returns their number.
func (r *rig) calls(within time.Duration, throttled bool) (made int) {
	for until := r.now.Add(within); r.now.Add(r.pace.wait(r.now)).Before(until); made++ {
		r.call(throttled)
	}
	return made
}

func TestFirstCallsAreSpread(t *testing.T) {
	r := newRig(t)
	r.Expect(r.calls(100*time.Millisecond, false)).To(BeNumerically("<=", 3))
}

func TestThrottledAnswersOfOneWindowSlowDownOnce(t *testing.T) {
	r := newRig(t)
	for range 6 {
		r.pace.take()
	}
	for range 6 {
		r.pace.answered(true, r.now)
		r.now = r.now.Add(100 * time.Millisecond)
	}
	r.Expect(r.pace.rate).To(BeNumerically("==", startRate*decrease))
	r.now = r.now.Add(window)
	r.pace.answered(true, r.now)
	r.Expect(r.pace.rate).To(BeNumerically("==", startRate*decrease*decrease), "another window")
}

func TestPaceHasAFloor(t *testing.T) {
	r := newRig(t)
	r.calls(10*time.Minute, true)
	r.Expect(r.pace.rate).To(BeNumerically("==", slowest))
	r.Expect(r.pace.wait(r.now)).To(BeNumerically("<=", 2*time.Second))
}

func TestPaceIsBackWithinTenSecondsAfterThrottling(t *testing.T) {
	r := newRig(t)
	r.calls(10*time.Minute, true)
	until := r.now.Add(10 * time.Second)
	for r.now.Before(until) {
		r.call(false)
	}
	r.Expect(r.pace.rate).To(BeNumerically(">=", startRate))
}

func TestPaceGrowsAboveItsStart(t *testing.T) {
	r := newRig(t)
	r.calls(20*time.Second, false)
	r.Expect(r.pace.rate).To(BeNumerically("==", DefaultCeiling))
}

func TestPaceWithoutCallsDoesNotGrow(t *testing.T) {
	r := newRig(t)
	r.calls(10*time.Minute, true)
	r.now = r.now.Add(time.Hour)
	r.call(false)
	r.Expect(r.pace.rate).To(BeNumerically("<", startRate))
}

func TestPaceSettlesNearTheRateThatIsNotThrottled(t *testing.T) {
	r := newRig(t)
	const limit = 30 // calls per second that CodePipeline accepts, which is also its burst
	bucket, at, throttled, made := float64(limit), r.now, 0, 0
	for until := r.now.Add(5 * time.Minute); r.now.Before(until); made++ {
		r.now = r.now.Add(r.pace.wait(r.now))
		bucket, at = min(limit, bucket+limit*r.now.Sub(at).Seconds()), r.now
		r.pace.take()
		r.pace.answered(bucket < 1, r.now)
		if bucket < 1 {
			throttled++
			continue
		}
		bucket--
	}
	r.Expect(made-throttled).To(BeNumerically(">", 0.6*limit*300), "calls that got through")
	r.Expect(throttled).To(BeNumerically("<", made/20))
}

func TestCallsThatWereNotAskedForAreMadeUpFor(t *testing.T) {
	r := newRig(t)
	r.call(false) // a throttled call
	for range startRate {
		r.pace.answered(false, r.now) // pages of a list
	}
	r.Expect(r.pace.wait(r.now)).To(BeNumerically(">=", time.Second))
}
