package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopPolling wraps an error that waiting does not fix.
type stopPolling struct{ error }

func (s stopPolling) Unwrap() error { return s.error }

// poll calls check until it succeeds or the time is over, and then returns
// what was wrong the last time.
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
		// The deadline's own error says nothing about what was wrong.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not after %v: %w", limit, last)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}
