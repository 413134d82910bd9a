package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Unpack unpacks a source into the folder into. It first removes what an earlier attempt left
// there. The format is detected from the content: zip or tar, which may be compressed with gzip,
// bzip2, xz or zstd. Anything else becomes a single file. Scratch is a folder for temporary files.
// Unpack writes nothing outside of these two folders, and leaves nothing in them if the error is a
// *RefusedError.
func Unpack(ctx context.Context, from Source, into, scratch string, rules Rules) error {
	return fill(ctx, into, rules, func(w *treeWriter) error { return w.unpack(from, scratch) })
}

// Store is like Unpack, but always stores the source as a single file.
func Store(ctx context.Context, from Source, into string, rules Rules) error {
	return fill(ctx, into, rules, func(w *treeWriter) error { return w.store(from) })
}

// fill replaces the folder into with an empty one and calls write to fill it.
func fill(ctx context.Context, into string, rules Rules, write func(*treeWriter) error) error {
	if err := os.RemoveAll(into); err != nil {
		return fmt.Errorf("empty the folder %s: %w", into, err)
	}
	if err := MakeFolder(into); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", into, err)
	}
	writer := newTreeWriter(ctx, root, rules)
	err = write(writer)
	if err == nil {
		err = writer.finish()
	}
	err = errors.Join(err, writer.close(), root.Close())
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return errors.Join(err, os.RemoveAll(into)) // it may contain links that lead out
	}
	return err
}

// store writes a source to a file.
func (w *treeWriter) store(from Source) error {
	stream := from.Stream
	if from.Ranges != nil {
		ahead := newReadAhead(w.ctx, from.Ranges, from.Ranges.Size())
		defer ahead.close()
		stream = ahead
	}
	w.stream.from = contextReader{w.ctx, stream}
	return w.file(from.Name, defaultFileMode, time.Time{}, w.stream)
}

func (w *treeWriter) unpack(from Source, scratch string) error {
	if from.Ranges == nil {
		return unpackStream(w, from.Stream, from.Name, scratch)
	}
	size := from.Ranges.Size()
	head := make([]byte, min(int64(len(zipSpanned)), size))
	if err := readRange(w.ctx, from.Ranges, head, 0); err != nil {
		return w.classify("", err)
	}
	if isZip(head) {
		w.stream.bytes = size
		return unpackZip(w, from.Ranges)
	}
	ahead := newReadAhead(w.ctx, from.Ranges, size)
	defer ahead.close()
	return unpackStream(w, ahead, from.Name, scratch)
}

// unpackStream unpacks content from a stream.
func unpackStream(w *treeWriter, from io.Reader, name, scratch string) error {
	w.stream.from = contextReader{w.ctx, from}
	peeked := bufio.NewReaderSize(w.stream, 64<<10)
	head, err := peeked.Peek(tarBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return w.classify("", err)
	}
	format := compressionOf(head)
	switch {
	case isZip(head):
		return unpackSpooled(w, peeked, scratch)
	case isTar(head):
		return unpackTar(w, peeked)
	case format != nil:
		return unpackCompressed(w, format, peeked, name)
	default:
		return w.file(name, defaultFileMode, time.Time{}, peeked)
	}
}

// A zip archive begins with an entry or, if it is empty, with its end record. Archives that may be
// split (zip -s) begin with a marker.
const (
	zipMagic     = "PK\x03\x04"
	zipEmpty     = "PK\x05\x06"
	zipSpanned   = "PK\x07\x08" + zipMagic
	zipUnspanned = "PK00" + zipMagic
)

func isZip(head []byte) bool {
	for _, magic := range []string{zipMagic, zipEmpty, zipSpanned, zipUnspanned} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// unpackSpooled unpacks a zip archive from a stream. It stores the archive first, because the
// central directory is at its end.
func unpackSpooled(w *treeWriter, from io.Reader, scratch string) (err error) {
	file, err := os.CreateTemp(scratch, ".archive-*")
	if err != nil {
		return fmt.Errorf("create a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	size, err := spool(w, file, from)
	if err != nil {
		return err
	}
	return unpackZip(w, fileRanges{file, size})
}

// zipOverhead is more than the zip format adds per entry, and for the archive itself.
const zipOverhead = 1 << 10

// spool stores a zip archive in a file. The limits also bound its size, so that it can't fill the
// disk.
func spool(w *treeWriter, file *os.File, from io.Reader) (int64, error) {
	most := w.limits.maxTotal(zipOverhead)
	size, err := io.Copy(file, io.LimitReader(from, most+1))
	switch {
	case w.stream.err != nil:
		return 0, w.stream.err
	case err != nil:
		return 0, fmt.Errorf("store the archive in %s: %w", file.Name(), err)
	case size > most:
		return 0, exceeds("", LimitBytes, most, "the zip archive itself has more than %d bytes")
	}
	return size, nil
}
