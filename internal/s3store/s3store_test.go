package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	. "github.com/onsi/gomega"
)

// fakeS3 is an S3 in memory that records its requests.
type fakeS3 struct {
	backend *s3mem.Backend
	// answer may handle a request itself. It returns true if it did.
	answer func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex
	requests []*http.Request
}

func newFakeS3(t *testing.T) *fakeS3 {
	t.Helper()
	fake := &fakeS3{backend: s3mem.New(), answer: func(http.ResponseWriter, *http.Request) bool { return false }}
	NewWithT(t).Expect(fake.backend.CreateBucket("bucket")).To(Succeed())
	inner := gofakes3.New(fake.backend, gofakes3.WithTimeSkewLimit(0)).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fake.mu.Lock()
		fake.requests = append(fake.requests, r.Clone(context.Background()))
		fake.mu.Unlock()
		if fake.answer(w, r) {
			_, _ = io.Copy(io.Discard, r.Body) // otherwise the client sees a connection reset instead of the response
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	return fake
}

// asked returns the matching requests in order.
func (f *fakeS3) asked(match func(*http.Request) bool) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*http.Request
	for _, r := range f.requests {
		if match(r) {
			found = append(found, r)
		}
	}
	return found
}

func begins(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }
func aborts(r *http.Request) bool {
	return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
}
func puts(r *http.Request) bool { return r.Method == http.MethodPut && !r.URL.Query().Has("uploadId") }
func sendsPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("uploadId")
}

func refuseWith(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>told so</Message></Error>")
	return true
}

var object = Location{Bucket: "bucket", Key: "pipe/app/k1"}

func current() Credentials {
	return Credentials{AccessKeyID: "AKID", SecretAccessKey: "s3cr3t", SessionToken: "t0k3n"}
}

// fast retries without delay. No request should reach its timeouts.
var fast = RetryPolicy{
	Attempts: 3, MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond, IdleTimeout: 2 * time.Minute, AbortTimeout: 2 * time.Minute,
}

func newTestStore(t *testing.T, keyID string) *Store {
	t.Helper()
	store, err := New(context.Background(), Options{Region: "eu-west-1", KMSKeyID: keyID, Credentials: current, Retry: fast})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return store
}

// upload uploads a zip archive.
func upload(ctx context.Context, store *Store, content io.Reader) error {
	return store.Upload(ctx, object, content, "application/zip")
}

// unseekable only has Read, like a pipe.
type unseekable struct{ io.Reader }

func (f *fakeS3) content(g Gomega) string {
	stored, err := f.backend.GetObject("bucket", object.Key, nil)
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(stored.Contents)
	g.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

func TestUploadAsksForEncryptionWithKMS(t *testing.T) {
	for name, c := range map[string]struct {
		keyID string
		size  int
		sent  func(*http.Request) bool
	}{
		"with the job's key":                {"arn:aws:kms:eu-west-1:1:key/k", 10, puts},
		"with the account's key":            {"", 10, puts},
		"in parts, with the job's key":      {"alias/mine", 2*uploadPartSize + 1, begins},
		"an empty one, with the job's key":  {"alias/mine", 0, puts},
		"just below the size of a part":     {"", 8<<20 - 1, puts},
		"exactly the size of a part":        {"", 8 << 20, begins},
		"one byte above the size of a part": {"", 8<<20 + 1, begins},
		"exactly the size of two parts":     {"", 16 << 20, begins},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fake := newFakeS3(t)
			content := strings.Repeat("x", c.size)
			g.Expect(upload(context.Background(), newTestStore(t, c.keyID), unseekable{strings.NewReader(content)})).To(Succeed())
			sent := fake.asked(c.sent)
			g.Expect(sent).To(HaveLen(1))
			g.Expect(sent[0].Header.Get("X-Amz-Server-Side-Encryption")).To(Equal("aws:kms"))
			g.Expect(sent[0].Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")).To(Equal(c.keyID))
			g.Expect(sent[0].Header.Get("Content-Type")).To(Equal("application/zip"))
			g.Expect(sent[0].Header.Get("X-Amz-Security-Token")).To(Equal("t0k3n"))
			g.Expect(fake.content(g) == content).To(BeTrue(), "the object is another one")
		})
	}
}

