//go:build chaos

package chaos

import (
	"math/rand/v2"
	"sync"
	"time"
)

// dice generates random numbers from the seed. Each part of the test has its own, so that parts
// don't affect each other's numbers.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(seed, of uint64) *dice {
	return &dice{random: rand.New(rand.NewPCG(seed, of))} //nolint:gosec // must be reproducible
}

func (d *dice) happens(probability float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64() < probability
}

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// between returns a duration between two bounds.
func (d *dice) between(from, to time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return from + time.Duration(d.random.Int64N(int64(to-from)+1))
}

// The parts of the test with their own dice.
const (
	diceOfProxy uint64 = iota + 1
	diceOfDisruptions
	diceOfUsers
	diceOfWorld
	// diceOfJobs is the first of the dice for jobs, one per job.
	diceOfJobs = 1 << 32
)
