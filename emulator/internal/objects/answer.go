package objects

import (
	"net/http"
	"strings"
)

// answer calls before with the status, before the first byte is sent: the headers about an object
// depend on the outcome of the request.
type answer struct {
	http.ResponseWriter
	before func(status int)
	begun  bool
}

func (a *answer) begin(status int) {
	if !a.begun {
		a.begun = true
		a.before(status)
	}
}

func (a *answer) WriteHeader(status int) {
	a.begin(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(content []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriter.Write(content)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// trim removes headers that S3 does not send: those without a value and, in responses with a range,
// the checksums of the whole object, which clients would compare with the part.
func trim(header http.Header, status int) {
	for name := range header {
		ofAll := status == http.StatusPartialContent && strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-")
		if header.Get(name) == "" || ofAll {
			header.Del(name)
		}
	}
}
