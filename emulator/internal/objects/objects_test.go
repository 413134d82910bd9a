package objects

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// bucket is a store with one bucket, for requests without a grant.
type bucket struct {
	*WithT
	store *Store
}

func newBucket(t *testing.T) bucket {
	b := bucket{NewWithT(t), New()}
	b.Expect(b.store.CreateBucket("artifacts")).To(Succeed())
	return b
}

// do makes a request. headers are pairs of names and values.
func (b bucket) do(method, url, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, url, strings.NewReader(body))
	request.Header.Set("Content-Length", strconv.Itoa(len(body))) // as set by a server
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	b.store.Serve(recorder, request, nil)
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

func TestRequestHeadersAreNotKept(t *testing.T) {
	b := newBucket(t)
	b.Expect(b.do(http.MethodPut, object, "hello", "X-Amz-Security-Token", "token-of-the-uploader", "X-Amz-Date", "20300101T000000Z",
		"X-Amz-Meta-Kept", "yes", "Content-Type", "application/zip").Code).To(Equal(http.StatusOK))
	copied := "http://127.0.0.1/artifacts/copied"
	b.Expect(b.do(http.MethodPut, copied, "", "X-Amz-Copy-Source", "/artifacts/k", "X-Amz-Security-Token", "token-of-the-copier").Code).To(Equal(http.StatusOK))
	_, _, err := b.store.Copy("artifacts", "k", "", "artifacts", "by-engine")
	b.Expect(err).NotTo(HaveOccurred())
	for _, url := range []string{object, copied, "http://127.0.0.1/artifacts/by-engine"} {
		header := b.do(http.MethodGet, url, "").Header()
		b.Expect(header).NotTo(HaveKey("X-Amz-Security-Token"), url)
		b.Expect(header).NotTo(HaveKey("X-Amz-Date"), url)
		b.Expect(header.Get("X-Amz-Meta-Kept")).To(Equal("yes"), url)
		b.Expect(header.Get("Content-Type")).To(Equal("application/zip"), url)
	}
}

func TestReplacedObjectLeavesNoHeaders(t *testing.T) {
	b := newBucket(t)
	b.do(http.MethodPut, object, "hello", checksum, ofHello, "X-Amz-Meta-Old", "yes")
	b.do(http.MethodPut, object, "other content")
	header := b.do(http.MethodGet, object, "").Header()
	b.Expect(header).NotTo(HaveKey(checksum))
	b.Expect(header).NotTo(HaveKey("X-Amz-Meta-Old"))
}

func TestContentEncodingLosesTheTransfersOnly(t *testing.T) {
	b := newBucket(t)
	put := func(encoding string) {
		b.Expect(b.do(http.MethodPut, object, "2\r\nhi\r\n0\r\n\r\n", "Content-Encoding", encoding,
			"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "2").Code).To(Equal(http.StatusOK))
	}
	put("aws-chunked, gzip")
	answer := b.do(http.MethodGet, object, "")
	b.Expect(answer.Body.String()).To(Equal("hi"))
	b.Expect(answer.Header().Get("Content-Encoding")).To(Equal("gzip"))
	put("aws-chunked")
	b.Expect(b.do(http.MethodGet, object, "").Header()).NotTo(HaveKey("Content-Encoding"))
}

func TestOperation(t *testing.T) {
	g := NewWithT(t)
	cases := map[string]string{
		"GET /b/k":                 "GetObject",
		"HEAD /b/k":                "HeadObject",
		"PUT /b/k":                 "PutObject",
		"DELETE /b/k":              "DeleteObject",
		"POST /b/k?uploads":        "CreateMultipartUpload",
		"PUT /b/k?uploadId=1":      "UploadPart",
		"POST /b/k?uploadId=1":     "CompleteMultipartUpload",
		"DELETE /b/k?uploadId=1":   "AbortMultipartUpload",
		"GET /b?list-type=2":       "ListObjects",
		"GET /b":                   "ListObjects",
		"GET /b?versioning":        "",
		"GET /":                    "",
		"PUT /b":                   "",
		"GET http://b.localhost/k": "GetObject",
	}
	for line, want := range cases {
		method, url, _ := strings.Cut(line, " ")
		g.Expect(Operation(httptest.NewRequest(method, url, nil))).To(Equal(want), line)
	}
	copied := httptest.NewRequest(http.MethodPut, "/b/k", nil)
	copied.Header.Set("X-Amz-Copy-Source", "/b/other")
	g.Expect(Operation(copied)).To(Equal("CopyObject"))
}
