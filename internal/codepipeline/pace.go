package codepipeline

import (
	"errors"
	"sync"

	"golang.org/x/time/rate"
)

// Calls to one account in one region, a second and in a burst. CodePipeline
// throttles per account and region without publishing its figures.
const (
	callsPerSecond = 20
	callBurst      = 40
	// slowest is the pace below which throttling does not press it.
	slowest = 0.5
	// recovery is how much each call that is not throttled gives back.
	recovery = 1.05
)

// pacer bounds the calls to one account in one region. When CodePipeline
// throttles one of them, all become slower; while it does not, they become
// faster again.
type pacer struct {
	limiter *rate.Limiter
	mu      sync.Mutex // the limit is read and set
}

func newPacer() *pacer { return &pacer{limiter: rate.NewLimiter(callsPerSecond, callBurst)} }

// learn takes note of how a call ended.
func (p *pacer) learn(err error) {
	var notSent *NotSentError
	if errors.As(err, &notSent) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && isThrottle(err) {
		p.limiter.SetLimit(max(slowest, p.limiter.Limit()/2))
		p.limiter.SetBurst(1)
		return
	}
	p.limiter.SetLimit(min(callsPerSecond, p.limiter.Limit()*recovery))
	if p.limiter.Limit() >= callsPerSecond {
		p.limiter.SetBurst(callBurst)
	}
}
