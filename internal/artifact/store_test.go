package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
)

// fakeS3 is an S3 in memory that records what it was asked.
type fakeS3 struct {
	backend *s3mem.Backend
	// answer, when it returns true, has answered in place of the S3.
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
			_, _ = io.Copy(io.Discard, r.Body) // or the client sees a reset connection in place of the answer
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	return fake
}

// asked gives the requests that match, in order.
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

var object = contract.Artifact{Name: "app", Bucket: "bucket", ObjectKey: "pipe/app/k1"}

func given() (contract.Credentials, error) {
	return contract.Credentials{AccessKeyID: "AKID", SecretAccessKey: "s3cr3t", SessionToken: "t0k3n"}, nil
}

var impatience = Patience{Attempts: 3, Pause: time.Millisecond, MaxPause: 10 * time.Millisecond, Silence: 10 * time.Second}

func newTestStore(t *testing.T, keyID string) *Store {
	t.Helper()
	store, err := NewStore(context.Background(), contract.Handover{Region: "eu-west-1", EncryptionKeyID: keyID}, given, impatience)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return store
}

// unseekable hides all of a reader but Read, as a pipe does.
type unseekable struct{ io.Reader }

func (f *fakeS3) content(g Gomega) string {
	stored, err := f.backend.GetObject("bucket", object.ObjectKey, nil)
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
		"in parts, with the job's key":      {"alias/mine", 20 << 20, begins},
		"in parts, with the account's key":  {"", 20 << 20, begins},
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
			g.Expect(newTestStore(t, c.keyID).Upload(context.Background(), object, unseekable{strings.NewReader(content)})).To(Succeed())
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
	large := strings.Repeat("x", 40<<20)
	t.Run("to read", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		content := io.MultiReader(strings.NewReader(large), iotest.ErrReader(broken))
		g.Expect(newTestStore(t, "").Upload(context.Background(), object, content)).To(MatchError(broken))
		g.Expect(fake.asked(aborts)).To(HaveLen(1))
	})
	t.Run("to send a part", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
			return sendsPart(r) && r.URL.Query().Get("partNumber") == "3" && refuseWith(w, http.StatusForbidden, "AccessDenied")
		}
		err := newTestStore(t, "").Upload(context.Background(), object, unseekable{strings.NewReader(large)})
		g.Expect(Denied(err)).To(BeTrue(), "%v", err)
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
		g.Expect(newTestStore(t, "").Upload(ctx, object, unseekable{strings.NewReader(large)})).To(MatchError(context.Canceled))
		g.Expect(fake.asked(aborts)).To(HaveLen(1))
	})
	t.Run("before the first part is full", func(t *testing.T) {
		g := NewWithT(t)
		fake := newFakeS3(t)
		content := io.MultiReader(strings.NewReader("half a zip"), iotest.ErrReader(broken))
		g.Expect(newTestStore(t, "").Upload(context.Background(), object, content)).To(MatchError(broken))
		g.Expect(fake.asked(func(*http.Request) bool { return true })).To(BeEmpty())
	})
}

func TestUploadKeepsItsErrorWhenTheAbortFails(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		return (sendsPart(r) || aborts(r)) && refuseWith(w, http.StatusBadRequest, "ExpiredToken")
	}
	err := newTestStore(t, "").Upload(context.Background(), object, strings.NewReader(strings.Repeat("x", 17<<20)))
	g.Expect(err).To(MatchError(ErrExpired))
	g.Expect(err).To(MatchError(ContainSubstring("the parts that were uploaded are still there")))
}

func TestUploadUsesTheCredentialsThatAreGoodNow(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	fresh := func() (contract.Credentials, error) {
		return contract.Credentials{AccessKeyID: "NEW", SecretAccessKey: "x", SessionToken: "y"}, nil
	}
	handover := contract.Handover{Region: "eu-west-1", Credentials: contract.Credentials{AccessKeyID: "OLD", SecretAccessKey: "x"}}
	store, err := NewStore(context.Background(), handover, fresh, impatience)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.Upload(context.Background(), object, strings.NewReader("x"))).To(Succeed())
	gone := func() (contract.Credentials, error) { return contract.Credentials{}, errors.New("gone") }
	store, err = NewStore(context.Background(), handover, gone, impatience)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.Upload(context.Background(), object, strings.NewReader("x"))).To(Succeed())
	sent := fake.asked(puts)
	g.Expect(sent).To(HaveLen(2))
	g.Expect(sent[0].Header.Get("Authorization")).To(ContainSubstring("Credential=NEW/"))
	g.Expect(sent[1].Header.Get("Authorization")).To(ContainSubstring("Credential=OLD/"))
}

