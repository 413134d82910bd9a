package controllers

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// PodLogs opens the logs of containers.
type PodLogs interface {
	// Open opens the log of a container: its last lines, or with zero the whole.
	Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error)
}

// logTimeout bounds the reading of a log, from its opening to its end: a node
// that says nothing must not keep a worker of the controller.
const logTimeout = 30 * time.Second

// clusterLogs are those that kubelets have.
type clusterLogs struct {
	kubernetes.Interface
	timeout time.Duration
}

func (c clusterLogs) Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	options := &corev1.PodLogOptions{Container: container}
	if lines > 0 {
		options.TailLines = &lines
	}
	stream, err := c.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("read the log of container %s of pod %s: %w", container, pod, err)
	}
	return timedStream{stream, cancel}, nil
}

// timedStream frees its time-out when it is closed.
type timedStream struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (s timedStream) Close() error {
	defer s.cancel()
	return s.ReadCloser.Close()
}
