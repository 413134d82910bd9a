// Package archive unpacks zip and tar archives, and packs folders as zip
// archives.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Source is the content to unpack. Unpack reads Ranges if it is set, and Stream otherwise.
type Source struct {
	// Name is the file name for content that is not an archive.
	Name   string
	Stream io.Reader
	// Ranges is read concurrently.
	Ranges RangeReader
}

// RangeReader reads any range of the content. Its methods may be called
// concurrently.
type RangeReader interface {
	Size() int64
	// ReadRange fills p with the content at offset. It returns early if the context ends.
	ReadRange(ctx context.Context, p []byte, offset int64) error
}

// RefusedError reports that the content breaks a rule. All other errors come from the source, the
// disk or the context.
type RefusedError struct {
	// Entry is the name of the entry that breaks the rule. It is empty if the rule applies to the
	// whole archive.
	Entry string
	// Rule is the broken rule: a *LimitError, ErrChanged or another error.
	Rule error
}

func (e *RefusedError) Error() string {
	if e.Entry == "" {
		return e.Rule.Error()
	}
	return fmt.Sprintf("entry %.200q: %v", e.Entry, e.Rule)
}

// Unwrap returns the rule that was broken.
func (e *RefusedError) Unwrap() error { return e.Rule }

func refuse(entry string, rule error) error { return &RefusedError{Entry: entry, Rule: rule} }

// ErrChanged reports that a file changed while Pack read it.
var ErrChanged = errors.New("it changed while it was packed")

// errSource marks errors of the source. The archive readers return them like errors of the archive
// itself.
var errSource = errors.New("read the content")

// sourceError marks an error of the source. It hides a wrapped io.EOF, which readers would take for
// the end of the content.
func sourceError(err error) error {
	switch {
	case err == nil, errors.Is(err, errSource):
		return err
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %s", errSource, err.Error())
	}
	return fmt.Errorf("%w: %w", errSource, err)
}

// streamReader records why a stream ended early.
type streamReader struct {
	from  io.Reader
	bytes int64
	err   error
}

func (s *streamReader) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.bytes += int64(n)
	if err == nil || err == io.EOF { // an error that wraps io.EOF is not the end
		return n, err
	}
	s.err = sourceError(err)
	return n, s.err
}

// fileRanges reads ranges of a file.
type fileRanges struct {
	file *os.File
	size int64
}

func (f fileRanges) Size() int64 { return f.size }

func (f fileRanges) ReadRange(_ context.Context, p []byte, offset int64) error {
	n, err := f.file.ReadAt(p, offset)
	if n == len(p) {
		return nil // the error may be io.EOF
	}
	return err
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