func TestOpenStreamsAnObject(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	_, err := fake.backend.PutObject("bucket", object.ObjectKey, nil, bytes.NewReader([]byte("content")), 7, nil)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := newTestStore(t, "").Open(context.Background(), object)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(io.ReadAll(body)).To(Equal([]byte("content")))
	g.Expect(body.Close()).To(Succeed())
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
			_, openErr := store.Open(context.Background(), object)
			uploadErr := store.Upload(context.Background(), object, strings.NewReader("x"))
			largeErr := store.Upload(context.Background(), object, strings.NewReader(strings.Repeat("x", 17<<20)))
			for _, err := range []error{openErr, uploadErr, largeErr} {
				g.Expect(err).To(MatchError(And(ContainSubstring("s3://bucket/pipe/app/k1"), ContainSubstring(c.code), ContainSubstring("told so"))))
				g.Expect(Missing(err)).To(Equal(c.missing))
				g.Expect(Denied(err)).To(Equal(c.denied))
				g.Expect(errors.Is(err, ErrExpired)).To(Equal(c.expired))
				g.Expect(err.Error()).NotTo(Or(ContainSubstring("s3cr3t"), ContainSubstring("t0k3n"), ContainSubstring("\n")))
			}
		})
	}
}

// storeLarge stores an object of several parts.
func (f *fakeS3) storeLarge(g Gomega) []byte {
	content := make([]byte, 3*readSize+12345)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	_, err := f.backend.PutObject("bucket", object.ObjectKey, nil, bytes.NewReader(content), int64(len(content)), nil)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

func TestOpenReadsRanges(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	body, err := newTestStore(t, "").Open(context.Background(), object)
	g.Expect(err).NotTo(HaveOccurred())
	whole := body.(ranged)
	g.Expect(whole.Size()).To(Equal(int64(len(content))))
	some := make([]byte, 1000)
	g.Expect(whole.ReadAt(some, readSize+5)).To(Equal(1000))
	g.Expect(bytes.Equal(some, content[readSize+5:][:1000])).To(BeTrue())
	n, err := whole.ReadAt(some, int64(len(content)-10))
	g.Expect(n).To(Equal(10))
	g.Expect(err).To(MatchError(io.EOF))
	read, err := io.ReadAll(body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(read, content)).To(BeTrue())
	g.Expect(body.Close()).To(Succeed())
	asked := fake.asked(func(r *http.Request) bool { return r.Header.Get("If-Match") != "" })
	g.Expect(asked).To(HaveLen(5), "two ranges, and all parts but the first, which was there")
}

func TestOpenTakesAServerWithoutRanges(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	body, err := newTestStore(t, "").Open(context.Background(), object)
	g.Expect(err).NotTo(HaveOccurred())
	read, err := io.ReadAll(body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(read, content)).To(BeTrue())
	g.Expect(body.Close()).To(Succeed())
	g.Expect(fake.asked(func(*http.Request) bool { return true })).To(HaveLen(1))
}

func TestOpenTakesAnEmptyObject(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	_, err := fake.backend.PutObject("bucket", object.ObjectKey, nil, bytes.NewReader(nil), 0, nil)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := newTestStore(t, "").Open(context.Background(), object)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(io.ReadAll(body)).To(BeEmpty())
	g.Expect(body.Close()).To(Succeed())
}

func TestRangesFailAsWholeObjectsDo(t *testing.T) {
	later := func(r *http.Request) bool { return r.Header.Get("If-Match") != "" }
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		is     error
		says   string
	}{
		"an object that is replaced": {func(w http.ResponseWriter, _ *http.Request) bool {
			return refuseWith(w, http.StatusPreconditionFailed, "PreconditionFailed")
		}, errReplaced, "replaced"},
		"credentials that expire": {func(w http.ResponseWriter, _ *http.Request) bool {
			return refuseWith(w, http.StatusBadRequest, "ExpiredToken")
		}, ErrExpired, "expired"},
		"a connection that always breaks": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+"/100")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "few")
			return true
		}, ErrInterrupted, "replaced"}, // it has no ETag
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fake := newFakeS3(t)
			fake.storeLarge(g)
			fake.answer = func(w http.ResponseWriter, r *http.Request) bool { return later(r) && c.answer(w, r) }
			body, err := newTestStore(t, "").Open(context.Background(), object)
			g.Expect(err).NotTo(HaveOccurred())
			p := newPlace(t)
			err = Fetch(context.Background(), body, "k", p.into, p.base, Limits{Bytes: 1 << 30, Entries: 1})
			g.Expect(err).To(MatchError(c.is))
			g.Expect(err).To(MatchError(ErrInterrupted))
			g.Expect(err).To(MatchError(ContainSubstring(c.says)))
			g.Expect(body.Close()).To(Succeed())
		})
	}
}

