package emulator

import (
	"math"
	"sync/atomic"
	"time"
)

// machineClock is the machine's clock.
type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

// offsetClock is a clock that is ahead of another one.
type offsetClock struct {
	base  Clock
	ahead atomic.Int64 // time.Duration
}

func (c *offsetClock) Now() time.Time { return c.base.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the emulator's clock ahead. Timeouts, expiry of credentials and due continuations
// take effect with the next call. A negative duration does nothing. All calls together move the
// clock by at most 292 years, the largest time.Duration. Signatures and Fault.Delay use the
// machine's clock.
func (e *Emulator) Advance(by time.Duration) {
	by = max(by, 0)
	for {
		before := e.clock.ahead.Load()
		after := before + min(int64(by), math.MaxInt64-before)
		if e.clock.ahead.CompareAndSwap(before, after) {
			return
		}
	}
}

// Now returns the time of the emulator's clock.
func (e *Emulator) Now() time.Time { return e.clock.Now() }
