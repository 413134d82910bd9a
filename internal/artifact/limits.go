package artifact

import (
	"fmt"
	"io"
)

// Limits bound what one artifact may unpack to. An artifact over one of them
// is refused, with the name of the entry where there is one, and the limit.
type Limits struct {
	// Bytes of all files together.
	Bytes int64
	// Entries: files, folders and links.
	Entries int
	// Ratio is how many times as many bytes as the artifact itself its files
	// may have. It counts from RatioFrom bytes on, because small files of one
	// character compress better than anything worth a refusal. Zero: any.
	Ratio, RatioFrom int64
	// Held bounds, in bytes, what can't be streamed and is held in memory: the
	// list of entries of a zip archive, the names and targets of the symbolic
	// links of any, and the times of folders. Zero: any.
	Held int64
}

// DefaultLimits are far above what pipelines move, and far below what fills a
// node unnoticed, or the memory of the product's containers (256 MiB). Deflate
// alone reaches a ratio of 1032; a zip archive whose entries overlap, millions.
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 5_000_000, Ratio: 200, RatioFrom: 1 << 30, Held: 32 << 20}

// meter counts the bytes of an entry as they are unpacked, and stops at the
// limits: what an archive says of its sizes need not be true.
type meter struct {
	w     *treeWriter
	entry string
	from  io.Reader
}

func (m meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.w.bytes += int64(n)
	if limitErr := m.w.checkBytes(m.entry); limitErr != nil {
		return 0, limitErr
	}
	return n, err
}

// admit counts the bytes that an entry says it has, before they are unpacked.
func (w *treeWriter) admit(entry string, size uint64) error {
	if size > uint64(w.limits.Bytes) {
		size = uint64(w.limits.Bytes) + 1
	}
	w.bytes += int64(size)
	return w.checkBytes(entry)
}

func (w *treeWriter) checkBytes(entry string) error {
	limits := w.limits
	switch {
	case w.bytes > limits.Bytes:
		return refuse("", fmt.Errorf("more than %d bytes when unpacked (the operator's --artifact-max-size)", limits.Bytes))
	case limits.Ratio > 0 && w.bytes > limits.RatioFrom && w.bytes/limits.Ratio > w.source.bytes:
		return refuse(entry, fmt.Errorf("with it, the files have more than %d times as many bytes as the archive (the operator's --artifact-max-ratio)", limits.Ratio))
	}
	return nil
}

// linkOverhead is about what a link takes in memory beside its texts.
const linkOverhead = 88

// hold admits one more symbolic link.
func (w *treeWriter) hold(entry string, made link) error {
	w.held += int64(len(made.name) + len(made.target) + linkOverhead)
	if w.limits.Held > 0 && w.held > w.limits.Held {
		return refuse(entry, fmt.Errorf("the names and targets of the symbolic links have more than %d bytes", w.limits.Held))
	}
	w.links = append(w.links, made)
	return nil
}
