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

// RetryPolicy sets how often and for how long a Store retries. With the SDK's default, a second of
// failures could end hours of work.
type RetryPolicy struct {
	// Attempts is the number of attempts of one request.
	Attempts int
	// MinDelay and MaxDelay bound the delay between two attempts. The bound grows exponentially,
	// and the delay is half of it on average.
	MinDelay, MaxDelay time.Duration
	// IdleTimeout is how long a connection may receive nothing, because the SDK waits forever on a
	// dead connection. One part must be sent within this time.
	IdleTimeout time.Duration
	// AbortTimeout is the timeout for removing the parts of a failed upload.
	AbortTimeout time.Duration
}

// DefaultRetryPolicy survives an outage of three minutes. If the network drops all packets, it
// fails after about 25 minutes.
var DefaultRetryPolicy = RetryPolicy{
	Attempts: 12, MinDelay: time.Second, MaxDelay: time.Minute, IdleTimeout: 2 * time.Minute, AbortTimeout: 10 * time.Second,
}

func (p RetryPolicy) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.BaseDelay, o.MaxBackoff = p.Attempts, p.MinDelay, p.MaxDelay
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(untrustedIsFinal)}, o.Retryables...)
		o.RateLimiter = ratelimit.None // the SDK's limiter would reduce the attempts of concurrent parts
	})
}

// untrustedIsFinal makes the SDK not retry if a certificate is not trusted.
func untrustedIsFinal(err error) aws.Ternary {
	if IsUntrusted(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func (p RetryPolicy) client() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithReadTimeout(p.IdleTimeout)
}

// Wait waits after a failed attempt. The first attempt has the number 1. It returns the error of
// ctx if ctx ends first.
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
