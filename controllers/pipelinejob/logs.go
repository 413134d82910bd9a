package pipelinejob

import (
	"context"
	"io"
)

// PodLogs opens the logs of containers.
type PodLogs interface {
	// Open opens the log of a container. It returns the last lines, or the whole log if lines is
	// zero.
	Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error)
}
