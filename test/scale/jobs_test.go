//go:build scale

package scale

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

const (
	// hands is how many concurrent requests the test makes.
	hands = 16
	// longWork is how long it may take until all jobs run.
	longWork = 30 * time.Minute
	// variables is the size of a settled job's output variables, in bytes.
	variables = 120 << 10
	// settledJobs is the number of settled jobs.
	settledJobs = 1000
)

// site has a real API server and an emulator, but no operator.
type site struct {
	*WithT
	t      *testing.T
	config *rest.Config
	kube   client.Client
	aws    *emulator.Server
}

func newSite(t *testing.T, o emulator.Options) *site {
	s := &site{WithT: NewWithT(t), t: t}
	cluster := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	var err error
	s.config, err = cluster.Start()
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { s.Expect(cluster.Stop()).To(Succeed()) })
	s.config.QPS = -1
	s.aws = emulator.StartT(t, o)
	scheme, err := operator.NewScheme()
	s.Expect(err).NotTo(HaveOccurred())
	s.kube, err = client.New(s.config, client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())
	return s
}

// TestManyJobs runs JOBS jobs at the same time, each with a pod, in ACTIONS CustomActions. Then it
// adds settled ones with large output variables.
func TestManyJobs(t *testing.T) {
	actions, jobs := number(t, "ACTIONS", 500), number(t, "JOBS", 10_000)
	s := newSite(t, emulator.Options{Buckets: []string{"source", "artifacts"}})
	each := (jobs + actions - 1) / actions
	s.Expect(s.kube.Create(t.Context(), account(actions))).To(Succeed())
	inParallel(actions, func(i int) {
		a := action(i)
		a.Spec.Polling.MaxConcurrentJobs = int32(each) //nolint:gosec // small
		s.Expect(s.kube.Create(t.Context(), a)).To(Succeed())
	})
	limit := number(t, "MEMORY", 150)
	metrics := operate(t, s.config, s.aws.URL(), fmt.Sprintf("GOMEMLIMIT=%dKiB", limit<<10*90/100)) // as in a container with this limit
	s.Eventually(func() int { return ready(t.Context(), s.WithT, s.kube) }).WithTimeout(timeout).WithPolling(time.Second).Should(Equal(actions))
	idle := memory(s.WithT, metrics)

	began := time.Now()
	pods := &kubelet{site: s, seen: map[k8stypes.UID]bool{}}
	inParallel(actions, func(i int) { s.startPipeline(i, each) })
	s.Eventually(func() int { return pods.look(t.Context()) }).WithTimeout(longWork).WithPolling(5 * time.Second).Should(BeNumerically(">=", actions*each))
	s.Eventually(func() float64 { return s.running(metrics) }).WithTimeout(timeout).WithPolling(time.Second).Should(BeNumerically(">=", actions*each))
	took := time.Since(began)
	live := memory(s.WithT, metrics)

	inParallel(settledJobs, s.settle)
	withSettled := memory(s.WithT, metrics)
	t.Logf("limit: %d MiB", limit)
	t.Logf("%d actions, idle: %s", actions, idle)
	t.Logf("%d live jobs with their pods (after %s): %s", actions*each, took.Round(time.Second), live)
	t.Logf("and %d settled jobs with output variables of %d KiB: %s", settledJobs, variables>>10, withSettled)
}

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return value
}

