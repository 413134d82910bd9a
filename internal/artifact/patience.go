package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Patience says how long a store puts up with an S3 that is not well. The
// SDK's own would end work of hours after a second of bad luck.
type Patience struct {
	// Attempts of one request, with a pause before each next one that grows
	// from Pause to MaxPause and is half of that on average.
	Attempts        int
	Pause, MaxPause time.Duration
	// Silence is how long a connection may give nothing: on a dead one, S3's
	// clients wait for ever. A part must be sent in this time.
	Silence time.Duration
}

// DefaultPatience takes an outage of three minutes, and fails on a network that
// swallows everything after some 25.
var DefaultPatience = Patience{Attempts: 12, Pause: time.Second, MaxPause: time.Minute, Silence: 2 * time.Minute}

func (p Patience) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.BaseDelay, o.MaxBackoff = p.Attempts, p.Pause, p.MaxPause
		o.RateLimiter = ratelimit.None // it would cut the attempts of parts that are sent side by side
	})
}

func (p Patience) client() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithReadTimeout(p.Silence)
}

// Wait pauses after an attempt that failed; the first is 1. The error is that
// of ctx.
func (p Patience) Wait(ctx context.Context, attempt int) error {
	delay, err := p.retryer().RetryDelay(attempt, nil)
	if err != nil {
		return fmt.Errorf("choose a pause: %w", err)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// errExhausted is of what was tried as often as patience has it.
var errExhausted = errors.New("no attempt succeeded")

// Again says whether a transfer that failed may succeed when it is begun anew.
// Requests that fail have been tried again by then.
func Again(err error) bool {
	var request *smithy.OperationError
	switch {
	case errors.Is(err, errReplaced), codeOf(err) == noSuchUpload:
		return true
	case errors.Is(err, errExhausted), errors.As(err, &request):
		return false
	}
	return errors.Is(err, ErrInterrupted)
}
