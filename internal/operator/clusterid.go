package operator

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// clusterIDTimeout limits reading the default cluster ID: an API server that has just
	// been started may not have created its namespaces yet.
	clusterIDTimeout = 30 * time.Second
	clusterIDRetry   = time.Second
)

// clusterID returns the cluster's ID: the one that was set, or the UID of the namespace
// kube-system, which is unique to each cluster.
func clusterID(ctx context.Context, set string, live client.Reader) (string, error) {
	if set != "" {
		return set, nil
	}
	ctx, cancel := context.WithTimeout(ctx, clusterIDTimeout)
	defer cancel()
	system := &corev1.Namespace{}
	var last error
	err := wait.PollUntilContextCancel(ctx, clusterIDRetry, true, func(ctx context.Context) (bool, error) {
		last = live.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)
		return last == nil || apierrors.IsForbidden(last) || apierrors.IsUnauthorized(last), nil // other errors may be temporary
	})
	if last == nil {
		last = err
	}
	if last != nil {
		return "", fmt.Errorf("read the namespace %s, whose UID is the default of --cluster-id: %w: "+
			"let the operator's ClusterRole get namespaces, or set --cluster-id", metav1.NamespaceSystem, last)
	}
	return string(system.UID), nil
}
