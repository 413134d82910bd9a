package s3store

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// uploadPartSize times uploadConcurrency bounds the memory of an upload.
const (
	uploadPartSize    = 8 << 20
	uploadConcurrency = 2
)

// MaxUploadSize is the largest object, in bytes, that Upload can write: S3 accepts at most 10,000
// parts.
const MaxUploadSize = 10_000 * uploadPartSize

// IncompleteUploadError reports that an upload failed and that its parts could not be removed. They
// stay until AbortUpload or a lifecycle rule of the bucket removes them.
type IncompleteUploadError struct {
	Location Location
	UploadID string
	// Err is the error of the upload.
	Err error
	// AbortErr is the error of removing the parts.
	AbortErr error
}

func (e *IncompleteUploadError) Error() string {
	return fmt.Sprintf("%v; its parts are still in the bucket, until a lifecycle rule removes them: %v", e.Err, e.AbortErr)
}

// Unwrap returns both errors.
func (e *IncompleteUploadError) Unwrap() []error { return []error{e.Err, e.AbortErr} }

// Upload writes content to an object, in several parts if it is large. It requests encryption with
// aws:kms, which the policy of a pipeline's artifact bucket requires. A failed upload removes its
// parts. If it can't, the error is an *IncompleteUploadError.
func (s *Store) Upload(ctx context.Context, to Location, content io.Reader, contentType string) error {
	input := &transfermanager.UploadObjectInput{
		Bucket:               &to.Bucket,
		Key:                  &to.Key,
		Body:                 content,
		ContentType:          &contentType,
		ServerSideEncryption: transfer.ServerSideEncryptionAwsKms,
	}
	if s.kmsKeyID != "" {
		input.SSEKMSKeyID = &s.kmsKeyID
	}
	client := &uploadClient{Client: s.s3}
	uploader := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes = uploadPartSize
		o.Concurrency = uploadConcurrency
		o.MultipartUploadThreshold = uploadPartSize // read first, in addition to the buffers
		o.FailTimeout = s.retry.AbortTimeout        // zero would abort with ctx, which fails if ctx was cancelled
	})
	_, err := uploader.UploadObject(ctx, input)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("upload %s: %w", to, markExpired(forUsers(err)))
	if client.abortErr == nil {
		return err
	}
	return &IncompleteUploadError{Location: to, UploadID: client.uploadID, Err: err, AbortErr: client.abortErr}
}

// uploadClient records the error of an abort and hides it from the uploader, which would return it
// instead of the error of the upload.
type uploadClient struct {
	*s3.Client
	uploadID string
	abortErr error
}

// AbortMultipartUpload is called at most once, when no part is in progress.
func (c *uploadClient) AbortMultipartUpload(ctx context.Context, input *s3.AbortMultipartUploadInput, options ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	c.uploadID = aws.ToString(input.UploadId)
	if _, err := c.Client.AbortMultipartUpload(ctx, input, options...); errorCode(err) != codeNoSuchUpload {
		c.abortErr = forUsers(err)
	}
	return &s3.AbortMultipartUploadOutput{}, nil
}

// AbortUpload removes the parts of a failed upload.
func (s *Store) AbortUpload(ctx context.Context, upload *IncompleteUploadError) error {
	_, err := s.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &upload.Location.Bucket, Key: &upload.Location.Key, UploadId: &upload.UploadID,
	})
	if err != nil && errorCode(err) != codeNoSuchUpload {
		return fmt.Errorf("remove the parts of a failed upload to %s, which stay until a lifecycle rule of the bucket removes them: %w", upload.Location, forUsers(err))
	}
	return nil
}
