package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Object is one version of an object, open for reading. Its ranges can be read concurrently. If the
// server does not support ranges, Stream returns the content.
type Object struct {
	store *Store
	from  Location
	etag  *string
	size  int64
	// first is the first range.
	first  []byte
	stream io.ReadCloser
}

// Open opens an object and reads its first bytes, up to the length first. ReadRange returns ranges
// within them without another request.
func (s *Store) Open(ctx context.Context, from Location, first int64) (*Object, error) {
	var object *Object
	err := s.retryBroken(ctx, func() (broken bool, err error) {
		object, broken, err = s.open(ctx, from, first)
		return broken, err
	})
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", from, markExpired(err))
	}
	return object, nil
}

// retryBroken calls try again if the connection breaks. The SDK retries failed requests, but not if
// the response fails after its first byte.
func (s *Store) retryBroken(ctx context.Context, try func() (broken bool, err error)) error {
	for attempt := 1; ; attempt++ {
		broken, err := try()
		switch {
		case !broken || ctx.Err() != nil:
			return err
		case attempt >= s.retry.Attempts:
			return fmt.Errorf("%w (%d): %w", errExhausted, attempt, err)
		}
		if waitErr := s.retry.Wait(ctx, attempt); waitErr != nil {
			return waitErr
		}
	}
}

// open also reports whether the connection broke.
func (s *Store) open(ctx context.Context, from Location, length int64) (object *Object, broken bool, err error) {
	out, err := s.getRange(ctx, from, 0, length, nil)
	if hasStatus(err, http.StatusRequestedRangeNotSatisfiable) { // the object is empty
		out, err = s.get(ctx, &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.Key})
	}
	if err != nil {
		return nil, false, err
	}
	size, ok := objectSize(aws.ToString(out.ContentRange))
	if !ok {
		return &Object{store: s, from: from, stream: streamBody{out.Body}}, false, nil
	}
	defer func() { _ = out.Body.Close() }() // it was read completely, or err has the reason
	first := make([]byte, min(size, length))
	if _, err := io.ReadFull(out.Body, first); err != nil {
		return nil, true, err
	}
	return &Object{store: s, from: from, etag: out.ETag, size: size, first: first}, false, nil
}

func (s *Store) getRange(ctx context.Context, from Location, offset, n int64, etag *string) (*s3.GetObjectOutput, error) {
	return s.get(ctx, &s3.GetObjectInput{
		Bucket: &from.Bucket, Key: &from.Key, IfMatch: etag,
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)),
	})
}

func (s *Store) get(ctx context.Context, input *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	out, err := s.s3.GetObject(ctx, input)
	return out, forUsers(err)
}

// objectSize parses the object's size from the Content-Range of the first range.
func objectSize(contentRange string) (int64, bool) {
	text, ok := strings.CutPrefix(contentRange, "bytes 0-")
	_, text, found := strings.Cut(text, "/")
	size, err := strconv.ParseInt(text, 10, 64)
	return size, ok && found && err == nil && size > 0
}

// Stream returns the content if the server does not support ranges, and nil otherwise.
func (o *Object) Stream() io.Reader {
	if o.stream == nil {
		return nil
	}
	return o.stream
}

// Size returns the number of bytes that ReadRange can read.
func (o *Object) Size() int64 { return o.size }

// Close closes the stream.
func (o *Object) Close() error {
	if o.stream == nil {
		return nil
	}
	return o.stream.Close()
}

// ReadRange fills p with the content at offset. It fails if the object has been replaced since it
// was opened.
func (o *Object) ReadRange(ctx context.Context, p []byte, offset int64) error {
	if offset+int64(len(p)) <= int64(len(o.first)) {
		copy(p, o.first[offset:])
		return nil
	}
	err := o.store.retryBroken(ctx, func() (bool, error) { return o.tryRange(ctx, p, offset) })
	if err != nil {
		return fmt.Errorf("%w: bytes %d to %d of %s: %w", errInterrupted, offset, offset+int64(len(p))-1, o.from, hideEOF(markExpired(err)))
	}
	return nil
}

// hideEOF hides a wrapped io.EOF of a connection error, which readers would take for the end of the
// content.
func hideEOF(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("%w: %s", errExhausted, err.Error())
}

// tryRange also reports whether the connection broke.
func (o *Object) tryRange(ctx context.Context, p []byte, offset int64) (broken bool, err error) {
	out, err := o.store.getRange(ctx, o.from, offset, int64(len(p)), o.etag)
	if hasStatus(err, http.StatusPreconditionFailed) || hasStatus(err, http.StatusRequestedRangeNotSatisfiable) {
		return false, fmt.Errorf("%w: %w", errReplaced, err)
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = out.Body.Close() }() // it was read completely, or err has the reason
	// Some S3-compatible servers ignore If-Match.
	if aws.ToString(out.ETag) != aws.ToString(o.etag) {
		return false, errReplaced
	}
	if given := aws.ToString(out.ContentRange); !strings.HasPrefix(given, fmt.Sprintf("bytes %d-", offset)) {
		return false, fmt.Errorf("the server answers with the range %q", given)
	}
	_, err = io.ReadFull(out.Body, p)
	return err != nil, err
}

// streamBody marks errors of a body that is read as a stream.
type streamBody struct{ io.ReadCloser }

func (b streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF { // an error that wraps io.EOF is not the end
		return n, err
	}
	if errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%w: %s", errInterrupted, err.Error())
	}
	return n, fmt.Errorf("%w: %w", errInterrupted, err)
}
