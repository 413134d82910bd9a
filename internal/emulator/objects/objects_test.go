package objects

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// bucket is a store with one bucket, for whose requests no grant is needed.
type bucket struct {
	*WithT
	store *Store
}

func newBucket(t *testing.T) bucket {
	b := bucket{NewWithT(t), New(Options{
		GrantOf: func(string) (Grant, bool) { return Grant{}, false },
		Now:     time.Now,
	})}
	b.Expect(b.store.CreateBucket("artifacts")).To(Succeed())
	return b
}

// do makes a request with headers, given as pairs of a name and a value.
func (b bucket) do(method, url, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, url, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	b.store.Serve(recorder, request, "AKIATEST")
	return recorder
}

const (
	object   = "http://127.0.0.1/artifacts/k"
	sse      = "X-Amz-Server-Side-Encryption"
	checksum = "X-Amz-Checksum-Crc32"
	ofHello  = "NhCmhg==" // CRC32 of hello
)

func TestRangeComesWithoutTheWholeObjectsChecksum(t *testing.T) {
	b := newBucket(t)
	b.Expect(b.do(http.MethodPut, object, "hello", checksum, ofHello).Code).To(Equal(http.StatusOK))
	whole := b.do(http.MethodGet, object, "")
	b.Expect(whole.Body.String()).To(Equal("hello"))
	b.Expect(whole.Header().Get(checksum)).To(Equal(ofHello))
	part := b.do(http.MethodGet, object, "", "Range", "bytes=1-2")
	b.Expect(part.Code).To(Equal(http.StatusPartialContent))
	b.Expect(part.Body.String()).To(Equal("el"))
	b.Expect(part.Header()).NotTo(HaveKey(checksum))
}

func TestHostNamesTheBucket(t *testing.T) {
	b := newBucket(t)
	b.Expect(b.do(http.MethodPut, "http://artifacts.localhost:4566/dir/a%2Fb", "x").Code).To(Equal(http.StatusOK))
	b.Expect(b.do(http.MethodGet, "http://127.0.0.1:4566/artifacts/dir/a/b", "").Body.String()).To(Equal("x"))
	b.Expect(b.do(http.MethodGet, "http://artifacts.localhost/", "").Body.String()).To(ContainSubstring("<Key>dir/a/b</Key>"))
	b.Expect(b.do(http.MethodGet, "http://localhost:4566/artifacts/dir/a/b", "").Body.String()).To(Equal("x"))
}

func TestEncryptionIsThatOfTheObjectThatIsThere(t *testing.T) {
	b := newBucket(t)
	put := b.do(http.MethodPut, object, "hello", sse, "aws:kms")
	b.Expect(put.Header().Get(sse)).To(Equal("aws:kms"))
	refused := b.do(http.MethodPut, object, "hello", sse, "AES256", "Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")
	b.Expect(refused.Code).To(Equal(http.StatusBadRequest))
	b.Expect(b.do(http.MethodHead, object, "").Header().Get(sse)).To(Equal("aws:kms"))
	b.Expect(b.do(http.MethodPut, object, "hello").Code).To(Equal(http.StatusOK))
	b.Expect(b.do(http.MethodHead, object, "").Header()).NotTo(HaveKey(sse))
	b.Expect(b.do(http.MethodPut, object, "hello", sse, "aws:kms").Code).To(Equal(http.StatusOK))
	b.Expect(b.do(http.MethodDelete, object, "").Code).To(Equal(http.StatusNoContent))
	b.Expect(b.do(http.MethodHead, object, "").Code).To(Equal(http.StatusNotFound))
	b.Expect(b.do(http.MethodHead, object, "").Header()).NotTo(HaveKey(sse))
}
