package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// managerContainer is the operator's container in its own pod.
	managerContainer = "manager"
	// ownPodTimeout limits the request for the operator's own pod.
	ownPodTimeout = 10 * time.Second
)

// RunnerImage returns the image of the operator, which also has the programs for jobs' pods. It
// takes it from the operator's own pod after admission, so that it can be pulled in this cluster.
// self is nil if the operator does not run in a pod. Each error says what to do.
func RunnerImage(ctx context.Context, reader client.Reader, self *corev1.ObjectReference) (string, error) {
	if self == nil {
		return "", errors.New("--runner-image is missing: set it to the operator's image; only an operator that runs in a pod can find its image")
	}
	ctx, cancel := context.WithTimeout(ctx, ownPodTimeout)
	defer cancel()
	pod := &corev1.Pod{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: self.Namespace, Name: self.Name}, pod); err != nil {
		return "", fmt.Errorf("read the operator's own pod %s/%s, whose image jobs' pods use: %w; %s", self.Namespace, self.Name, err, wayToOwnPod(err))
	}
	return imageOf(pod)
}

// wayToOwnPod returns what to do if the operator's own pod can't be read.
func wayToOwnPod(err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return "allow the operator's service account to get pods in its own namespace, as the Role in config/rbac does, or set --runner-image"
	case apierrors.IsNotFound(err):
		return "set $POD_NAME and $POD_NAMESPACE to metadata.name and metadata.namespace of the pod (fieldRef), as config/manager does, or set --runner-image"
	default:
		return "make the API server reachable, or set --runner-image"
	}
}

// imageOf returns the image of the operator's container. Webhooks may have added other
// containers.
func imageOf(pod *corev1.Pod) (string, error) {
	containers := pod.Spec.Containers
	if len(containers) == 1 {
		return containers[0].Image, nil
	}
	at := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == managerContainer })
	if at < 0 {
		return "", fmt.Errorf("the operator's own pod %s/%s has the containers %s, and none is named %s: give the operator's this name, or set --runner-image",
			pod.Namespace, pod.Name, strings.Join(namesOf(containers), ", "), managerContainer)
	}
	return containers[at].Image, nil
}

func namesOf(containers []corev1.Container) []string {
	var names []string
	for _, container := range containers {
		names = append(names, container.Name)
	}
	return names
}
