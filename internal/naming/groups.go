package naming

import (
	"hash/fnv"
	"strconv"
)

// groups is the number of groups. An index with one group per ID would take as much memory as the
// indexed objects.
const groups = 256

// Group returns the group of an ID, for use as an index key. Readers must pick the objects with the
// ID from the group.
func Group(id string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // never fails
	return strconv.Itoa(int(hash.Sum32() % groups))
}