func TestUploadLeavesNoPartsWhenItFails(t *testing.T) {
	broken := errors.New("the pack broke")
	large := strings.Repeat("x", 3*uploadPartSize+1)
	t.Run("to read", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		content := io.MultiReader(strings.NewReader(large), iotest.ErrReader(broken))
		g.Expect(upload(context.Background(), newTestStore(t, ""), content)).To(MatchError(broken))
		g.Expect(fake.asked(aborts)).To(HaveLen(1))
	})
	t.Run("to send a part", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
			return sendsPart(r) && r.URL.Query().Get("partNumber") == "3" && refuseWith(w, http.StatusForbidden, "AccessDenied")
		}
		err := upload(context.Background(), newTestStore(t, ""), unseekable{strings.NewReader(large)})
		g.Expect(IsAccessDenied(err)).To(BeTrue(), "%v", err)
		g.Expect(fake.asked(aborts)).To(HaveLen(1))
	})
	t.Run("because it was cancelled", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
			if sendsPart(r) {
				cancel()
			}
			return false
		}
		g.Expect(upload(ctx, newTestStore(t, ""), unseekable{strings.NewReader(large)})).To(MatchError(context.Canceled))
		g.Expect(fake.asked(aborts)).To(HaveLen(1))
	})
	t.Run("before the first part is full", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		content := io.MultiReader(strings.NewReader("half a zip"), iotest.ErrReader(broken))
		g.Expect(upload(context.Background(), newTestStore(t, ""), content)).To(MatchError(broken))
		g.Expect(fake.asked(func(*http.Request) bool { return true })).To(BeEmpty())
	})
}

func TestUploadKeepsItsErrorWhenTheAbortFails(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		return (sendsPart(r) || aborts(r)) && refuseWith(w, http.StatusBadRequest, "ExpiredToken")
	}
	store := newTestStore(t, "")
	err := upload(context.Background(), store, strings.NewReader(strings.Repeat("x", 9<<20)))
	g.Expect(err).To(MatchError(ErrExpired))
	g.Expect(err).To(MatchError(ContainSubstring("its parts are still in the bucket")))
	var incomplete *IncompleteUploadError
	g.Expect(errors.As(err, &incomplete)).To(BeTrue())
	g.Expect(incomplete.Location).To(Equal(object))
	g.Expect(store.AbortUpload(context.Background(), incomplete)).To(MatchError(ContainSubstring("remove the parts of a failed upload to s3://bucket/pipe/app/k1")))
	fake.answer = func(http.ResponseWriter, *http.Request) bool { return false }
	g.Expect(store.AbortUpload(context.Background(), incomplete)).To(Succeed())
	g.Expect(store.AbortUpload(context.Background(), incomplete)).To(Succeed(), "there is nothing left to remove")
}

func TestRequestsUseTheCurrentCredentials(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	key := "OLD"
	credentials := func() Credentials { return Credentials{AccessKeyID: key, SecretAccessKey: "x", SessionToken: "y"} }
	store, err := New(context.Background(), Options{Region: "eu-west-1", Credentials: credentials, Retry: fast})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(upload(context.Background(), store, strings.NewReader("x"))).To(Succeed())
	key = "NEW"
	store.RefreshCredentials()
	g.Expect(upload(context.Background(), store, strings.NewReader("x"))).To(Succeed())
	sent := fake.asked(puts)
	g.Expect(sent).To(HaveLen(2))
	g.Expect(sent[0].Header.Get("Authorization")).To(ContainSubstring("Credential=OLD/"))
	g.Expect(sent[1].Header.Get("Authorization")).To(ContainSubstring("Credential=NEW/"))
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		g.Expect(fmt.Sprintf(format, current())).To(Equal("[redacted]"))
	}
}

// readAll reads the whole object, from ranges or from a stream, and closes it.
func readAll(g Gomega, object *Object) []byte {
	var content []byte
	var err error
	if stream := object.Stream(); stream != nil {
		content, err = io.ReadAll(stream)
	} else {
		content = make([]byte, object.Size())
		err = object.ReadRange(context.Background(), content, 0)
	}
	g.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	g.ExpectWithOffset(1, object.Close()).To(Succeed())
	return content
}

