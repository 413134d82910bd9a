package objects

import (
	"io"
	"strings"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// memory is gofakes3's in-memory backend, but stores only those headers of an upload that belong to
// the object. gofakes3 stores and returns all X-Amz- headers, including the uploader's session
// token.
type memory struct{ *s3mem.Backend }

// PutObject stores an object, and replaces an existing one.
func (m memory) PutObject(bucket, key string, headers map[string]string, content io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	kept := map[string]string{}
	for name, value := range headers {
		if belongs(name) {
			kept[name] = value
		}
	}
	// s3mem keeps headers of the replaced object that the new one lacks, such as the checksum of
	// the old content. An empty value removes a header.
	if replaced, err := m.HeadObject(bucket, key); err == nil {
		for name := range replaced.Metadata {
			if _, set := kept[name]; !set {
				kept[name] = ""
			}
		}
	}
	return m.Backend.PutObject(bucket, key, kept, content, size, conditions)
}

// HeadObject describes an object. It returns a version only for buckets with versioning: s3mem also
// returns one, which can't be read, for other buckets.
func (m memory) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	object, err := m.Backend.HeadObject(bucket, key)
	if err != nil {
		return nil, err
	}
	if kept, err := m.VersioningConfiguration(bucket); err == nil && !kept.Enabled() {
		object.VersionID = ""
	}
	return object, nil
}

// CopyObject copies an object with PutObject.
func (m memory) CopyObject(fromBucket, fromKey, toBucket, toKey string, headers map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(m, fromBucket, fromKey, toBucket, toKey, headers)
}

// belongs reports whether a header belongs to the object instead of the request. Encryption headers
// do not: the Store keeps them itself.
func belongs(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type":
		return false
	}
	for _, prefix := range []string{"content-", "last-modified", "x-amz-meta-", "x-amz-checksum-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