// TestAConnectionThatIsClosedIsNoEnd: the error that a client gives then has an
// io.EOF in it.
func TestAConnectionThatIsClosedIsNoEnd(t *testing.T) {
	noise := make([]byte, 3*readSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // which has no error
	for format, content := range map[string][]byte{
		"zip": zipOf(t, fileItem("f", string(noise))), "tar": tarOf(t, fileItem("f", string(noise))),
		"tar.gz": gzipOf(t, tarOf(t, fileItem("f", string(noise)))), "a file": noise,
	} {
		for _, ranges := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ranges: %t", format, ranges), func(t *testing.T) {
				g := NewWithT(t)
				fake := newFakeS3(t)
				_, err := fake.backend.PutObject("bucket", object.ObjectKey, nil, bytes.NewReader(content), int64(len(content)), nil)
				g.Expect(err).NotTo(HaveOccurred())
				fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if ranges && !strings.HasPrefix(r.Header.Get("Range"), fmt.Sprintf("bytes=%d-", 2*readSize)) {
						return false
					}
					conn, buffered, err := w.(http.Hijacker).Hijack()
					g.Expect(err).NotTo(HaveOccurred())
					if !ranges { // half of it comes, without a length that tells
						_, _ = fmt.Fprint(buffered, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n", string(content[:1<<16]), "\r\n")
						_ = buffered.Flush()
					}
					_ = conn.Close()
					return true
				}
				body, err := newTestStore(t, "").Open(context.Background(), object)
				g.Expect(err).NotTo(HaveOccurred())
				p := newPlace(t)
				err = Fetch(context.Background(), body, "k", p.into, p.base, Limits{Bytes: 1 << 30, Entries: 10})
				g.Expect(err).To(MatchError(ErrInterrupted))
				g.Expect(errors.As(err, new(*RefusedError))).To(BeFalse(), "%v", err)
				g.Expect(body.Close()).To(Succeed())
			})
		}
	}
}

func TestAReadThatIsToldToStopIsNoEnd(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := io.ReadAll(newReadAhead(ctx, strings.NewReader("content"), 0, 7))
	g.Expect(err).To(MatchError(context.Canceled))
}

func TestARangeThatBreaksIsAskedForAgain(t *testing.T) {
	g := NewWithT(t)
	fake := newFakeS3(t)
	content := fake.storeLarge(g)
	stored, err := fake.backend.HeadObject("bucket", object.ObjectKey)
	g.Expect(err).NotTo(HaveOccurred())
	var once sync.Once
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		broke := false
		if r.Header.Get("If-Match") != "" {
			once.Do(func() {
				broke = true
				w.Header().Set("ETag", fmt.Sprintf(`"%x"`, stored.Hash))
				w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+"/100")
				w.Header().Set("Content-Length", "1000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, "few")
			})
		}
		return broke
	}
	body, err := newTestStore(t, "").Open(context.Background(), object)
	g.Expect(err).NotTo(HaveOccurred())
	read, err := io.ReadAll(body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(read, content)).To(BeTrue())
	g.Expect(body.Close()).To(Succeed())
}
