package artifact

import (
	"bytes"
	"errors"
	"io"
	"os"
)

const (
	fillSize = 128 << 10
	// holeSize is the smallest stretch of zeros that is left out of a file.
	holeSize = 4 << 10
)

var zeros [fillSize]byte

// filler writes files, with one piece of memory for all of them.
type filler struct{ memory []byte }

func newFiller() *filler { return &filler{memory: make([]byte, fillSize)} }

// fill writes content to an empty file. Long stretches of zeros are left out,
// as the archive has them: a sparse file stays sparse.
func (f *filler) fill(file *os.File, content io.Reader) error {
	var at int64
	hole := false
	for {
		n, err := readFull(content, f.memory) // small writes cost time
		if n > 0 {
			hole = n >= holeSize && bytes.Equal(f.memory[:n], zeros[:n])
			if !hole {
				if _, err := file.WriteAt(f.memory[:n], at); err != nil {
					return err
				}
			}
			at += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && hole:
			return file.Truncate(at)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readFull fills p, as far as there is content. Unlike io.ReadFull it gives the
// reader's own error, which may be an io.ErrUnexpectedEOF.
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
