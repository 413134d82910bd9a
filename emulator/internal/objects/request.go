package objects

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
)

// pathStyle moves a bucket that is named by the host, as clients do that are
// pointed at http://localhost:4566, to the front of the path.
func pathStyle(r *http.Request) *http.Request {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	bucket, ok := strings.CutSuffix(host, ".localhost")
	if !ok || bucket == "" {
		return r
	}
	moved := r.Clone(r.Context())
	moved.URL.Path = "/" + bucket + r.URL.Path
	if r.URL.RawPath != "" {
		moved.URL.RawPath = "/" + bucket + r.URL.RawPath
	}
	moved.Host = "localhost"
	return moved
}

// copySource is the object, as bucket/key, that a request copies from.
func copySource(r *http.Request) string {
	source, _, _ := strings.Cut(r.Header.Get("X-Amz-Copy-Source"), "?")
	if plain, err := url.PathUnescape(source); err == nil {
		source = plain
	}
	return strings.TrimPrefix(source, "/")
}

// unchunk takes the aws-chunked encoding off a body, in which SDKs send
// checksums after the content. It is HTTP's chunked encoding with a signature
// in each chunk's extension.
func unchunk(r *http.Request) error {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil
	}
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil {
		return fmt.Errorf("x-amz-decoded-content-length must be a number: %w", err)
	}
	r.Body = decoded{httputil.NewChunkedReader(r.Body), r.Body}
	r.ContentLength = length
	r.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	r.Header.Set("Content-Encoding", withoutChunked(r.Header.Get("Content-Encoding")))
	return nil
}

// withoutChunked is a list of encodings without aws-chunked, which is the
// transfer's and not the object's.
func withoutChunked(encodings string) string {
	var kept []string
	for encoding := range strings.SplitSeq(encodings, ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && encoding != "aws-chunked" {
			kept = append(kept, encoding)
		}
	}
	return strings.Join(kept, ",")
}

// decoded reads what is in a body, and closes the body.
type decoded struct {
	io.Reader
	io.Closer
}
