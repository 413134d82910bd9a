package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
)

const (
	writeSize = 128 << 10
	// minHoleSize is the shortest run of zeros that becomes a hole in a file.
	minHoleSize = 4 << 10
)

var zeros [writeSize]byte

// sparseWriter writes sparse files. It uses one buffer for all of them.
type sparseWriter struct{ buffer []byte }

func newSparseWriter() *sparseWriter { return &sparseWriter{buffer: make([]byte, writeSize)} }

// write writes content to an empty file. Long runs of zeros become holes, so that a sparse file
// stays sparse.
func (w *sparseWriter) write(file *os.File, content io.Reader) error {
	var offset int64
	hole := false
	for {
		n, err := readFull(content, w.buffer) // small writes are slow
		if n > 0 {
			hole = n >= minHoleSize && bytes.Equal(w.buffer[:n], zeros[:n])
			if !hole {
				if _, err := file.WriteAt(w.buffer[:n], offset); err != nil {
					return err
				}
			}
			offset += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && hole:
			return file.Truncate(offset)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readFull reads until p is full or the content ends. Unlike io.ReadFull, it returns the error of
// the reader, which may itself be io.ErrUnexpectedEOF.
func readFull(from io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := from.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
