package podcontract

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// eachLine calls do for each line of a log until it returns false. do must not keep the line. Lines
// of more than longest bytes are skipped, which bounds memory for any log.
func eachLine(log io.Reader, longest int, do func(line []byte) bool) error {
	lines := bufio.NewReaderSize(log, longest)
	tail := false // the rest of a line that is too long
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
