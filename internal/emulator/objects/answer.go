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

// dropChecksums takes the checksums off the answer to a range: gofakes3 gives
// those of the whole object, which clients hold against the part they got.
func dropChecksums(header http.Header) {
	for name := range header {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") {
			header.Del(name)
		}
	}
}
