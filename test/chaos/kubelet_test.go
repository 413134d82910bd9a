//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	nodeName = "chaos"
	stepName = "work"
	// targetEnv is the environment variable with the number of the job.
	targetEnv = "CODEPIPELINE_CONFIG_TARGET"
)

// kubelet acts as a scheduler and a kubelet without containers: it binds pods, sets their statuses,
// and ends them according to the plan of their job. It records each step that it starts.
type kubelet struct {
	kube    client.Client
	pods    client.Reader // from the cache
	records *records
	plan    func(number int) plan
	// open reports whether waiting steps may end.
	open  func() bool
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	logs  *httptest.Server

	mu   sync.Mutex
	work map[types.UID]*work
}

// work is the step of a pod.
type work struct {
	*execution
	number  int
	run     run
	started time.Time
	killed  bool
}

const kubeletWorkers = 8

// startKubelet starts a kubelet with its node.
func startKubelet(ctx context.Context, kube client.Client, objects cache.Cache, l *records, plan func(int) plan, open func() bool) (*kubelet, error) {
	k := &kubelet{kube: kube, pods: objects, records: l, plan: plan, open: open, work: map[types.UID]*work{}}
	k.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](50*time.Millisecond, 2*time.Second))
	k.logs = httptest.NewTLSServer(http.HandlerFunc(k.serveLog))
	if err := k.register(ctx); err != nil {
		return nil, err
	}
	informer, err := objects.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return nil, err
	}
	add := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok {
			k.queue.Add(client.ObjectKeyFromObject(pod))
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, object any) { add(object) }})
	for range kubeletWorkers {
		go k.keep(ctx)
	}
	return k, err
}

func (k *kubelet) stop() {
	k.queue.ShutDown()
	k.logs.CloseClientConnections()
	k.logs.Close()
}

// register creates the node, through which the API server reads the logs of its pods.
func (k *kubelet) register(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := k.kube.Create(ctx, node); err != nil {
		return err
	}
	address, err := url.Parse(k.logs.URL)
	if err != nil {
		return err
	}
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	if err != nil {
		return err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Hostname()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return k.kube.Status().Update(ctx, node)
}

func (k *kubelet) keep(ctx context.Context) {
	for {
		key, over := k.queue.Get()
		if over {
			return
		}
		again, err := k.sync(ctx, key)
		switch {
		case err != nil:
			k.queue.AddRateLimited(key)
		default:
			k.queue.Forget(key)
			if again > 0 {
				k.queue.AddAfter(key, again)
			}
		}
		k.queue.Done(key)
	}
}

// sync advances a pod by one state. It returns when to sync it again.
func (k *kubelet) sync(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	pod := &corev1.Pod{}
	if err := k.pods.Get(ctx, key, pod); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	w := k.workOf(pod)
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	switch {
	case !pod.DeletionTimestamp.IsZero():
		return 0, k.takeAway(ctx, pod, w, ended)
	case ended:
		return 0, nil
	case pod.Spec.NodeName == "":
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}}
		err := k.kube.SubResource("binding").Create(ctx, pod, binding)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return time.Second, nil // the cache is outdated, or the API server's own, after a restart
		}
		return 0, err
	case w == nil:
		if mounted, err := k.mounts(ctx, pod); err != nil || !mounted {
			return time.Second, err
		}
		w = k.begin(pod)
	}
	left := time.Until(w.started.Add(w.run.takes))
	if w.run.waits && !k.open() {
		left = time.Second
	}
	if left > 0 && w.ended == "" {
		return min(left, time.Second), k.write(ctx, pod, w.running())
	}
	if w.ended == "" {
		k.records.end(w.number, w.execution, w.run.ends)
	}
	return 0, k.write(ctx, pod, w.over())
}

// mounts reports whether the Secrets of a pod exist.
func (k *kubelet) mounts(ctx context.Context, pod *corev1.Pod) (bool, error) {
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret == nil {
			continue
		}
		err := k.kube.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: volume.Secret.SecretName}, &corev1.Secret{})
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
	}
	return true, nil
}

// takeAway ends a pod that is being deleted.
func (k *kubelet) takeAway(ctx context.Context, pod *corev1.Pod, w *work, ended bool) error {
	if w != nil && w.ended == "" && !w.killed {
		w.killed = true
		k.records.killed(w.number, w.execution)
	}
	if !ended {
		if err := k.write(ctx, pod, killed(w)); err != nil {
			return err
		}
	}
	err := k.kube.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if apierrors.IsConflict(err) {
		return nil // another pod has this name now
	}
	return client.IgnoreNotFound(err)
}

func (k *kubelet) workOf(pod *corev1.Pod) *work {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.work[pod.UID]
}

