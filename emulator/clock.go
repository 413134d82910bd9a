package emulator

import (
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// movedClock is a clock that can be moved ahead.
type movedClock struct {
	clock.PassiveClock
	ahead atomic.Int64 // time.Duration
}

func (c *movedClock) Now() time.Time {
	return c.PassiveClock.Now().Add(time.Duration(c.ahead.Load()))
}

func (c *movedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Advance moves the emulator's clock ahead: time-outs, credentials and
// continuations come due at the next call. Signatures and the delays of faults
// go by the machine's clock.
func (e *Emulator) Advance(by time.Duration) { e.clock.ahead.Add(int64(max(by, 0))) }

// Now is the time by the emulator's clock.
func (e *Emulator) Now() time.Time { return e.clock.Now() }
