package lanes

import (
	"math"
	"time"
)

const (
	// startRate is how many calls of one operation a second a lane begins with.
	// CodePipeline does not publish the rates at which it throttles.
	startRate = 20
	// slowest is the rate below which throttling does not press an operation.
	slowest = 0.5
	// burstTime is how long an unused rate is saved up.
	burstTime = 2 * time.Second
	// window is how long answers belong to the calls of one rate: those that are
	// throttled in it lower the rate once.
	window = time.Second
	// decrease is what throttling leaves of a rate.
	decrease = 0.5
	// increase is what is added to a rate in a second without throttling, once the last
	// throttling is calmAfter ago. Until then a rate grows fast up to near the one that was
	// throttled, and carefully from there. From slowest, it is back at startRate within 10
	// seconds.
	increase  = 5
	fast      = 2.2
	careful   = 1.05
	near      = 0.9
	calmAfter = 5 * time.Second
	// idleGrowth bounds the growth that one answer after a pause stands for.
	idleGrowth = 2 * time.Second
)

// pace is the adaptive rate of one operation: calls take tokens, which come at the
// rate. It knows nothing of clocks: each method is told the time.
type pace struct {
	rate, ceiling float64 // calls a second
	tokens        float64 // negative: calls were made that were not asked for, such as more pages
	counted       time.Time
	// granted are tokens that were taken for calls that have not been answered.
	granted int
	// throttledAt and throttledRate are of the last decrease.
	throttledAt   time.Time
	throttledRate float64
	grownAt       time.Time
}

// newPace has one token: the first calls after a start are spread.
func newPace(start, ceiling float64, now time.Time) *pace {
	return &pace{rate: min(start, ceiling), ceiling: ceiling, tokens: 1, counted: now, grownAt: now}
}

// fill adds the tokens that have come since the last call of it.
func (p *pace) fill(now time.Time) {
	gone := now.Sub(p.counted).Seconds()
	if gone <= 0 {
		return
	}
	p.counted = now
	burst := max(1, p.rate*burstTime.Seconds())
	if now.Sub(p.throttledAt) < calmAfter {
		burst = 1 // what was saved up would be throttled again
	}
	p.tokens = min(max(burst, p.tokens), p.tokens+p.rate*gone)
}

// wait is how long it is until there is a token.
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

// answered takes note of a call that was made.
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

// slowDown lowers the rate, once for all answers of a window.
func (p *pace) slowDown(now time.Time) {
	if !p.throttledAt.IsZero() && now.Sub(p.throttledAt) < window {
		return
	}
	p.throttledRate, p.throttledAt, p.grownAt = p.rate, now, now
	p.rate = max(slowest, p.rate*decrease)
	p.tokens = min(p.tokens, 1)
}

// speedUp raises the rate by the time since it was raised last.
func (p *pace) speedUp(now time.Time) {
	gone := min(now.Sub(p.grownAt), idleGrowth)
	if gone <= 0 || now.Sub(p.throttledAt) < window {
		return
	}
	p.grownAt = now
	p.rate = min(p.ceiling, p.grown(gone.Seconds(), now))
}

// grown is the rate after some more seconds without throttling.
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
