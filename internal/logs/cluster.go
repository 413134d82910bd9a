// Package logs reads the logs of containers.
package logs

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// logTimeout limits the reading of a log, from opening it to its end: a silent node
// must not block a worker of the controller.
const logTimeout = 30 * time.Second

// Cluster opens the logs on the nodes of the cluster.
type Cluster struct {
	pods    kubernetes.Interface
	timeout time.Duration
}

// NewCluster returns a Cluster that reads through the API server.
func NewCluster(pods kubernetes.Interface) Cluster { return Cluster{pods, logTimeout} }

// Open opens the log of a container: its last lines, or the whole log if lines is zero. Reading
// fails with context.DeadlineExceeded if the node takes too long.
func (c Cluster) Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	options := &corev1.PodLogOptions{Container: container}
	if lines > 0 {
		options.TailLines = &lines
	}
	stream, err := c.pods.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("read the log of container %s of pod %s: %w", container, pod, err)
	}
	return timedStream{stream, cancel}, nil
}

// timedStream releases its timeout when it is closed.
type timedStream struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (s timedStream) Close() error {
	defer s.cancel()
	return s.ReadCloser.Close()
}
