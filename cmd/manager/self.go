package main

import (
	"cmp"
	"context"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// Environment variables that identify the operator's own pod, set with the downward API.
const (
	envPodName      = "POD_NAME"
	envPodNamespace = "POD_NAMESPACE"
)

// namespaceFile has the namespace of the pod.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// self returns the operator's own pod, or nil if it does not run in a pod. Without the variables,
// it uses what every pod has: the file of the service account, and a host name that usually is the
// pod's name.
func self() *corev1.ObjectReference {
	namespace := os.Getenv(envPodNamespace)
	if namespace == "" {
		content, err := os.ReadFile(namespaceFile)
		if err != nil {
			return nil
		}
		namespace = strings.TrimSpace(string(content))
	}
	host, _ := os.Hostname() // empty on an error
	name := cmp.Or(os.Getenv(envPodName), host)
	if name == "" {
		return nil
	}
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name}
}

// runnerImageOf returns the image for jobs' pods: --runner-image or, by default, the operator's own
// image.
func (o *options) runnerImageOf(ctx context.Context, mgr ctrl.Manager, self *corev1.ObjectReference) (string, error) {
	if o.runnerImage != "" {
		return o.runnerImage, nil
	}
	image, err := operator.RunnerImage(ctx, mgr.GetAPIReader(), self)
	if err == nil {
		mgr.GetLogger().WithName("setup").Info("Jobs' pods use the operator's own image", "image", image)
	}
	return image, err
}
