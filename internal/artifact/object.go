package artifact

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

	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
)

// ranged is content that can be read at any place, as a file can be.
type ranged interface {
	io.Reader
	io.ReaderAt
	Size() int64
}

// rangedObject is one state of an object of S3, of which any range can be read.
type rangedObject struct {
	ctx   context.Context
	store *Store
	from  contract.Artifact
	etag  *string
	size  int64
	// begin is what came with the first answer.
	begin []byte
	ahead *readAhead
}

// errReplaced tells that the ranges of two objects would be mixed.
var errReplaced = errors.New("the object was replaced while it was read")

// Open gives an object's content, which is a stream and, where the server does
// ranges, can also be read at any place: then several parts come at once.
func (s *Store) Open(ctx context.Context, from contract.Artifact) (content io.ReadCloser, err error) {
	err = s.untilWhole(ctx, func() (broken bool, err error) {
		content, broken, err = s.open(ctx, from)
		return broken, err
	})
	if err != nil {
		return nil, fmt.Errorf("download s3://%s/%s: %w", from.Bucket, from.ObjectKey, expired(err))
	}
	return content, nil
}

// untilWhole tries again when an answer breaks off: the SDK repeats requests
// that fail, but not what comes after the first byte of an answer.
func (s *Store) untilWhole(ctx context.Context, try func() (broken bool, err error)) error {
	for attempt := 1; ; attempt++ {
		broken, err := try()
		switch {
		case !broken || ctx.Err() != nil:
			return err
		case attempt >= s.patience.Attempts:
			return fmt.Errorf("%w of %d: %w", errExhausted, attempt, err)
		}
		if waitErr := s.patience.Wait(ctx, attempt); waitErr != nil {
			return waitErr
		}
	}
}

// open says whether the connection broke, so that it is worth another try.
func (s *Store) open(ctx context.Context, from contract.Artifact) (content io.ReadCloser, broken bool, err error) {
	out, err := s.get(ctx, from, 0, readSize, nil)
	if hasStatus(err, http.StatusRequestedRangeNotSatisfiable) { // it is empty
		out, err = s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.ObjectKey})
	}
	if err != nil {
		return nil, false, err
	}
	size, ok := wholeSize(aws.ToString(out.ContentRange))
	if !ok {
		return out.Body, false, nil
	}
	defer func() { _ = out.Body.Close() }() // all of it was read, or another error says why not
	begin := make([]byte, min(size, readSize))
	if _, err := io.ReadFull(out.Body, begin); err != nil {
		return nil, true, err
	}
	return &rangedObject{ctx: ctx, store: s, from: from, etag: out.ETag, size: size, begin: begin}, false, nil
}

func (s *Store) get(ctx context.Context, from contract.Artifact, at, n int64, etag *string) (*s3.GetObjectOutput, error) {
	return s.s3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &from.Bucket, Key: &from.ObjectKey, IfMatch: etag,
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", at, at+n-1)),
	})
}

// wholeSize is the object's size as the range of an answer tells it.
func wholeSize(contentRange string) (int64, bool) {
	text, ok := strings.CutPrefix(contentRange, "bytes 0-")
	_, text, found := strings.Cut(text, "/")
	size, err := strconv.ParseInt(text, 10, 64)
	return size, ok && found && err == nil && size > 0
}

// Size is the object's.
func (o *rangedObject) Size() int64 { return o.size }

// Read streams the object, and reads ahead.
func (o *rangedObject) Read(p []byte) (int, error) {
	if o.ahead == nil {
		o.ahead = newReadAhead(o.ctx, o, 0, o.size)
	}
	return o.ahead.Read(p)
}

// Close ends what Read has begun.
func (o *rangedObject) Close() error {
	if o.ahead == nil {
		return nil
	}
	return o.ahead.Close()
}

// ReadAt reads a range of the object as it was when it was opened.
func (o *rangedObject) ReadAt(p []byte, at int64) (int, error) {
	if at >= o.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), o.size-at)
	if err := o.readRange(o.ctx, p[:n], at); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readRange reads a range into memory.
func (o *rangedObject) readRange(ctx context.Context, into []byte, at int64) error {
	if at+int64(len(into)) <= int64(len(o.begin)) {
		copy(into, o.begin[at:])
		return nil
	}
	err := o.store.untilWhole(ctx, func() (bool, error) { return o.tryRange(ctx, into, at) })
	if err != nil {
		return fmt.Errorf("download bytes %d to %d of s3://%s/%s: %w", at, at+int64(len(into))-1, o.from.Bucket, o.from.ObjectKey, noEnd(expired(err)))
	}
	return nil
}

// noEnd gives the error of a connection that was closed, which has an io.EOF in
// it, another form: who reads would take it for the end of the content. It was
// tried again by then.
func noEnd(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("%w: %s", errExhausted, err.Error())
}

// tryRange says whether the connection broke, so that it is worth another try.
func (o *rangedObject) tryRange(ctx context.Context, into []byte, at int64) (broken bool, err error) {
	out, err := o.store.get(ctx, o.from, at, int64(len(into)), o.etag)
	if hasStatus(err, http.StatusPreconditionFailed) || hasStatus(err, http.StatusRequestedRangeNotSatisfiable) {
		return false, fmt.Errorf("%w: %w", errReplaced, err)
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = out.Body.Close() }() // all of it was read, or another error says why not
	// Not every server that is like S3 knows If-Match.
	if aws.ToString(out.ETag) != aws.ToString(o.etag) {
		return false, errReplaced
	}
	if given := aws.ToString(out.ContentRange); !strings.HasPrefix(given, fmt.Sprintf("bytes %d-", at)) {
		return false, fmt.Errorf("the server answers with the range %q", given)
	}
	_, err = io.ReadFull(out.Body, into)
	return err != nil, err
}
