package pipelinejob

import (
	"context"
	"io"
)

// PodLogs opens the logs of containers.
type PodLogs interface {
	// Open opens the log of a container: its last lines, or with zero the whole.
	Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error)
}
