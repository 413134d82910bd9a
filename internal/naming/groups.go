package naming

import (
	"hash/fnv"
	"strconv"
)

// groups is how many groups IDs are put into. With as many as there are IDs an index
// takes as much memory as what it finds.
const groups = 256

// Group is one of a few groups of IDs, for an index of which the reader picks those
// with the ID.
func Group(id string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // never fails
	return strconv.Itoa(int(hash.Sum32() % groups))
}
