package artifact

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
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
	// list of entries of a zip archive together with the names and targets of
	// symbolic links; beside it, up to a quarter as much of the times of folders.
	// Zero: any.
	Held int64
}

// whole is how many bytes an archive may have that needs so many for itself, for
// an entry and for the whole.
func (l Limits) whole(overhead int64) int64 {
	const most = math.MaxInt64 - 1 // one more can be read
	if int64(l.Entries) >= (most-l.Bytes)/overhead {
		return most
	}
	return l.Bytes + int64(l.Entries+1)*overhead
}

// maxListing is, in bytes, the list of entries that a zip archive may have,
// whether it is unpacked or packed: 600,000 files with names of 60 bytes. More
// would not fit in the memory of the product's containers (256 MiB), where the
// names of a folder are held too.
const maxListing = 64 << 20

// DefaultLimits are far above what pipelines move, and far below what fills a
// node unnoticed, or the memory of the product's containers. Deflate alone reaches a ratio of 1032; a zip archive whose entries overlap, millions.
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 5_000_000, Ratio: 200, RatioFrom: 1 << 30, Held: maxListing}

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
		return refuse(entry, fmt.Errorf("with it, the files have more than %d bytes (the operator's --artifact-max-size)", limits.Bytes))
	case limits.Ratio > 0 && w.bytes > limits.RatioFrom && w.bytes/limits.Ratio > w.source.bytes:
		return refuse(entry, fmt.Errorf("with it, the files have more than %d times as many bytes as the archive (the operator's --artifact-max-ratio)", limits.Ratio))
	}
	return nil
}

// linkOverhead is about what a link takes in memory beside its texts.
const linkOverhead = 136

// hold admits one more symbolic link.
func (w *treeWriter) hold(entry string, made link) error {
	w.held += int64(len(made.name) + len(made.target) + linkOverhead)
	if w.limits.Held > 0 && w.held > w.limits.Held {
		return refuse(entry, fmt.Errorf("the names and targets of the symbolic links have more than %d bytes, with a zip's list of entries", w.limits.Held))
	}
	w.links = append(w.links, made)
	if w.linkAt != nil {
		w.linkAt[made.name] = len(w.links) - 1
	}
	return nil
}

// linkNamed is the symbolic link of that name, which is not made yet.
func (w *treeWriter) linkNamed(name string) (link, bool) {
	if w.linkAt == nil { // few archives ask
		w.linkAt = make(map[string]int, len(w.links))
		for i, made := range w.links {
			w.linkAt[made.name] = i
		}
	}
	i, ok := w.linkAt[name]
	if !ok {
		return link{}, false
	}
	return w.links[i], true
}

// stepsPerEntry is how many folders may be opened on the way to an entry, on
// average, and fewSteps how many more: a small archive of deep folders could take
// hours otherwise.
const (
	stepsPerEntry = 32
	fewSteps      = 1 << 18
)

// walk counts the folders that are opened on the way to an entry.
func (w *treeWriter) walk(entry string, folders int) error {
	w.steps += folders
	if w.steps > fewSteps+stepsPerEntry*w.entries {
		return refuse(entry, fmt.Errorf("the folders of the archive are so deep that it takes more than %d steps to come to %d entries", w.steps, w.entries))
	}
	return nil
}

// streamOverhead is more than a tar archive needs for itself, for an entry and
// for the whole.
const streamOverhead = 4 << 10

// streamMeter bounds what an archive decompresses to beside its files: headers
// have no place in the folder, but take time.
type streamMeter struct {
	w     *treeWriter
	from  io.Reader
	bytes int64
	// zeros is how many bytes that were read last are zeros, while the next
	// header is looked for.
	zeros   int64
	looking bool
}

func (m *streamMeter) Read(p []byte) (int, error) {
	if err := m.check(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(p)
	m.bytes += int64(n)
	if m.looking {
		zeros := n - len(bytes.TrimRight(p[:n], "\x00"))
		if zeros < n {
			m.zeros = 0
		}
		m.zeros += int64(zeros)
	}
	return n, err
}

// next looks for the next header. That the archive ends there has to be said by
// blocks of zeros: the tar package also takes one that was cut off there, or
// behind a header that belongs to the next.
func (m *streamMeter) next(archive *tar.Reader) (header *tar.Header, err error) {
	before := m.bytes
	m.looking, m.zeros = true, 0
	header, err = archive.Next()
	m.looking = false
	whole := (m.bytes - before) / tarBlock * tarBlock // less what fills up the last file
	if errors.Is(err, io.EOF) && (whole == 0 || m.zeros < whole) {
		return nil, errNoEnd
	}
	return header, err
}

var errNoEnd = errors.New("it has no end: it may be cut off")

// check is for what was read before: its files have been counted by now.
func (m *streamMeter) check() error {
	beside, limits := m.bytes-m.w.bytes, m.w.limits
	switch most := limits.whole(streamOverhead) - limits.Bytes; {
	case beside > most:
		return refuse("", fmt.Errorf("the tar archive has more than %d bytes beside its files", most))
	case limits.Ratio > 0 && beside > limits.RatioFrom && beside/limits.Ratio > m.w.source.bytes:
		return refuse("", fmt.Errorf("the tar archive has more than %d times as many bytes beside its files as when it is compressed", limits.Ratio))
	}
	return nil
}
