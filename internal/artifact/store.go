// Package artifact moves a job's artifacts between S3 and folders: it fetches
// and unpacks input artifacts, and packs and uploads output artifacts.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
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
	s3       *s3.Client
	uploader *transfermanager.Client
	keyID    string
}

// partSize and uploads bound the memory of an upload to their product.
const (
	partSize = 8 << 20
	uploads  = 4
)

// NewStore makes a store from a handover. Endpoints are overridden as the SDK
// documents (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3).
func NewStore(ctx context.Context, handover contract.Handover) (*Store, error) {
	given := handover.Credentials
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(handover.Region),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(given.AccessKeyID, given.SecretAccessKey, given.SessionToken)))
	if err != nil {
		return nil, fmt.Errorf("prepare the S3 client: %w", err)
	}
	client := s3.NewFromConfig(cfg)
	return &Store{
		s3: client,
		uploader: transfermanager.New(client, func(o *transfermanager.Options) {
			o.PartSizeBytes = partSize
			o.Concurrency = uploads
		}),
		keyID: handover.EncryptionKeyID,
	}, nil
}

// Open streams an object.
func (s *Store) Open(ctx context.Context, from contract.Artifact) (io.ReadCloser, error) {
	out, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.ObjectKey})
	if err != nil {
		return nil, fmt.Errorf("download s3://%s/%s: %w", from.Bucket, from.ObjectKey, expired(err))
	}
	return out.Body, nil
}

// Upload streams content to an object, in parts when it is large. It asks for
// aws:kms, which the policy of a pipeline's artifact bucket demands: with the
// job's key when it has one, with the account's default key otherwise. An
// upload that fails leaves no parts behind.
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
	if _, err := s.uploader.UploadObject(ctx, input); err != nil {
		return fmt.Errorf("upload s3://%s/%s: %w", to.Bucket, to.ObjectKey, expired(err))
	}
	return nil
}

func expired(err error) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch answer.ErrorCode() {
		case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired":
			return fmt.Errorf("%w: %w", ErrExpired, err)
		}
	}
	return err
}

// Denied says whether S3 or KMS refused access.
func Denied(err error) bool {
	return hasStatus(err, http.StatusForbidden)
}

// Missing says whether the object or its bucket is not there.
func Missing(err error) bool {
	return hasStatus(err, http.StatusNotFound)
}

func hasStatus(err error, status int) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}