// begin starts the step of a pod.
func (k *kubelet) begin(pod *corev1.Pod) *work {
	env := stepEnv(pod)
	number, err := strconv.Atoi(env[targetEnv])
	if err != nil {
		number = -1
	}
	runNumber, err := strconv.Atoi(pod.Labels[v1alpha1.LabelRun])
	if err != nil {
		runNumber = -1
	}
	w := &work{number: number, started: time.Now(), execution: &execution{
		run: runNumber, pod: pod.UID, pipelineJob: pod.Labels[v1alpha1.LabelPipelineJob],
		codePipeline: env[podcontract.EnvJobID], token: env[podcontract.EnvContinuationToken],
	}}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		w.job = owner.UID
	}
	w.run = k.plan(number).run(runNumber)
	k.records.begin(number, w.execution)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.work[pod.UID] = w
	return w
}

func stepEnv(pod *corev1.Pod) map[string]string {
	env := map[string]string{}
	for _, container := range pod.Spec.InitContainers {
		if container.Name == stepName {
			for _, variable := range container.Env {
				env[variable.Name] = variable.Value
			}
		}
	}
	return env
}

func (k *kubelet) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	if pod.Status.Phase == status.Phase {
		return nil
	}
	before := pod.DeepCopy()
	status.QOSClass, status.StartTime = pod.Status.QOSClass, ptr.To(metav1.Now())
	for i := range pod.Status.Conditions {
		meta := pod.Status.Conditions[i]
		if meta.Type == corev1.DisruptionTarget {
			status.Conditions = append(status.Conditions, meta)
		}
	}
	pod = pod.DeepCopy()
	pod.Status = status
	return client.IgnoreNotFound(k.kube.Status().Patch(ctx, pod, client.MergeFrom(before)))
}

func terminated(name string, code int32, message string) corev1.ContainerStatus {
	now := metav1.Now()
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message, StartedAt: now, FinishedAt: now, Reason: map[bool]string{true: "Completed", false: "Error"}[code == 0],
	}}}
}

func runs(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Started: ptr.To(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}
}

func waits(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}
}

// running returns the status of a pod with a running step.
func (w *work) running() corev1.PodStatus {
	status := corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{waits(podcontract.ContainerReport)}}
	status.InitContainerStatuses = append(w.fetched(), runs(stepName))
	return status
}

// fetched returns the statuses of the containers before the step.
func (w *work) fetched() []corev1.ContainerStatus {
	before := []corev1.ContainerStatus{terminated(podcontract.ContainerFetch, 0, "")}
	if w.run.tells {
		before = append(before, runs(podcontract.ContainerProgress))
	}
	return before
}

// over returns the status of a pod with an ended step.
func (w *work) over() corev1.PodStatus {
	before := []corev1.ContainerStatus{terminated(podcontract.ContainerFetch, 0, "")}
	if w.run.tells {
		before = append(before, terminated(podcontract.ContainerProgress, 0, ""))
	}
	if w.ended == fails {
		return corev1.PodStatus{
			Phase: corev1.PodFailed, InitContainerStatuses: append(before, terminated(stepName, exitCode, "broken")),
			ContainerStatuses: []corev1.ContainerStatus{waits(podcontract.ContainerReport)},
		}
	}
	return corev1.PodStatus{
		Phase: corev1.PodSucceeded, InitContainerStatuses: append(before, terminated(stepName, 0, "")),
		ContainerStatuses: []corev1.ContainerStatus{terminated(podcontract.ContainerReport, 0, w.envelope())},
	}
}

// killed returns the status of a pod that was removed while its step ran.
func killed(w *work) corev1.PodStatus {
	if w == nil {
		return corev1.PodStatus{Phase: corev1.PodFailed}
	}
	return corev1.PodStatus{
		Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{terminated(podcontract.ContainerFetch, 0, ""), terminated(stepName, 137, "")},
		ContainerStatuses: []corev1.ContainerStatus{waits(podcontract.ContainerReport)},
	}
}

// envelope returns the report container's envelope.
func (w *work) envelope() string {
	given := podcontract.Result{Summary: fmt.Sprintf("run %d of job %d", w.execution.run, w.number)}
	if w.ended == continues {
		given.ContinuationToken = tokenOf(w.number, w.execution.run)
	} else {
		given.OutputVariables = outputsOf(w.number, w.execution.run)
	}
	content, err := json.Marshal(podcontract.Envelope{Result: &podcontract.RunResult{Result: given}})
	if err != nil {
		panic(err) // can always be encoded
	}
	return string(content)
}

// serveLog serves /containerLogs/NAMESPACE/POD/CONTAINER.
func (k *kubelet) serveLog(out http.ResponseWriter, in *http.Request) {
	parts := strings.Split(strings.Trim(in.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "containerLogs" {
		http.NotFound(out, in)
		return
	}
	if parts[3] != podcontract.ContainerProgress {
		fmt.Fprintln(out, "broken")
		return
	}
	pod := &corev1.Pod{}
	if err := k.pods.Get(in.Context(), types.NamespacedName{Namespace: parts[1], Name: parts[2]}, pod); err != nil {
		http.NotFound(out, in)
		return
	}
	if w := k.workOf(pod); w != nil {
		percent := int32(min(99, 100*time.Since(w.started)/max(w.run.takes, 1)))
		_, _ = out.Write(podcontract.ProgressLine(podcontract.Progress{PercentComplete: &percent})) // the API server may be gone
	}
}
