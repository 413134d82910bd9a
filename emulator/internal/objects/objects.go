// Package objects is the emulator's S3: gofakes3, with checks of what an artifact bucket's policy
// and a job's credentials require.
package objects

import (
	"cmp"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Grant is what the credentials of a job allow.
type Grant struct {
	// Read and Write are objects in the form bucket/key.
	Read, Write map[string]bool
	// KeyID is the KMS key that uploads must name. If it is empty, they must not name one.
	KeyID string
}

// Store is an S3 in memory.
type Store struct {
	backend memory
	server  http.Handler

	mu         sync.Mutex
	encryption map[string]encryption // by bucket/key
}

// encryption is the encryption that an upload requested.
type encryption struct{ algorithm, keyID string }

// New returns an empty store.
func New() *Store {
	backend := memory{s3mem.New()}
	return &Store{
		backend:    backend,
		server:     gofakes3.New(backend, gofakes3.WithTimeSkewLimit(0)).Server(),
		encryption: map[string]encryption{},
	}
}

// CreateBucket creates a bucket, unless it exists.
func (s *Store) CreateBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return err
	}
	if exists, err := s.backend.BucketExists(name); err != nil || exists {
		return err
	}
	return s.backend.CreateBucket(name)
}

// Copy copies the wanted version of an object, or the newest one. It returns the entity tag,
// without quotes, and the version, which is empty if the bucket has no versioning.
func (s *Store) Copy(fromBucket, fromKey, wanted, toBucket, toKey string) (etag, version string, err error) {
	var object *gofakes3.Object
	if wanted == "" {
		object, err = s.backend.GetObject(fromBucket, fromKey, nil)
	} else {
		object, err = s.backend.GetObjectVersion(fromBucket, fromKey, gofakes3.VersionID(wanted), nil)
	}
	if err != nil {
		return "", "", err
	}
	defer func() { _ = object.Contents.Close() }() // in memory
	if _, err := s.backend.PutObject(toBucket, toKey, object.Metadata, object.Contents, object.Size, nil); err != nil {
		return "", "", fmt.Errorf("write s3://%s/%s: %w", toBucket, toKey, err)
	}
	return hex.EncodeToString(object.Hash), string(object.VersionID), nil
}

// Exists reports whether an object exists.
func (s *Store) Exists(bucket, key string) bool {
	_, err := s.backend.HeadObject(bucket, key)
	return err == nil
}

// Serve serves an S3 request of a caller with a grant. A caller without one may do everything. The
// bucket is the first element of the path, or of a host BUCKET.localhost.
func (s *Store) Serve(w http.ResponseWriter, r *http.Request, grant *Grant) {
	r = pathStyle(r)
	place := strings.TrimPrefix(r.URL.Path, "/")
	asked := encryption{r.Header.Get("X-Amz-Server-Side-Encryption"), r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}
	if grant != nil {
		if message := grant.refuse(r, place, asked); message != "" {
			WriteError(w, "AccessDenied", message)
			return
		}
	}
	for _, part := range notImplemented {
		if r.URL.Query().Has(part) { // gofakes3 would treat it as the object itself
			WriteError(w, "NotImplemented", "The emulator does not have the S3 subresource "+part)
			return
		}
	}
	if err := unchunk(r); err != nil {
		WriteError(w, "InvalidRequest", err.Error())
		return
	}
	given := &answer{ResponseWriter: w, before: func(status int) {
		if status < http.StatusMultipleChoices {
			s.remember(r, place, asked)
			s.describe(w, place)
		}
		trim(w.Header(), status)
	}}
	s.server.ServeHTTP(given, r)
	given.begin(http.StatusOK) // a response without content
}

// notImplemented are subresources of buckets and objects.
var notImplemented = []string{"tagging", "acl", "policy", "cors", "lifecycle", "encryption", "retention", "legal-hold", "torrent", "attributes"}

// remember records how an object is encrypted, until the object is deleted.
func (s *Store) remember(r *http.Request, place string, asked encryption) {
	query := r.URL.Query()
	if query.Has("uploadId") {
		return
	}
	begins := r.Method == http.MethodPut || r.Method == http.MethodPost && query.Has("uploads")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case begins && asked.algorithm != "":
		s.encryption[place] = asked
	case begins || r.Method == http.MethodDelete:
		delete(s.encryption, place)
	}
}

// describe sets the headers about an object's encryption, which each S3 response has.
func (s *Store) describe(w http.ResponseWriter, place string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// gofakes3 keeps the headers of a replaced object.
	w.Header().Del("X-Amz-Server-Side-Encryption")
	w.Header().Del("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
	if known, ok := s.encryption[place]; ok {
		w.Header().Set("X-Amz-Server-Side-Encryption", known.algorithm)
		if known.keyID != "" {
			w.Header().Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", known.keyID)
		}
	}
}

// refuse returns why a job's credentials don't allow a request, or an empty string if they do.
func (g *Grant) refuse(r *http.Request, place string, asked encryption) string {
	if source := copySource(r); source != "" && !g.Read[source] {
		return "These credentials may not read " + source
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if !g.Read[place] {
			return "These credentials may not read " + place
		}
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		if !g.Write[place] {
			return "These credentials may not write " + place
		}
		if r.URL.Query().Has("uploadId") || r.Method == http.MethodDelete {
			return "" // a part: creating the upload was checked
		}
		if asked.algorithm != "aws:kms" || asked.keyID != g.KeyID {
			return fmt.Sprintf("Uploads must ask for aws:kms with key %q; this one asks for %q with key %q", g.KeyID, asked.algorithm, asked.keyID)
		}
	}
	return ""
}

var statuses = map[string]int{
	"AccessDenied":          http.StatusForbidden,
	"InvalidAccessKeyId":    http.StatusForbidden,
	"RequestTimeTooSkewed":  http.StatusForbidden,
	"SignatureDoesNotMatch": http.StatusForbidden,
	"NotImplemented":        http.StatusNotImplemented,
	"InternalError":         http.StatusInternalServerError,
	"SlowDown":              http.StatusServiceUnavailable,
}

// WriteError writes an error in S3's form. The code determines the status.
func WriteError(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(cmp.Or(statuses[code], http.StatusBadRequest))
	_ = xml.NewEncoder(w).Encode(struct { // fails only if the client is gone
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}
