package objects

import (
	"net/http"
	"strings"
)

// Operations are the names that Operation returns.
var Operations = []string{
	"PutObject", "GetObject", "HeadObject", "DeleteObject", "CopyObject", "ListObjects",
	"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
}

// Operation returns the name of a request's operation in S3's API. It is empty if the operation is
// not in Operations.
func Operation(r *http.Request) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(pathStyle(r).URL.Path, "/"), "/")
	if key == "" {
		return ofBucket(r)
	}
	if query := r.URL.Query(); query.Has("uploads") || query.Has("uploadId") {
		return ofUpload(r)
	}
	switch r.Method {
	case http.MethodGet:
		return "GetObject"
	case http.MethodHead:
		return "HeadObject"
	case http.MethodDelete:
		return "DeleteObject"
	case http.MethodPut:
		if copySource(r) != "" {
			return "CopyObject"
		}
		return "PutObject"
	}
	return ""
}

func ofBucket(r *http.Request) string {
	query := r.URL.Query()
	if r.Method != http.MethodGet || len(strings.Trim(pathStyle(r).URL.Path, "/")) == 0 {
		return ""
	}
	if len(query) == 0 || query.Has("list-type") || query.Has("prefix") || query.Has("delimiter") {
		return "ListObjects"
	}
	return ""
}

func ofUpload(r *http.Request) string {
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPut:
		return "UploadPart"
	case r.Method == http.MethodDelete:
		return "AbortMultipartUpload"
	}
	return ""
}
