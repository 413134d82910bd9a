package archive

import (
	"fmt"
	"io"
	"math"
)

// Limits bound what one archive may unpack to. If an archive exceeds one of them, it is refused
// with a *LimitError.
type Limits struct {
	// Bytes is the total size of all files.
	Bytes int64
	// Entries is the number of files, folders and links.
	Entries int
	// Ratio bounds the total size of the files, as a multiple of the archive's size. It applies
	// only above RatioFrom bytes: small files of a single repeated character compress far better
	// than any limit would allow. Zero means no limit.
	Ratio, RatioFrom int64
	// IndexBytes bounds what must be kept in memory: the central directory of a zip archive
	// together with the names and targets of symbolic links. The times of folders may take up to a
	// quarter of it in addition. Zero means no limit.
	IndexBytes int64
}

// maxIndex is the largest central directory, in bytes, for unpacking and packing: 600,000 files
// with names of 60 bytes. A larger one does not fit into the memory of a small container (256 MiB),
// which also has to hold the names in a folder.
const maxIndex = 64 << 20

// DefaultLimits are far above what usual archives need, and low enough to protect a node's disk and
// the memory of a small container. Deflate alone reaches a ratio of 1032, and a zip archive with
// overlapping entries millions.
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 5_000_000, Ratio: 200, RatioFrom: 1 << 30, IndexBytes: maxIndex}

// Limit names a limit.
type Limit string

const (
	// LimitBytes, LimitEntries, LimitRatio and LimitIndexBytes are the fields of Limits.
	LimitBytes      Limit = "Bytes"
	LimitEntries    Limit = "Entries"
	LimitRatio      Limit = "Ratio"
	LimitIndexBytes Limit = "IndexBytes"
	// LimitPackedBytes is the size of the archive that Pack writes.
	LimitPackedBytes Limit = "PackedBytes"
	// LimitPackedIndexBytes is the size of its central directory together with the symbolic links.
	LimitPackedIndexBytes Limit = "PackedIndexBytes"
)

// LimitError reports that an archive exceeds a limit.
type LimitError struct {
	Limit Limit
	// Max is the largest allowed value. It may be derived from the limit.
	Max int64

	message string
}

func (e *LimitError) Error() string { return e.message }

// exceeds returns the error for an exceeded limit. The format's argument is the largest allowed
// value.
func exceeds(entry string, limit Limit, most int64, format string) error {
	return refuse(entry, &LimitError{Limit: limit, Max: most, message: fmt.Sprintf(format, most)})
}

// maxTotal returns the largest total size of an archive whose format adds overhead bytes per entry
// and for the archive itself.
func (l Limits) maxTotal(overhead int64) int64 {
	const most = math.MaxInt64 - 1 // leaves room to read one more
	if int64(l.Entries) >= (most-l.Bytes)/overhead {
		return most
	}
	return l.Bytes + int64(l.Entries+1)*overhead
}

// quota counts files against the limits. Pack counts like Unpack, so that its archives can be
// unpacked.
type quota struct {
	limits  Limits
	bytes   int64
	entries int
	// steps counts the folders that were opened to reach entries and link targets. It may exceed
	// its limit per entry by freeSteps.
	steps, freeSteps int
}

func newQuota(limits Limits) quota { return quota{limits: limits, freeSteps: freeSteps} }

// meter counts the bytes of an entry while they are unpacked, and stops at the limits: an archive
// may declare wrong sizes.
type meter struct {
	w     *treeWriter
	entry string
	from  io.Reader
}

func (m meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.w.bytes += int64(n)
	if limitErr := m.w.checkBytes(m.entry, m.w.stream.bytes); limitErr != nil {
		return 0, limitErr
	}
	return n, err
}

// countBytes counts the declared bytes of an entry before it is unpacked.
func (w *treeWriter) countBytes(entry string, size uint64) error {
	if size > uint64(w.limits.Bytes) {
		size = uint64(w.limits.Bytes) + 1
	}
	w.bytes += int64(size)
	return w.checkBytes(entry, w.stream.bytes)
}

// checkBytes checks the total size of all files in an archive of packed bytes.
func (q *quota) checkBytes(entry string, packed int64) error {
	limits := q.limits
	switch {
	case q.bytes > limits.Bytes:
		return exceeds(entry, LimitBytes, limits.Bytes, "with it, the files have more than %d bytes")
	case limits.Ratio > 0 && q.bytes > limits.RatioFrom && q.bytes/limits.Ratio > packed:
		return exceeds(entry, LimitRatio, limits.Ratio, "with it, the files have more than %d times as many bytes as the archive")
	}
	return nil
}

// countEntry counts one more file, folder or link.
func (q *quota) countEntry(entry string) error {
	q.entries++
	if q.entries > q.limits.Entries {
		return tooMany(entry, q.limits.Entries)
	}
	return nil
}

func tooMany(entry string, most int) error {
	return exceeds(entry, LimitEntries, int64(most), "with it, the archive has more than %d entries")
}

// linkOverhead is the approximate memory for a link in addition to its name and target.
const linkOverhead = 136

// addLink adds a symbolic link that finish will create.
func (w *treeWriter) addLink(entry string, made link) error {
	w.indexBytes += int64(len(made.name) + len(made.target) + linkOverhead)
	if w.limits.IndexBytes > 0 && w.indexBytes > w.limits.IndexBytes {
		return exceeds(entry, LimitIndexBytes, w.limits.IndexBytes, "the names and targets of the symbolic links have more than %d bytes, with a zip's list of entries")
	}
	w.links = append(w.links, made)
	if w.linkIndex != nil {
		w.linkIndex[made.name] = len(w.links) - 1
	}
	return nil
}

// linkNamed returns the pending symbolic link with that name, or nil.
func (w *treeWriter) linkNamed(name string) *link {
	w.indexLinks()
	i, ok := w.linkIndex[name]
	if !ok {
		return nil
	}
	return &w.links[i]
}

// indexLinks creates linkIndex, if it does not exist yet.
func (w *treeWriter) indexLinks() {
	if w.linkIndex != nil {
		return
	}
	w.linkIndex = make(map[string]int, len(w.links))
	for i, made := range w.links {
		w.linkIndex[made.name] = i
	}
}

// targetOf is for linkSteps.
func (w *treeWriter) targetOf(name []byte) (target string, isLink bool) {
	i, isLink := w.linkIndex[string(name)]
	if !isLink {
		return "", false
	}
	return w.links[i].target, true
}

// stepsPerEntry is the average number of folders that may be opened to reach an entry or a link's
// target, and freeSteps is an allowance on top of it. Without this limit, a small archive of deep
// folders, or of links through them, could take hours.
const (
	stepsPerEntry = 32
	freeSteps     = 1 << 18
)

// countSteps counts the folders that are opened to reach an entry.
func (q *quota) countSteps(entry string, folders int) error {
	if q.spend(folders) {
		return nil
	}
	return refuse(entry, fmt.Errorf("the folders of the archive are so deep that it takes more than %d steps to reach %d entries", q.steps, q.entries))
}

// countLinkSteps counts the steps that it takes to resolve a symbolic link.
func (q *quota) countLinkSteps(entry string, steps int) error {
	if q.spend(steps) {
		return nil
	}
	return refuse(entry, fmt.Errorf(
		"the symbolic links of the archive lead through so many folders and other links that it takes more than %d steps to follow them, for %d entries: "+
			"link straight to the files", q.steps, q.entries))
}

// spend counts steps and reports whether they are within the limit.
func (q *quota) spend(steps int) bool {
	q.steps += steps
	return q.steps <= q.freeSteps+stepsPerEntry*q.entries
}
