package podcontract

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// eachLine gives the lines of a log to do, which may not keep them, until it
// returns false. Lines longer than longest bytes are passed over, so that no
// log can make it hold more.
func eachLine(log io.Reader, longest int, do func(line []byte) bool) error {
	lines := bufio.NewReaderSize(log, longest)
	tail := false // of a line that was too long
	for {
		line, err := lines.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the log: %w", err)
		}
		if !full && !tail && !do(line) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		tail = full
	}
}
