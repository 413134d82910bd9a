package objects

import (
	"net/http"
	"strings"
)

// answer calls before with the status, ahead of the first byte: what is known
// of an object must follow from what became of the request.
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

// trim takes off what S3 does not answer: headers without a value, which stand
// for none, and beside a range the checksums of the whole object, which clients
// would hold against the part that they got.
func trim(header http.Header, status int) {
	for name := range header {
		ofAll := status == http.StatusPartialContent && strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-")
		if header.Get(name) == "" || ofAll {
			header.Del(name)
		}
	}
}
