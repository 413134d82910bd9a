package objects

import (
	"io"
	"strings"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// memory is gofakes3's backend in memory, but keeps of an upload's headers only
// those that belong to the object. gofakes3 keeps and gives back all X-Amz-
// headers: that of the uploader's session token too.
type memory struct{ *s3mem.Backend }

// PutObject stores an object in place of the one that has its key.
func (m memory) PutObject(bucket, key string, headers map[string]string, content io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	kept := map[string]string{}
	for name, value := range headers {
		if belongs(name) {
			kept[name] = value
		}
	}
	// s3mem carries over what the object before had and this one has not, such
	// as the checksum of another content. An empty value stands for none.
	if replaced, err := m.HeadObject(bucket, key); err == nil {
		for name := range replaced.Metadata {
			if _, set := kept[name]; !set {
				kept[name] = ""
			}
		}
	}
	return m.Backend.PutObject(bucket, key, kept, content, size, conditions)
}

// HeadObject describes an object. Only buckets with versioning have a version: s3mem
// returns one, which can't be read, for others too.
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

// CopyObject copies an object by PutObject.
func (m memory) CopyObject(fromBucket, fromKey, toBucket, toKey string, headers map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(m, fromBucket, fromKey, toBucket, toKey, headers)
}

// belongs reports whether a header is the object's rather than the request's. Those
// of encryption are not: the store keeps them itself.
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
