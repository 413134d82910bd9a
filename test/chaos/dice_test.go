//go:build chaos

package chaos

import (
	"math/rand/v2"
	"sync"
	"time"
)

// dice are random numbers that follow from the seed. Each part of the test has its own,
// so that what one does does not change what another draws.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(seed, of uint64) *dice {
	return &dice{random: rand.New(rand.NewPCG(seed, of))} //nolint:gosec // they shall repeat
}

func (d *dice) happens(probability float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64() < probability
}

// below is a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// between is a time from one to the other.
func (d *dice) between(from, to time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return from + time.Duration(d.random.Int64N(int64(to-from)+1))
}

// Whose dice.
const (
	diceOfProxy uint64 = iota + 1
	diceOfDisruptions
	diceOfUsers
	diceOfWorld
	// diceOfJobs and those after it are one for each job.
	diceOfJobs = 1 << 32
)
