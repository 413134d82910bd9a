package harness

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// LogBook provides container logs in place of the kubelet.
type LogBook struct {
	mu   sync.Mutex
	text map[string]string // by pod/container
}

// Write appends to the log of a container.
func (l *LogBook) Write(pod, container, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text == nil {
		l.text = map[string]string{}
	}
	l.text[pod+"/"+container] += text
}

// Open implements pipelinejob.PodLogs.
func (l *LogBook) Open(_ context.Context, _, pod, container string, lines int64) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, ok := l.text[pod+"/"+container]
	if !ok {
		return nil, fmt.Errorf("no log of container %s of pod %s", container, pod)
	}
	if lines > 0 {
		all := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		text = strings.Join(all[max(0, len(all)-int(lines)):], "")
	}
	return io.NopCloser(strings.NewReader(text)), nil
}