func inParallel(n int, do func(int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range hands {
		group.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// memory returns the operator's memory within a minute without changes.
func memory(g *WithT, metrics string) string {
	var most, last, heap float64
	began := time.Now()
	g.Eventually(func() time.Duration {
		last = scrape(g, metrics, "process_resident_memory_bytes") / (1 << 20)
		heap = scrape(g, metrics, "go_memstats_heap_inuse_bytes") / (1 << 20)
		most = max(most, last)
		return time.Since(began)
	}).WithTimeout(timeout).WithPolling(time.Second).Should(BeNumerically(">=", time.Minute))
	return fmt.Sprintf("%.0f MiB resident, at most %.0f within a minute, of which some %.0f are the program's file; %.0f MiB heap in use", last, most, fileBacked(g), heap)
}

// fileBacked returns how much of the operator's resident memory is its program file, in MiB. The
// kernel can reclaim it.
func fileBacked(g *WithT) (mapped float64) {
	files, err := filepath.Glob("/proc/[0-9]*/status")
	g.Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		command, _ := os.Readlink(filepath.Join(filepath.Dir(file), "exe"))
		content, _ := os.ReadFile(file) // the process may have ended
		_, after, found := strings.Cut(string(content), "RssFile:")
		if command != os.Getenv("MANAGER") || !found {
			continue
		}
		kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
		g.Expect(err).NotTo(HaveOccurred())
		mapped = kib / 1024
	}
	return mapped
}

// running returns the number of jobs in flight according to the operator.
func (s *site) running(metrics string) float64 {
	return scrapeSum(s.WithT, metrics, "pipelinejob_jobs_in_flight{")
}

// startPipeline starts executions of a pipeline that uses action i.
func (s *site) startPipeline(i, executions int) {
	made := action(i)
	cfg, err := config.LoadDefaultConfig(s.t.Context(), config.WithBaseEndpoint(s.aws.URL()), config.WithRegion(string(made.Spec.Region)),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	s.Expect(err).NotTo(HaveOccurred())
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = objects.PutObject(s.t.Context(), &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip"), Body: strings.NewReader("s")})
	s.Expect(err).NotTo(HaveOccurred())
	client := sdk.NewFromConfig(cfg)
	name := "p-" + made.Name
	declared := pipeline.New(name, "artifacts").Mode(types.ExecutionModeParallel).
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", pipeline.NewAction("work", pipeline.CustomType("Test", made.Spec.ActionType.Provider, "1")))
	_, err = client.CreatePipeline(s.t.Context(), declared.CreateInput())
	s.Expect(err).NotTo(HaveOccurred())
	for range executions {
		_, err := client.StartPipelineExecution(s.t.Context(), &sdk.StartPipelineExecutionInput{Name: aws.String(name)})
		s.Expect(err).NotTo(HaveOccurred())
	}
}

// kubelet acts as the Job controller and the kubelet: each Job gets a running pod.
type kubelet struct {
	*site
	seen map[k8stypes.UID]bool
}

// look creates the pods of new Jobs, and returns the number of Jobs.
func (k *kubelet) look(ctx context.Context) int {
	var fresh []batchv1.Job
	page := batchv1.JobList{}
	for more := true; more; more = page.Continue != "" {
		err := k.kube.List(ctx, &page, client.Limit(500), client.Continue(page.Continue))
		if busy(err) {
			break // the API server is busy: the rest is created in the next round
		}
		k.Expect(err).NotTo(HaveOccurred())
		for _, job := range page.Items {
			if !k.seen[job.UID] {
				k.seen[job.UID] = true
				fresh = append(fresh, job)
			}
		}
	}
	inParallel(len(fresh), func(i int) { k.run(ctx, &fresh[i]) })
	return len(k.seen)
}

func (k *kubelet) run(ctx context.Context, job *batchv1.Job) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: job.Namespace, Name: job.Name + "-0", Labels: maps.Clone(job.Spec.Template.Labels),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
	}, Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Spec.NodeName = "node-1"
	k.insist(func() error { return client.IgnoreAlreadyExists(k.kube.Create(ctx, pod.DeepCopy())) })
	before, now := pod.DeepCopy(), metav1.Now()
	pod.Status.Phase, pod.Status.StartTime, pod.Status.PodIP, pod.Status.HostIP = corev1.PodRunning, &now, "10.0.0.1", "10.0.0.1"
	for _, condition := range []corev1.PodConditionType{
		corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled,
	} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for i := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: pod.Spec.Containers[i].Name, Image: pod.Spec.Containers[i].Image, ImageID: "sha256:" + strings.Repeat("0", 64), Ready: true,
			ContainerID: "containerd://" + strings.Repeat("0", 64),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	k.insist(func() error { return k.kube.Status().Patch(ctx, pod.DeepCopy(), client.MergeFrom(before)) })
}

// insist retries a request while the API server is busy.
func (s *site) insist(request func() error) {
	s.Expect(retry.OnError(wait.Backoff{Steps: 20, Duration: time.Second, Jitter: 1}, busy, request)).To(Succeed())
}

// busy reports whether a request failed because of the API server's load.
func busy(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
}

// settle creates a PipelineJob that was reported long ago.
func (s *site) settle(i int) {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("settled-%d", i)}}
	job.Spec.ActionRef.Name, job.Spec.AccountRef.Name, job.Spec.Region = "work-0", accountName, "us-east-1"
	job.Spec.Pipeline.ActionExecutionID = fmt.Sprintf("settled-%d", i)
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), Nonce: "1"}
	s.insist(func() error { return s.kube.Create(s.t.Context(), job) })
	before := job.DeepCopy()
	job.Status.OutputVariables = map[string]string{"A": strings.Repeat("v", variables)}
	job.Settle(metav1.Now())
	s.insist(func() error { return s.kube.Status().Patch(s.t.Context(), job, client.MergeFrom(before)) })
}
