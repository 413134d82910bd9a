package result

import (
	"bufio"
	"encoding/json"
	"io"
)

// Progress is temporary.
type Progress struct {
	PercentComplete     *int32
	Summary             string
	ExternalExecutionID string
}

// ProgressLine is temporary.
func ProgressLine(p Progress) []byte { b, _ := json.Marshal(p); return append(b, '\n') }

// LastProgress is temporary.
func LastProgress(r io.Reader) (*Progress, error) {
	var last *Progress
	s := bufio.NewScanner(r)
	for s.Scan() {
		var p Progress
		if json.Unmarshal(s.Bytes(), &p) == nil {
			last = &p
		}
	}
	return last, s.Err()
}
