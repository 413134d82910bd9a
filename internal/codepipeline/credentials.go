package codepipeline

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// identityCredentials provides the credentials of an identity. Its errors mean that a call was not
// sent.
type identityCredentials struct {
	identity Identity
	provider aws.CredentialsProvider
	// within bounds the wait for a retrieval, which another caller may have started.
	within time.Duration
}

// Retrieve returns the credentials, or a *NotSentError with a *CredentialsError.
func (c identityCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	found, err := c.provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &NotSentError{Kind: AccessDenied, Err: &CredentialsError{c.identity, err}}
	}
	return found, nil
}
