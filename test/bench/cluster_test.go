//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// Users of the API server. Each program has its own, so that the audit log distinguishes them. None
// is in system:masters, whose requests bypass the API server's queues.
const (
	userOperator          = "bench-operator"
	userKueue             = "bench-kueue"
	userClient            = "bench-client"
	userKubelet           = "bench-kubelet"
	userControllerManager = "bench-controller-manager"
	group                 = "bench"
)

// Namespaces of the Jobs.
const (
	namespace = "bench"
	warmUp    = "warm-up"
)

// Names of the measured processes.
const (
	processAPIServer = "kube-apiserver"
	processEtcd      = "etcd"
	processJobs      = "kube-controller-manager"
	processRig       = "rig"
	processOperator  = "operator"
	processKueue     = "kueue"
)

// cluster is etcd, an API server, the Job controller and a simulated kubelet.
type cluster struct {
	*WithT
	t     *testing.T
	env   *envtest.Environment
	audit auditLog
	// kube is the test's own client, which is not measured.
	kube client.Client
	// pids are the measured processes, by name.
	pids map[string]int
	// programs are the measured processes that this package has launched.
	programs []*process
}

// startWithin is how long etcd and the API server may take to start and to stop, even on a busy
// machine.
const startWithin = 3 * time.Minute

// newCluster starts a cluster with the CRDs in folders, and runs a Job on it.
func newCluster(t *testing.T, crds ...string) *cluster {
	c := &cluster{WithT: NewWithT(t), t: t, audit: newAuditLog(t)}
	c.env = &envtest.Environment{CRDDirectoryPaths: crds, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: startWithin, ControlPlaneStopTimeout: startWithin}
	c.env.ControlPlane.GetAPIServer().Configure().
		Append("audit-policy-file", c.audit.policy).Append("audit-log-path", c.audit.file).Append("audit-log-maxsize", "10000")
	config, err := c.env.Start()
	t.Cleanup(func() { c.Expect(c.env.Stop()).To(Succeed()) })
	c.Expect(err).NotTo(HaveOccurred())
	scheme, err := operator.NewScheme()
	c.Expect(err).NotTo(HaveOccurred())
	c.kube, err = client.New(config, client.Options{Scheme: scheme})
	c.Expect(err).NotTo(HaveOccurred())
	c.pids = map[string]int{
		processAPIServer: childOf(c.WithT, "kube-apiserver"), processEtcd: childOf(c.WithT, "etcd"), processRig: os.Getpid(),
	}
	c.permit()
	c.startJobController()
	c.startKubelet()
	c.warmUp()
	return c
}

// leaveNothing kills all remaining programs at the end of a test, or when it is interrupted.
// Otherwise etcd and the API server would continue to run, even if they failed to start.
func leaveNothing(t *testing.T) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case received := <-signals:
			fmt.Fprintln(os.Stderr, "interrupted:", received)
			killChildren()
			os.Exit(1)
		case <-done:
		}
	}()
	t.Cleanup(func() {
		signal.Stop(signals)
		close(done)
		killChildren()
	})
}

func killChildren() {
	for _, pids := range children() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// permit creates the namespaces, and allows the users of the group everything.
func (c *cluster) permit() {
	for _, name := range []string{namespace, warmUp} {
		c.Expect(c.kube.Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	c.Expect(c.kube.Create(c.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: group},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
	})).To(Succeed())
}

// user creates a user.
func (c *cluster) user(name string) *envtest.AuthenticatedUser {
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: []string{group}}, nil)
	c.Expect(err).NotTo(HaveOccurred())
	return user
}

// clientset returns a user's client for Kubernetes' own types. It has no rate limit, and uses
// protobuf like the operator.
func (c *cluster) clientset(name string) *kubernetes.Clientset {
	config := rest.CopyConfig(c.user(name).Config())
	config.QPS, config.ContentType = -1, runtime.ContentTypeProtobuf
	clients, err := kubernetes.NewForConfig(config)
	c.Expect(err).NotTo(HaveOccurred())
	return clients
}

// kubeconfig writes a user's kubeconfig file.
func (c *cluster) kubeconfig(name string) string {
	content, err := c.user(name).KubeConfig()
	c.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(c.t.TempDir(), "kubeconfig")
	c.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	return file
}

// startJobController starts the controller manager with only the Job controller, and with rates so
// high that the API server is the limit.
func (c *cluster) startJobController() {
	c.launch(processJobs, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"), nil,
		"--controllers=job-controller", "--concurrent-job-syncs=20", "--kube-api-qps=1000", "--kube-api-burst=2000",
		"--kubeconfig="+c.kubeconfig(userControllerManager), "--leader-elect=false", "--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", freePort(c.WithT)), "--cert-dir="+c.t.TempDir())
}

// launch starts a measured program.
func (c *cluster) launch(name, path string, environment []string, arguments ...string) {
	program := launch(c.t, name, path, environment, arguments...)
	c.programs, c.pids[name] = append(c.programs, program), program.pid
}

// check fails the test if a program has ended, because waiting would be useless.
func (c *cluster) check() {
	c.t.Helper()
	for _, program := range c.programs {
		if err := program.running(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// testTimeout is when a test gives up waiting.
const testTimeout = 15 * time.Minute

// await polls until check succeeds.
func (c *cluster) await(check func(g Gomega)) {
	c.t.Helper()
	c.Eventually(func(g Gomega) {
		c.check()
		check(g)
	}).WithTimeout(testTimeout).WithPolling(100 * time.Millisecond).Should(Succeed())
}

// warmUp runs a Job until it is complete, to ensure that the Job controller and the kubelet are
// connected.
func (c *cluster) warmUp() {
	job := oneContainer()
	job.Namespace, job.Name = warmUp, warmUp
	c.Expect(c.kube.Create(c.t.Context(), job)).To(Succeed())
	c.await(func(g Gomega) { g.Expect(c.completeJobs(warmUp)).To(Equal(1)) })
}
