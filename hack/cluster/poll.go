package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopPolling wraps a permanent error.
type stopPolling struct{ error }

func (s stopPolling) Unwrap() error { return s.error }

// poll calls check until it succeeds or the time limit is exceeded, and then returns the last
// error.
func poll(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		var stop stopPolling
		if errors.As(err, &stop) {
			return stop.error
		}
		// The deadline's own error does not have the cause.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("gave up after %v: %w", limit, last)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}
