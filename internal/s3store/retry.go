package s3store

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// RetryPolicy defines how often and how long a Store retries. The SDK's default
// would end hours of work after a second of failures.
type RetryPolicy struct {
	// Attempts is the number of attempts of one request.
	Attempts int
	// MinDelay and MaxDelay bound the delay between two attempts. It grows
	// exponentially and is half of that on average.
	MinDelay, MaxDelay time.Duration
	// IdleTimeout is how long a connection may receive nothing: on a dead
	// connection the SDK waits forever. One part must be sent in this time.
	IdleTimeout time.Duration
	// AbortTimeout is how long a failed upload may take to remove its parts.
	AbortTimeout time.Duration
}

// DefaultRetryPolicy survives an outage of three minutes. On a network that
// drops every packet it fails after about 25 minutes.
var DefaultRetryPolicy = RetryPolicy{
	Attempts: 12, MinDelay: time.Second, MaxDelay: time.Minute, IdleTimeout: 2 * time.Minute, AbortTimeout: 10 * time.Second,
}

func (p RetryPolicy) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.BaseDelay, o.MaxBackoff = p.Attempts, p.MinDelay, p.MaxDelay
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(untrustedIsFinal)}, o.Retryables...)
		o.RateLimiter = ratelimit.None // it would reduce the attempts of parts that are sent concurrently
	})
}

// untrustedIsFinal reports a certificate that is not trusted as an error not to retry.
func untrustedIsFinal(err error) aws.Ternary {
	if IsUntrusted(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func (p RetryPolicy) client() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithReadTimeout(p.IdleTimeout)
}

// Wait pauses after a failed attempt; the first attempt is 1. It returns the
// error of ctx if that ends first.
func (p RetryPolicy) Wait(ctx context.Context, attempt int) error {
	delay, err := p.retryer().RetryDelay(attempt, nil)
	if err != nil {
		return fmt.Errorf("compute the retry delay: %w", err)
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
