package codepipeline

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/singleflight"

	"github.com/pipelinejob/pipelinejob-operator/internal/awstext"
)

// Timeouts bound calls to AWS, including calls for credentials. Zero values mean defaultTimeouts.
type Timeouts struct {
	// Attempt bounds an attempt, from connecting to the end of the response.
	Attempt time.Duration
	// Call bounds a call, including retries and the waits between them.
	Call time.Duration
	// Listing bounds the calls for all pages of a list.
	Listing time.Duration
}

// defaultTimeouts leave room for a retry within a call. None of CodePipeline's operations is a long
// poll.
var defaultTimeouts = Timeouts{Attempt: 15 * time.Second, Call: 30 * time.Second, Listing: 2 * time.Minute}

func (t Timeouts) complete() Timeouts {
	return Timeouts{
		Attempt: cmp.Or(t.Attempt, defaultTimeouts.Attempt),
		Call:    cmp.Or(t.Call, defaultTimeouts.Call),
		Listing: cmp.Or(t.Listing, defaultTimeouts.Listing),
	}
}

// idleConnections is the number of idle connections that are kept per host.
const idleConnections = 16

// environment is the AWS configuration from the environment and shared files. It is loaded once, so
// that all clients share its HTTP connections and the operator's own credentials.
type environment struct {
	load     []LoadOption
	timeouts Timeouts

	loading singleflight.Group
	loaded  atomic.Pointer[environmentConfig]
}

type environmentConfig struct {
	aws.Config
	// region is the environment's region, if it has one.
	region string
	// transport is nil if a load option set another HTTP client.
	transport http.RoundTripper
}

// config returns the configuration for a region, or for the environment's if region is empty. Calls
// of its clients end within the timeouts.
func (e *environment) config(ctx context.Context, region string, t Timeouts) (aws.Config, error) {
	loaded := e.loaded.Load()
	if loaded == nil {
		var err error
		loaded, err = once(ctx, &e.loading, e.timeouts.Call, func(ctx context.Context) (*environmentConfig, error) {
			return e.read(ctx, region)
		})
		if err != nil {
			return aws.Config{}, err
		}
	}
	cfg := loaded.Copy()
	cfg.Region = cmp.Or(region, loaded.region)
	cfg.APIOptions = append(cfg.APIOptions, endWithin(t.Call))
	if loaded.transport != nil {
		cfg.HTTPClient = &http.Client{Transport: loaded.transport, Timeout: t.Attempt, CheckRedirect: doNotRedirect}
	}
	return cfg, nil
}

// read loads the configuration. Credentials from STS need a region too: it falls back to region if
// the environment has none.
func (e *environment) read(ctx context.Context, region string) (*environmentConfig, error) {
	client := awshttp.NewBuildableClient().WithTimeout(e.timeouts.Attempt).
		WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = idleConnections })
	load := slices.Concat([]LoadOption{
		config.WithHTTPClient(client),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
		config.WithAPIOptions([]func(*middleware.Stack) error{endWithin(e.timeouts.Call)}),
	}, e.load)
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	own := cfg.Region
	if err == nil && own == "" && region != "" {
		cfg, err = config.LoadDefaultConfig(ctx, append(load, config.WithDefaultRegion(region))...)
	}
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", &awstext.ConfigurationError{Err: err})
	}
	loaded := &environmentConfig{Config: cfg, region: own}
	if buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		loaded.transport = buildable.GetTransport() // with AWS_CA_BUNDLE
	}
	e.loaded.Store(loaded)
	return loaded, nil
}

// doNotRedirect does not follow redirects: AWS has none, but captive portals do.
func doNotRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// endWithin bounds an operation, including its retries and the retrieval of credentials. It
// replaces a previous bound of the client's configuration.
//
// A caller's context does not bound work that callers share: aws.CredentialsCache retrieves
// credentials for all of them, without the deadline of any.
func endWithin(limit time.Duration) func(*middleware.Stack) error {
	const id = "EndWithin"
	bound := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return next.HandleInitialize(ctx, in)
	}
	return func(stack *middleware.Stack) error {
		if _, has := stack.Initialize.Get(id); has {
			if _, err := stack.Initialize.Remove(id); err != nil {
				return err
			}
		}
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc(id, bound), middleware.Before)
	}
}

// once calls do once for all concurrent callers. do may run for limit, even if callers give up.
// Each caller waits until its own context ends.
func once[T any](ctx context.Context, group *singleflight.Group, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	result := group.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		return do(ctx)
	})
	var none T
	select {
	case got := <-result:
		if got.Err != nil {
			return none, got.Err
		}
		return got.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
