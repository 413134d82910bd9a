// Package artifact moves a job's artifacts between S3 and folders: it fetches
// and unpacks input artifacts, and packs and uploads output artifacts.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
)

// ErrExpired says that the job's artifact credentials are no longer good:
// CodePipeline has to be asked for new ones.
var ErrExpired = errors.New("the artifact credentials have expired")

// Store is S3 as one job's artifact credentials see it.
type Store struct {
	s3          *s3.Client
	keyID       string
	credentials *aws.CredentialsCache
	patience    Patience
	// left is an upload that failed, and whose parts could not be removed.
	left *s3.AbortMultipartUploadInput
}

// partSize and uploads bound the memory of an upload to their product.
const (
	partSize = 8 << 20
	uploads  = 2
)

// abortTime is how long an upload that failed may take to remove its parts.
const abortTime = 10 * time.Second

// reread is how long credentials are used before current is asked again:
// uploads may last longer than the credentials that they began with.
const reread = time.Minute

// NewStore makes a store for a handover. Current gives the credentials that are
// good now; the handover's are used when it fails. Endpoints are overridden as
// the SDK documents (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3).
func NewStore(ctx context.Context, handover contract.Handover, current func() (contract.Credentials, error), patience Patience) (*Store, error) {
	credentials := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		given, err := current()
		if err != nil {
			given = handover.Credentials
		}
		return aws.Credentials{
			AccessKeyID: given.AccessKeyID, SecretAccessKey: given.SecretAccessKey, SessionToken: given.SessionToken,
			CanExpire: true, Expires: time.Now().Add(reread),
		}, nil
	}))
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(handover.Region),
		config.WithHTTPClient(patience.client()),
		config.WithRetryer(patience.retryer),
		config.WithCredentialsProvider(credentials))
	if err != nil {
		return nil, fmt.Errorf("prepare the S3 client: %w", err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true // most artifacts have none: nothing to act on
	})
	return &Store{s3: client, keyID: handover.EncryptionKeyID, credentials: credentials, patience: patience}, nil
}

// Renew has the store use the credentials that are good now, at once.
func (s *Store) Renew() { s.credentials.Invalidate() }

// Upload streams content to an object, in parts when it is large. It asks for
// aws:kms, which the policy of a pipeline's artifact bucket demands: with the
// job's key when it has one, with the account's default key otherwise. An
// upload that fails removes its parts; where it can't, Sweep can later.
func (s *Store) Upload(ctx context.Context, to contract.Artifact, content io.Reader) error {
	input := &transfermanager.UploadObjectInput{
		Bucket:               &to.Bucket,
		Key:                  &to.ObjectKey,
		Body:                 content,
		ContentType:          aws.String("application/zip"),
		ServerSideEncryption: transfer.ServerSideEncryptionAwsKms,
	}
	if s.keyID != "" {
		input.SSEKMSKeyID = &s.keyID
	}
	client := &uploadClient{Client: s.s3}
	uploader := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes = partSize
		o.Concurrency = uploads
		o.MultipartUploadThreshold = partSize // so much is read at first, beside the buffers
		o.FailTimeout = abortTime             // zero would abort with ctx, and so not at all when that was cancelled
	})
	_, err := uploader.UploadObject(ctx, input)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("upload s3://%s/%s: %w", to.Bucket, to.ObjectKey, expired(err))
	if client.abortErr != nil {
		s.left = client.aborted
		err = fmt.Errorf("%w; the parts that were uploaded are still there, until a lifecycle rule of the bucket removes them: %w", err, client.abortErr)
	}
	return err
}

// uploadClient keeps the error of an abort to itself: the uploader would put
// the text of it in the place of the error that the upload failed with.
type uploadClient struct {
	*s3.Client
	aborted  *s3.AbortMultipartUploadInput
	abortErr error
}

// AbortMultipartUpload is called once at most, when all parts have ended.
func (c *uploadClient) AbortMultipartUpload(ctx context.Context, input *s3.AbortMultipartUploadInput, options ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	c.aborted = input
	if _, err := c.Client.AbortMultipartUpload(ctx, input, options...); codeOf(err) != noSuchUpload {
		c.abortErr = err
	}
	return &s3.AbortMultipartUploadOutput{}, nil
}

// Sweep removes the parts of an upload that failed and could not do it itself,
// for want of good credentials.
func (s *Store) Sweep(ctx context.Context) error {
	if s.left == nil {
		return nil
	}
	if _, err := s.s3.AbortMultipartUpload(ctx, s.left); err != nil && codeOf(err) != noSuchUpload {
		return fmt.Errorf("remove the parts of an upload to s3://%s/%s that failed, which stay until a lifecycle rule of the bucket removes them: %w",
			aws.ToString(s.left.Bucket), aws.ToString(s.left.Key), err)
	}
	s.left = nil
	return nil
}

const (
	noSuchUpload = "NoSuchUpload"
	noSuchBucket = "NoSuchBucket"
)

// codeOf is S3's code of an error, empty when it is none of S3's.
func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

func expired(err error) error {
	switch codeOf(err) {
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired":
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return err
}

// Denied says whether S3 refused access, or the KMS key that it had to use:
// S3 gives errors of KMS as bad requests whose codes begin with "KMS.".
func Denied(err error) bool {
	switch code := codeOf(err); {
	case code == "RequestTimeTooSkewed": // the node's clock is wrong
		return false
	case strings.HasPrefix(code, "KMS.") && hasStatus(err, http.StatusBadRequest):
		return true
	}
	return hasStatus(err, http.StatusForbidden)
}

// Missing says whether the object or its bucket is not there.
func Missing(err error) bool {
	return hasStatus(err, http.StatusNotFound)
}

// NoBucket says whether the bucket is not there.
func NoBucket(err error) bool { return codeOf(err) == noSuchBucket }

func hasStatus(err error, status int) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}
