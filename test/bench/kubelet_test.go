//go:build bench

package bench

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	// endings is the number of pods that end concurrently.
	endings = 20
	// maxPods is the maximum number of pods that wait for their end.
	maxPods = 100_000
)

// startKubelet acts as the kubelet of all pods: each succeeds as soon as it exists. There is no
// scheduler, and pods need no node.
func (c *cluster) startKubelet() {
	clients := c.clientset(userKubelet)
	ctx, cancel := context.WithCancel(context.Background())
	pods := make(chan *corev1.Pod, maxPods)
	informer := cache.NewSharedInformer(
		cache.NewListWatchFromClient(clients.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything()), &corev1.Pod{}, 0)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(added any) { pods <- added.(*corev1.Pod) }})
	c.Expect(err).NotTo(HaveOccurred())
	var all sync.WaitGroup
	all.Go(func() { informer.RunWithContext(ctx) })
	for range endings {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case pod := <-pods:
					c.end(ctx, clients, pod)
				}
			}
		})
	}
	c.t.Cleanup(func() {
		cancel()
		all.Wait()
	})
}

// end writes the status of a pod whose containers have all exited with 0. It retries for a while,
// because a pod that does not end would block its job forever.
func (c *cluster) end(ctx context.Context, clients kubernetes.Interface, pod *corev1.Pod) {
	patch, err := json.Marshal(map[string]any{"status": succeeded(pod)})
	if err != nil {
		c.t.Error(err)
		return
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, last = clients.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return last == nil, nil
	})
	if err != nil && ctx.Err() == nil {
		c.t.Errorf("pod %s did not end: %v", pod.Name, last)
	}
}

// succeeded returns the last status that the kubelet writes.
func succeeded(pod *corev1.Pod) corev1.PodStatus {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodSucceeded, StartTime: &now, Conditions: []corev1.PodCondition{
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, Reason: "PodCompleted", LastTransitionTime: now},
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "PodCompleted", LastTransitionTime: now},
	}}
	for _, container := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, exited(container, now))
	}
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, exited(container, now))
	}
	return status
}

// result is the termination message of the report container.
var result = func() string {
	message, err := json.Marshal(podcontract.Envelope{Result: &podcontract.RunResult{}})
	if err != nil {
		panic(err)
	}
	return string(message)
}()

func exited(container corev1.Container, now metav1.Time) corev1.ContainerStatus {
	ended := &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}
	if container.Name == podcontract.ContainerReport {
		ended.Message = result
	}
	return corev1.ContainerStatus{Name: container.Name, Image: container.Image, State: corev1.ContainerState{Terminated: ended}}
}
