package archive

import (
	"fmt"
	"io"
	"math"
)

// Limits bound what one archive may unpack to. An archive that exceeds one of
// them is refused with a *LimitError.
type Limits struct {
	// Bytes is the size of all files together.
	Bytes int64
	// Entries is the number of files, folders and links.
	Entries int
	// Ratio is how many times as many bytes as the archive its files may have.
	// It counts from RatioFrom bytes on: small files of one character compress
	// better than anything worth a refusal. Zero means no limit.
	Ratio, RatioFrom int64
	// IndexBytes bounds what can't be streamed and is held in memory: the central
	// directory of a zip archive together with the names and targets of symbolic
	// links, and beside it up to a quarter as much for the times of folders.
	// Zero means no limit.
	IndexBytes int64
}

// maxIndex is the size, in bytes, of the largest central directory, whether it is
// unpacked or packed: 600,000 files with names of 60 bytes. More would not fit
// in the memory of a small container (256 MiB), where the names in a folder are
// held too.
const maxIndex = 64 << 20

// DefaultLimits are far above the size of usual archives, and far below what
// fills a disk unnoticed or the memory of a small container. Deflate alone
// reaches a ratio of 1032, a zip archive with overlapping entries millions.
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 5_000_000, Ratio: 200, RatioFrom: 1 << 30, IndexBytes: maxIndex}

// Limit names a limit.
type Limit string

const (
	// LimitBytes, LimitEntries, LimitRatio, LimitIndexBytes: the fields of Limits.
	LimitBytes      Limit = "Bytes"
	LimitEntries    Limit = "Entries"
	LimitRatio      Limit = "Ratio"
	LimitIndexBytes Limit = "IndexBytes"
	// LimitPackedBytes: the size of the archive that Pack writes.
	LimitPackedBytes Limit = "PackedBytes"
	// LimitPackedIndexBytes: the size of its central directory, together with the
	// symbolic links.
	LimitPackedIndexBytes Limit = "PackedIndexBytes"
)

// LimitError reports that an archive exceeds a limit.
type LimitError struct {
	Limit Limit
	// Max is the largest allowed value. It is derived from the limit if the
	// limit does not apply to it directly.
	Max int64

	message string
}

func (e *LimitError) Error() string { return e.message }

// exceeds refuses what exceeds a limit. The format takes the largest allowed value.
func exceeds(entry string, limit Limit, most int64, format string) error {
	return refuse(entry, &LimitError{Limit: limit, Max: most, message: fmt.Sprintf(format, most)})
}

// maxTotal returns how many bytes an archive may have that needs overhead bytes
// for each entry and for the whole.
func (l Limits) maxTotal(overhead int64) int64 {
	const most = math.MaxInt64 - 1 // one more can be read
	if int64(l.Entries) >= (most-l.Bytes)/overhead {
		return most
	}
	return l.Bytes + int64(l.Entries+1)*overhead
}

// quota counts files against the limits. Pack counts as Unpack does, so that what it
// writes can be unpacked.
type quota struct {
	limits  Limits
	bytes   int64
	entries int
	// steps is how many folders were opened on the way to entries, and to where links
	// lead. It may exceed its limit per entry by freeSteps.
	steps, freeSteps int
}

func newQuota(limits Limits) quota { return quota{limits: limits, freeSteps: freeSteps} }

// meter counts the bytes of an entry while they are unpacked, and stops at the
// limits: the sizes in an archive need not be true.
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

// countBytes counts the bytes that an entry declares, before they are unpacked.
func (w *treeWriter) countBytes(entry string, size uint64) error {
	if size > uint64(w.limits.Bytes) {
		size = uint64(w.limits.Bytes) + 1
	}
	w.bytes += int64(size)
	return w.checkBytes(entry, w.stream.bytes)
}

// checkBytes checks the size of all files in an archive of so many bytes.
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

// linkOverhead is about what a link takes in memory beside its texts.
const linkOverhead = 136

// addLink adds a symbolic link to those that finish makes.
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

// linkNamed finds the symbolic link of that name, which is not made yet. It is nil if
// there is none.
func (w *treeWriter) linkNamed(name string) *link {
	w.indexLinks()
	i, ok := w.linkIndex[name]
	if !ok {
		return nil
	}
	return &w.links[i]
}

// indexLinks makes linkIndex, if it is not made yet.
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

// stepsPerEntry is how many folders may be opened on the way to an entry, and to where a
// link leads, on average, and freeSteps how many more: a small archive of deep folders, or
// of links through them, could take hours otherwise.
const (
	stepsPerEntry = 32
	freeSteps     = 1 << 18
)

// countSteps counts the folders that are opened on the way to an entry.
func (q *quota) countSteps(entry string, folders int) error {
	if q.spend(folders) {
		return nil
	}
	return refuse(entry, fmt.Errorf("the folders of the archive are so deep that it takes more than %d steps to reach %d entries", q.steps, q.entries))
}

// countLinkSteps counts the steps that it takes to find out where a symbolic link leads.
func (q *quota) countLinkSteps(entry string, steps int) error {
	if q.spend(steps) {
		return nil
	}
	return refuse(entry, fmt.Errorf(
		"the symbolic links of the archive lead through so many folders and other links that it takes more than %d steps to follow them, for %d entries: "+
			"link straight to the files", q.steps, q.entries))
}

// spend counts steps, and reports whether they are within the limit.
func (q *quota) spend(steps int) bool {
	q.steps += steps
	return q.steps <= q.freeSteps+stepsPerEntry*q.entries
}
