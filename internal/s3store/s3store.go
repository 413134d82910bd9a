// Package s3store transfers objects to and from S3.
package s3store

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pipelinejob/pipelinejob-operator/internal/awstext"
)

// Location is the bucket and key of an object.
type Location struct{ Bucket, Key string }

// String returns the location as an S3 URI.
func (l Location) String() string { return "s3://" + l.Bucket + "/" + l.Key }

// Credentials are temporary AWS credentials.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }

// String keeps credentials out of logs and error texts.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps credentials out of %#v.
func (Credentials) GoString() string { return "[redacted]" }

// Options configure a Store.
type Options struct {
	Region string
	// KMSKeyID is the ID, ARN or alias of the KMS key that encrypts uploads. If it is empty, S3
	// uses the account's default key for S3.
	KMSKeyID string
	// Credentials returns the current credentials. It is called again every minute, because a
	// transfer may outlast the credentials that it started with.
	Credentials func() Credentials
	Retry       RetryPolicy
}

// Store transfers objects with one set of credentials and one KMS key.
type Store struct {
	s3          *s3.Client
	kmsKeyID    string
	credentials *aws.CredentialsCache
	retry       RetryPolicy
}

// credentialsLifetime is how long credentials are used before
// Options.Credentials is called again.
const credentialsLifetime = time.Minute

// New returns a Store. The SDK's variables AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 override the
// endpoint.
func New(ctx context.Context, o Options) (*Store, error) {
	credentials := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		current := o.Credentials()
		return aws.Credentials{
			AccessKeyID: current.AccessKeyID, SecretAccessKey: current.SecretAccessKey, SessionToken: current.SessionToken,
			CanExpire: true, Expires: time.Now().Add(credentialsLifetime),
		}, nil
	}))
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(o.Region),
		config.WithHTTPClient(o.Retry.client()),
		config.WithRetryer(o.Retry.retryer),
		config.WithCredentialsProvider(credentials))
	if err != nil {
		return nil, fmt.Errorf("prepare the S3 client: %w", &awstext.ConfigurationError{Err: err})
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true // most objects have no checksum, so a warning has no use
	})
	return &Store{s3: client, kmsKeyID: o.KMSKeyID, credentials: credentials, retry: o.Retry}, nil
}

// RefreshCredentials makes the next request use the current credentials.
func (s *Store) RefreshCredentials() { s.credentials.Invalidate() }
