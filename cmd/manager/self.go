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

// Environment variables with the operator's own pod, by the downward API.
const (
	envPodName      = "POD_NAME"
	envPodNamespace = "POD_NAMESPACE"
)

// namespaceFile has the namespace of a pod.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// self is the operator's own pod; nil if it runs in none. Without the variables, it goes by
// what every pod has: the file of its service account, and a host name that mostly is the
// pod's.
func self() *corev1.ObjectReference {
	namespace := os.Getenv(envPodNamespace)
	if namespace == "" {
		content, err := os.ReadFile(namespaceFile)
		if err != nil {
			return nil
		}
		namespace = strings.TrimSpace(string(content))
	}
	host, _ := os.Hostname() // empty with an error
	name := cmp.Or(os.Getenv(envPodName), host)
	if name == "" {
		return nil
	}
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name}
}

// runnerImageOf returns the image of jobs' pods: that of --runner-image, or else the operator's own.
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
