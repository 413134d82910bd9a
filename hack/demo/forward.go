package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forward is a port forward from this machine to the emulator's pod.
type forward struct {
	url  string
	stop chan struct{}
}

func (f *forward) close() { close(f.stop) }

// forwardEmulator forwards a loopback port to the emulator, like "kubectl port-forward".
func forwardEmulator(ctx context.Context) (*forward, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	pod, err := emulatorPod(ctx, config)
	if err != nil {
		return nil, err
	}
	tripper, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare the port forward: %w", err)
	}
	host, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's address: %w", err)
	}
	host.Path = fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/portforward", pod.Namespace, pod.Name)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: tripper}, http.MethodPost, host)

	f := &forward{stop: make(chan struct{})}
	ready, failed := make(chan struct{}), make(chan error, 1)
	var out bytes.Buffer
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:4566"}, f.stop, ready, &out, &out)
	if err != nil {
		return nil, fmt.Errorf("prepare the port forward: %w", err)
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return nil, fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	case <-ctx.Done():
		f.close()
		return nil, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return nil, fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	f.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0].Local)
	return f, nil
}

// emulatorPod returns a ready pod of the emulator.
func emulatorPod(ctx context.Context, config *rest.Config) (*corev1.Pod, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pods, err := client.CoreV1().Pods("pipelinejob-system").List(ctx,
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=codepipeline-emulator"})
	if err != nil {
		return nil, fmt.Errorf("find the emulator's pod: %w", err)
	}
	for i := range pods.Items {
		for _, condition := range pods.Items[i].Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pods.Items[i].DeletionTimestamp == nil {
				return &pods.Items[i], nil
			}
		}
	}
	return nil, fmt.Errorf("no pod of the emulator is ready: see kubectl -n pipelinejob-system describe pods")
}
