package lanes

import (
	"math"
	"time"
)

const (
	// startRate is the first rate of an operation in a lane, in calls per second.
	// CodePipeline does not publish the rates at which it throttles.
	startRate = 20
	// slowest is the minimum rate of an operation.
	slowest = 0.5
	// burstTime is how long unused tokens accumulate.
	burstTime = 2 * time.Second
	// window is the time in which throttled responses belong to the same rate: they
	// lower it only once.
	window = time.Second
	// decrease is the part of a rate that remains after throttling.
	decrease = 0.5
	// increase is added to a rate every second without throttling, once the last throttling is
	// calmAfter ago. Until then, the rate grows fast until it is near the throttled rate, and
	// slowly from there. From slowest, it reaches startRate within 10 seconds.
	increase  = 5
	fast      = 2.2
	careful   = 1.05
	near      = 0.9
	calmAfter = 5 * time.Second
	// idleGrowth limits the growth after one response that follows a pause.
	idleGrowth = 2 * time.Second
)

// pace is the adaptive rate of one operation: calls take tokens, which are added at the
// rate. It has no clock: each method gets the time.
type pace struct {
	rate, ceiling float64 // calls per second
	tokens        float64 // negative after calls that were not submitted, such as further pages
	counted       time.Time
	// granted counts the tokens of calls without a response yet.
	granted int
	// throttledAt and throttledRate are of the last decrease.
	throttledAt   time.Time
	throttledRate float64
	grownAt       time.Time
}

// newPace returns a pace with a single token, which spreads the first calls after a start.
func newPace(start, ceiling float64, now time.Time) *pace {
	return &pace{rate: min(start, ceiling), ceiling: ceiling, tokens: 1, counted: now, grownAt: now}
}

// fill adds the tokens since its last call.
func (p *pace) fill(now time.Time) {
	gone := now.Sub(p.counted).Seconds()
	if gone <= 0 {
		return
	}
	p.counted = now
	burst := max(1, p.rate*burstTime.Seconds())
	if now.Sub(p.throttledAt) < calmAfter {
		burst = 1 // accumulated tokens would be throttled again
	}
	p.tokens = min(max(burst, p.tokens), p.tokens+p.rate*gone)
}

// wait returns how long to wait for a token.
func (p *pace) wait(now time.Time) time.Duration {
	p.fill(now)
	if p.tokens >= 1 {
		return 0
	}
	return time.Duration(math.Ceil((1 - p.tokens) / p.rate * float64(time.Second)))
}

// take takes the token of a call that is about to be made.
func (p *pace) take() {
	p.tokens--
	p.granted++
}

// answered records a call that was made.
func (p *pace) answered(throttled bool, now time.Time) {
	p.fill(now)
	if p.granted > 0 {
		p.granted--
	} else {
		p.tokens--
	}
	if throttled {
		p.slowDown(now)
		return
	}
	p.speedUp(now)
}

// slowDown lowers the rate, once for all responses of a window.
func (p *pace) slowDown(now time.Time) {
	if !p.throttledAt.IsZero() && now.Sub(p.throttledAt) < window {
		return
	}
	p.throttledRate, p.throttledAt, p.grownAt = p.rate, now, now
	p.rate = max(slowest, p.rate*decrease)
	p.tokens = min(p.tokens, 1)
}

// speedUp raises the rate according to the time since it was last raised.
func (p *pace) speedUp(now time.Time) {
	gone := min(now.Sub(p.grownAt), idleGrowth)
	if gone <= 0 || now.Sub(p.throttledAt) < window {
		return
	}
	p.grownAt = now
	p.rate = min(p.ceiling, p.grown(gone.Seconds(), now))
}

// grown returns the rate after a number of seconds without throttling.
func (p *pace) grown(seconds float64, now time.Time) float64 {
	switch {
	case p.rate < near*p.throttledRate:
		return min(near*p.throttledRate, p.rate*math.Pow(fast, seconds))
	case now.Sub(p.throttledAt) < calmAfter:
		return p.rate * math.Pow(careful, seconds)
	default:
		return p.rate + increase*seconds
	}
}
