package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// compression is a compression format of tar archives.
type compression struct {
	name string
	// begins reports whether head is the beginning of a file in this format.
	begins func(head []byte) bool
	// sample is the number of compressed bytes that contain the first block, and with it the header
	// of the first entry.
	sample int
	// memory bounds the window, in bytes. Zero means that no bound is needed.
	memory int64
	// open returns a reader of the content.
	open func(io.Reader) (io.ReadCloser, error)
}

// compressions are recognized by their first bytes. A bzip2 block has at most 900 kB, an xz chunk
// 64 KiB and a zstd block 128 KiB.
var compressions = []compression{
	{"gzip", prefix("\x1f\x8b"), 64 << 10, 0, openGzip},
	{"bzip2", isBzip2, 1 << 20, 0, openBzip2},
	{"xz", prefix("\xfd7zXZ\x00"), 256 << 10, maxDictionary, openXZ},
	{"zstd", isZstd, 256 << 10, maxWindow, openZstd},
}

func prefix(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

// isBzip2 also checks the header of the first block, because any text may begin with BZh.
func isBzip2(head []byte) bool {
	const block, end = "\x31\x41\x59\x26\x53\x59", "\x17\x72\x45\x38\x50\x90"
	if len(head) < len("BZh9")+len(block) || !bytes.HasPrefix(head, []byte("BZh")) || head[3] < '1' || head[3] > '9' {
		return false
	}
	return prefix(block)(head[4:]) || prefix(end)(head[4:])
}

// isZstd also recognizes a skippable frame (RFC 8878, 3.1.2): the output of pzstd begins with one.
func isZstd(head []byte) bool {
	return prefix("\x28\xb5\x2f\xfd")(head) || len(head) > 4 && head[0]&0xf0 == 0x50 && prefix("\x2a\x4d\x18")(head[1:])
}

// An archive declares how much of its content a decompressor must keep in memory. This may be more
// than a small container has. The bounds are those of the tools: the preset of "xz -9" and the
// default of "zstd --decompress". Bzip2 and deflate need less than 10 MiB.
const (
	maxDictionary = 64 << 20
	maxWindow     = 128 << 20
)

func openGzip(from io.Reader) (io.ReadCloser, error) { return gzip.NewReader(from) }

func openBzip2(from io.Reader) (io.ReadCloser, error) {
	return io.NopCloser(bzip2.NewReader(from)), nil
}

func openXZ(from io.Reader) (io.ReadCloser, error) {
	content, err := xz.NewReader(from, maxDictionary)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(content), nil
}

func openZstd(from io.Reader) (io.ReadCloser, error) {
	decoder, err := newZstd(from, maxWindow)
	if err != nil {
		return nil, err
	}
	return decoder.IOReadCloser(), nil
}

// newZstd returns a decoder that starts no goroutines.
func newZstd(from io.Reader, window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

// compressionOf returns the compression of content that begins with head, or nil if it is not
// compressed.
func compressionOf(head []byte) *compression {
	for i := range compressions {
		if compressions[i].begins(head) {
			return &compressions[i]
		}
	}
	return nil
}

// unpackCompressed unpacks a compressed tar archive. Any other compressed file is stored unchanged.
func unpackCompressed(w *treeWriter, format *compression, stream io.Reader, name string) error {
	from := bufio.NewReaderSize(stream, format.sample)
	head, err := from.Peek(format.sample)
	if err != nil && !errors.Is(err, io.EOF) {
		return w.classify("", err)
	}
	holdsTar, err := format.holdsTar(head)
	if err != nil {
		return refuse("", format.unreadable(err))
	}
	if !holdsTar {
		return w.file(name, defaultFileMode, time.Time{}, from)
	}
	content, err := format.open(from)
	if err != nil {
		return w.classify("", format.unreadable(err))
	}
	err = unpackTar(w, decompressed{content, format})
	return errors.Join(err, content.Close())
}

// holdsTar reports whether a compressed file begins with a tar archive. It returns an error if the
// beginning can't be decompressed.
func (c *compression) holdsTar(head []byte) (bool, error) {
	sample, err := c.open(bytes.NewReader(head))
	if err != nil {
		return false, err
	}
	start := make([]byte, tarBlock)
	n, err := readFull(sample, start)
	_ = sample.Close() // only ends the decompressor
	// Zeros, for example, may follow a short gzip file.
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, gzip.ErrHeader) {
		return isTar(start[:n]), nil
	}
	return false, err
}

func (c *compression) unreadable(err error) error {
	if needsMemory(err) {
		return &MemoryError{Format: c.name, Max: c.memory}
	}
	return fmt.Errorf("not a readable %s file: %w", c.name, err)
}

// decompressed is the content of a compressed archive. Its Read returns a *MemoryError if a block
// or frame declares that it needs too much memory.
type decompressed struct {
	from   io.Reader
	format *compression
}

func (d decompressed) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	if needsMemory(err) {
		err = d.format.unreadable(err)
	}
	return n, err
}

// MemoryError reports that decompressing an archive would take more memory than allowed.
type MemoryError struct {
	// Format is the name of the compression.
	Format string
	// Max is the allowed memory, in bytes.
	Max int64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("to decompress it, %s needs more than %d MiB of memory", e.Format, e.Max>>20)
}

// needsMemory reports whether a decompressor failed because it needs more memory than allowed.
func needsMemory(err error) bool {
	return errors.Is(err, xz.ErrMemlimit) || errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded)
}
