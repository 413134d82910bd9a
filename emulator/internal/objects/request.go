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

// pathStyle moves a bucket in the host name, which clients use by default with an endpoint such as
// http://localhost:4566, to the front of the path.
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

// copySource returns the source of a copy, in the form bucket/key.
func copySource(r *http.Request) string {
	source, _, _ := strings.Cut(r.Header.Get("X-Amz-Copy-Source"), "?")
	if plain, err := url.PathUnescape(source); err == nil {
		source = plain
	}
	return strings.TrimPrefix(source, "/")
}

// unchunk decodes the aws-chunked encoding of a body, with which SDKs send checksums after the
// content. It is HTTP's chunked encoding with a signature in each chunk's extension.
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

// withoutChunked removes aws-chunked from a list of encodings, because it is the encoding of the
// transfer and not of the object.
func withoutChunked(encodings string) string {
	var kept []string
	for encoding := range strings.SplitSeq(encodings, ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && encoding != "aws-chunked" {
			kept = append(kept, encoding)
		}
	}
	return strings.Join(kept, ",")
}

// decoded reads the decoded body, and closes the original one.
type decoded struct {
	io.Reader
	io.Closer
}