func TestOpenReadsASmallObjectAtOnce(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	_, err := fake.backend.PutObject("bucket", object.Key, nil, bytes.NewReader([]byte("content")), 7, nil)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(readAll(g, body)).To(Equal([]byte("content")))
	g.Expect(fake.asked(func(*http.Request) bool { return true })).To(HaveLen(1))
}

func TestErrorsOfS3AreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		status                   int
		code                     string
		missing, denied, expired bool
	}{
		"no such key":       {404, "NoSuchKey", true, false, false},
		"no such bucket":    {404, "NoSuchBucket", true, false, false},
		"access denied":     {403, "AccessDenied", false, true, false},
		"a clock is wrong":  {403, "RequestTimeTooSkewed", false, false, false},
		"a disabled key":    {400, "KMS.DisabledException", false, true, false},
		"KMS is down":       {500, "KMS.InternalException", false, false, false},
		"expired token":     {400, "ExpiredToken", false, false, true},
		"request expired":   {400, "RequestExpired", false, false, true},
		"invalid token":     {400, "InvalidToken", false, false, true},
		"another bad thing": {400, "InvalidRequest", false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fake := newFakeS3(t)
			fake.answer = func(w http.ResponseWriter, _ *http.Request) bool { return refuseWith(w, c.status, c.code) }
			store := newTestStore(t, "")
			_, openErr := store.Open(context.Background(), object, firstRange)
			uploadErr := upload(context.Background(), store, strings.NewReader("x"))
			largeErr := upload(context.Background(), store, strings.NewReader(strings.Repeat("x", uploadPartSize+1)))
			for _, err := range []error{openErr, uploadErr, largeErr} {
				g.Expect(err).To(MatchError(And(ContainSubstring("s3://bucket/pipe/app/k1"), ContainSubstring(c.code), ContainSubstring("told so"))))
				g.Expect(IsNotFound(err)).To(Equal(c.missing))
				g.Expect(IsAccessDenied(err)).To(Equal(c.denied))
				g.Expect(errors.Is(err, ErrExpired)).To(Equal(c.expired))
				g.Expect(err.Error()).NotTo(Or(ContainSubstring("s3cr3t"), ContainSubstring("t0k3n"), ContainSubstring("\n")))
			}
		})
	}
}

// firstRange is the length that Open reads, and rest the length of a large object's remaining
// content.
const (
	firstRange = 4 << 20
	rest       = 12345
)

// storeLarge stores an object of which Open reads only the first range.
func (f *fakeS3) storeLarge(g Gomega) []byte {
	content := make([]byte, firstRange+rest)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	_, err := f.backend.PutObject("bucket", object.Key, nil, bytes.NewReader(content), int64(len(content)), nil)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

func TestReadRangeReadsAnyRange(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(body.Stream()).To(BeNil())
	g.Expect(body.Size()).To(Equal(int64(len(content))))
	var group sync.WaitGroup
	for _, offset := range []int{0, 1000, firstRange - 1000, firstRange - 1, firstRange, firstRange + 5, len(content) - 1000} {
		group.Go(func() {
			p := make([]byte, 1000)
			g.Expect(body.ReadRange(context.Background(), p, int64(offset))).To(Succeed())
			g.Expect(bytes.Equal(p, content[offset:][:1000])).To(BeTrue(), "at %d", offset)
		})
	}
	group.Wait()
	g.Expect(bytes.Equal(readAll(g, body), content)).To(BeTrue())
	g.Expect(fake.asked(laterRange)).To(HaveLen(5), "all that are not in the first range")
}

// laterRange reports whether a request is for a range after the first.
func laterRange(r *http.Request) bool { return r.Header.Get("If-Match") != "" }

func TestOpenAcceptsAServerWithoutRanges(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(body.Stream()).NotTo(BeNil())
	g.Expect(bytes.Equal(readAll(g, body), content)).To(BeTrue())
	g.Expect(fake.asked(func(*http.Request) bool { return true })).To(HaveLen(1))
}

func TestOpenAcceptsAnEmptyObject(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	_, err := fake.backend.PutObject("bucket", object.Key, nil, bytes.NewReader(nil), 0, nil)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(readAll(g, body)).To(BeEmpty())
}

// hangUp closes the connection of a request.
func hangUp(w http.ResponseWriter, begin string) bool {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(buffered, begin)
	_ = buffered.Flush()
	_ = conn.Close()
	return true
}

// shorter answers with a range that is too short.
func shorter(w http.ResponseWriter, r *http.Request, etag string) bool {
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+"/100")
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(http.StatusPartialContent)
	_, _ = io.WriteString(w, "few")
	return true
}

