package s3store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/pipelinejob/pipelinejob-operator/internal/awstext"
)

var (
	// ErrExpired reports that the credentials have expired.
	ErrExpired = errors.New("the S3 credentials have expired")
	// errInterrupted reports that the connection broke during a download.
	errInterrupted = errors.New("the download was interrupted")

	// errReplaced reports that the object was replaced: its ranges must not be mixed.
	errReplaced = errors.New("the object was replaced while it was read")
	// errExhausted reports that every attempt of the retry policy failed.
	errExhausted = errors.New("every attempt failed")
)

// Codes of S3's errors.
const (
	codeNoSuchUpload = "NoSuchUpload"
	codeNoSuchBucket = "NoSuchBucket"
)

// requestError gives an error of the SDK a text for users, who read it in the failed action: S3's
// error without request and host IDs.
type requestError struct{ err error }

func (e *requestError) Error() string {
	text := awstext.Of(e.err)
	if tried := (*retry.MaxAttemptsError)(nil); errors.As(e.err, &tried) {
		text += fmt.Sprintf(" (%d attempts)", tried.Attempt)
	}
	return text
}

// Unwrap returns the error of the SDK.
func (e *requestError) Unwrap() error { return e.err }

// forUsers wraps an error of the SDK in a requestError. It returns nil for nil.
func forUsers(err error) error {
	if err == nil {
		return nil
	}
	return &requestError{err}
}

// errorCode returns S3's error code, or an empty string if the error is not from S3.
func errorCode(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// markExpired wraps S3's errors about expired credentials in ErrExpired.
func markExpired(err error) error {
	switch errorCode(err) {
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired":
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return err
}

// IsAccessDenied reports whether S3 denied access to the object or the KMS key, or refused the
// signature. S3 returns KMS errors as bad requests whose codes begin with "KMS.".
func IsAccessDenied(err error) bool {
	switch code := errorCode(err); {
	case code == "RequestTimeTooSkewed": // the node's clock is wrong
		return false
	case strings.TrimSuffix(code, "Exception") == "IncompleteSignature": // AWS services use both names
		return true
	case strings.HasPrefix(code, "KMS.") && hasStatus(err, http.StatusBadRequest):
		return true
	}
	return hasStatus(err, http.StatusForbidden)
}

// IsNotFound reports whether the object or its bucket does not exist.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsBucketNotFound reports whether the bucket does not exist.
func IsBucketNotFound(err error) bool { return errorCode(err) == codeNoSuchBucket }

// IsUntrusted reports whether the certificate of S3, or of a proxy in between, is not trusted.
func IsUntrusted(err error) bool {
	var unverified *tls.CertificateVerificationError
	return errors.As(err, &unverified)
}

// ShouldRestart reports whether a failed transfer may succeed if it is restarted. Its requests have
// already been retried.
func ShouldRestart(err error) bool {
	var request *smithy.OperationError
	switch {
	case errors.Is(err, errReplaced), errorCode(err) == codeNoSuchUpload:
		return true
	case errors.Is(err, errExhausted), errors.As(err, &request):
		return false
	}
	return errors.Is(err, errInterrupted)
}

func hasStatus(err error, status int) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}
