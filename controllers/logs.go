package controllers

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// PodLogs opens the logs of containers.
type PodLogs interface {
	// Open opens the log of a container: its last lines, or with zero the whole.
	Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error)
}

// clusterLogs are those that kubelets have.
type clusterLogs struct{ kubernetes.Interface }

func (c clusterLogs) Open(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{Container: container}
	if lines > 0 {
		options.TailLines = &lines
	}
	stream, err := c.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of container %s of pod %s: %w", container, pod, err)
	}
	return stream, nil
}