func (f *fakeS3) etag(g Gomega) string {
	stored, err := f.backend.HeadObject("bucket", object.Key)
	g.Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf(`"%x"`, stored.Hash)
}

func TestReadRangeTellsWhyItFailed(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter, r *http.Request, etag string) bool
		is      error
		restart bool
	}{
		"a replaced object": {func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			return refuseWith(w, http.StatusPreconditionFailed, "PreconditionFailed")
		}, errReplaced, true},
		"a replaced object, on a server without If-Match": {func(w http.ResponseWriter, r *http.Request, _ string) bool {
			return shorter(w, r, `"another"`)
		}, errReplaced, true},
		"expired credentials": {func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			return refuseWith(w, http.StatusBadRequest, "ExpiredToken")
		}, ErrExpired, false},
		"content that always breaks off": {shorter, errExhausted, false},
		"a connection that is closed":    {func(w http.ResponseWriter, _ *http.Request, _ string) bool { return hangUp(w, "") }, errExhausted, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fake := newFakeS3(t)
			fake.storeLarge(g)
			etag := fake.etag(g)
			fake.answer = func(w http.ResponseWriter, r *http.Request) bool { return laterRange(r) && c.answer(w, r, etag) }
			body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
			g.Expect(err).NotTo(HaveOccurred())
			err = body.ReadRange(context.Background(), make([]byte, 10), firstRange)
			g.Expect(err).To(MatchError(c.is))
			g.Expect(err).To(MatchError(errInterrupted))
			g.Expect(err).To(MatchError(ContainSubstring("s3://bucket/pipe/app/k1")))
			g.Expect(errors.Is(err, io.EOF)).To(BeFalse(), "it is not the end of the content")
			g.Expect(ShouldRestart(err)).To(Equal(c.restart))
		})
	}
}

func TestAStreamThatBreaksIsNotTheEnd(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool { // without Content-Length
		return hangUp(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfew\r\n")
	}
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.ReadAll(body.Stream())
	g.Expect(err).To(MatchError(errInterrupted))
	g.Expect(errors.Is(err, io.EOF)).To(BeFalse())
	g.Expect(ShouldRestart(err)).To(BeTrue())
	g.Expect(body.Close()).To(Succeed())
}

func TestARangeThatBreaksIsReadAgain(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	etag := fake.etag(g)
	var once sync.Once
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		broke := false
		if laterRange(r) {
			once.Do(func() { broke = shorter(w, r, etag) })
		}
		return broke
	}
	body, err := newTestStore(t, "").Open(context.Background(), object, firstRange)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(readAll(g, body), content)).To(BeTrue())
	g.Expect(fake.asked(laterRange)).To(HaveLen(2))
}

// TestAPartThatIsNotAnsweredIsSentAgain waits for the idle timeout once. A busy machine may exceed
// it as well, which costs one of many attempts.
func TestAPartThatIsNotAnsweredIsSentAgain(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var once sync.Once
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		silent := false
		if r.URL.Query().Get("partNumber") == "2" {
			once.Do(func() {
				silent = true
				_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client disconnects
				<-r.Context().Done()
			})
		}
		return silent
	}
	retry := fast
	retry.Attempts, retry.IdleTimeout = 50, 3*time.Second
	store, err := New(ctx, Options{Region: "eu-west-1", Credentials: current, Retry: retry})
	g.Expect(err).NotTo(HaveOccurred())
	content := strings.Repeat("x", uploadPartSize+1)
	g.Expect(upload(ctx, store, unseekable{strings.NewReader(content)})).To(Succeed())
	g.Expect(fake.content(g) == content).To(BeTrue())
	g.Expect(len(fake.asked(sendsPart))).To(BeNumerically(">=", 3))
	g.Expect(fake.asked(begins)).To(HaveLen(1), "the upload is not started again")
}
