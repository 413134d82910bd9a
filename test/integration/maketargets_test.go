package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// workshop runs make with an empty API server.
type workshop struct {
	*WithT
	t          *testing.T
	ctx        context.Context
	kube       client.Client
	clientset  *kubernetes.Clientset
	kubeconfig string
	bin, dist  string
}

func newWorkshop(t *testing.T) *workshop {
	w := &workshop{WithT: NewWithT(t), t: t, ctx: t.Context()}
	// Stat the files: the cache of go test only tracks files that the test itself accesses.
	for _, folder := range []string{"../../config", "../../hack", "../../cmd", "../../Makefile"} {
		w.Expect(filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
			_, statErr := os.Stat(name)
			return errors.Join(err, statErr)
		})).To(Succeed())
	}
	server := &envtest.Environment{}
	config, err := server.Start()
	t.Cleanup(func() { w.Expect(server.Stop()).To(Succeed()) })
	w.Expect(err).NotTo(HaveOccurred())
	scheme := harness.NewScheme(w)
	w.Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	w.kube, err = client.New(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	w.clientset, err = kubernetes.NewForConfig(config)
	w.Expect(err).NotTo(HaveOccurred())

	folder := t.TempDir()
	w.kubeconfig, w.bin, w.dist = filepath.Join(folder, "kubeconfig"), filepath.Join(folder, "bin"), filepath.Join(folder, "dist")
	w.Expect(os.WriteFile(w.kubeconfig, server.KubeConfig, 0o600)).To(Succeed())
	return w
}

// command returns a call of make that does not change the repository.
func (w *workshop) command(args ...string) *exec.Cmd {
	args = append([]string{"--no-print-directory", "BIN=" + w.bin, "DIST=" + w.dist, "KUBECTL=" + filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")}, args...)
	cmd := exec.CommandContext(w.ctx, "make", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig, "MAKEFLAGS=", "AWS_ENDPOINT_URL_CODEPIPELINE=http://127.0.0.1:1")
	return cmd
}

func (w *workshop) make(args ...string) (string, error) {
	out, err := w.command(args...).CombinedOutput()
	return string(out), err
}

func (w *workshop) mustMake(args ...string) string {
	w.t.Helper()
	out, err := w.make(args...)
	w.Expect(err).NotTo(HaveOccurred(), out)
	return out
}

func (w *workshop) await(check func(Gomega)) {
	w.t.Helper()
	w.EventuallyWithOffset(1, check).WithTimeout(harness.Timeout).WithPolling(50 * time.Millisecond).Should(Succeed())
}

// crds returns the number of installed CRDs of the operator.
func (w *workshop) crds() int {
	var list apiextensionsv1.CustomResourceDefinitionList
	w.Expect(w.kube.List(w.ctx, &list)).To(Succeed())
	return len(list.Items)
}

// TestMakeTargets runs kubebuilder's conventional targets on an empty cluster.
func TestMakeTargets(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)

	w.mustMake("install")
	w.Expect(w.crds()).To(Equal(3))
	w.mustMake("install") // must be repeatable

	w.runOperator()

	w.deploy()
	w.installFromOneFile()
	w.undeploy()

	w.mustMake("install")
	w.Expect(w.crds()).To(Equal(3))
	w.mustMake("uninstall")
	w.Expect(w.crds()).To(BeZero())
	out, err := w.make("uninstall")
	w.Expect(err).To(HaveOccurred(), out)
	w.mustMake("uninstall", "ignore-not-found=true")
}

// runOperator checks that make run registers an action with the emulator, and interrupts it like a
// terminal.
func (w *workshop) runOperator() {
	address := freeAddress(w.WithT)
	run := w.command("run", "EMULATOR="+address, "RUN_FLAGS=--metrics-bind-address=0 --health-probe-bind-address="+freeAddress(w.WithT))
	var output logbook
	run.Stdout, run.Stderr = &output, &output
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w.Expect(run.Start()).To(Succeed())
	ended := make(chan struct{})
	go func() {
		_ = run.Wait() // make fails because it is interrupted
		close(ended)
	}()
	w.t.Cleanup(func() {
		for _, pid := range w.running() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})

	account := harness.NewAccount("default")
	action := harness.NewAction("default")
	w.await(func(g Gomega) { g.Expect(w.kube.Create(w.ctx, account)).To(Succeed()) }) // the CRDs may not be served yet
	w.await(func(g Gomega) { g.Expect(w.kube.Create(w.ctx, action)).To(Succeed()) })
	w.await(func(g Gomega) {
		g.Expect(w.kube.Get(w.ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(action.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%v\n%s", action.Status.Conditions, output.String())
	})
	journal, err := http.Get("http://" + address + "/_emulator/journal?operation=CreateCustomActionType")
	w.Expect(err).NotTo(HaveOccurred())
	defer journal.Body.Close()
	w.Expect(journal).To(HaveHTTPBody(ContainSubstring(action.Spec.ActionType.Provider)))

	out, err := w.make("uninstall")
	w.Expect(err).To(HaveOccurred(), "its objects would keep the CRDs from going")
	w.Expect(out).To(MatchRegexp(`(?s)There are customactions in the cluster:\ndefault +work\n.*kubectl delete customactions --all -A`))
	w.Expect(w.crds()).To(Equal(3))
	w.Expect(w.kube.Delete(w.ctx, action)).To(Succeed())
	w.awaitGone(action)
	w.Expect(w.kube.Delete(w.ctx, account)).To(Succeed())
	w.awaitGone(account)

	w.Expect(w.running()).To(HaveLen(2))
	w.Expect(syscall.Kill(-run.Process.Pid, syscall.SIGINT)).To(Succeed())
	select {
	case <-ended:
	case <-time.After(harness.Timeout):
		w.Expect(output.String()).To(BeEmpty(), "make run did not end")
	}
	w.Expect(w.running()).To(BeEmpty(), output.String())
}

func (w *workshop) awaitGone(object client.Object) {
	w.t.Helper()
	w.await(func(g Gomega) {
		err := w.kube.Get(w.ctx, client.ObjectKeyFromObject(object), object)
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
	})
}

// running returns the processes of programs that make has built.
func (w *workshop) running() []int {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	w.Expect(err).NotTo(HaveOccurred())
	var found []int
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil || filepath.Dir(program) != w.bin { // it has ended, or belongs to another user
			continue
		}
		var pid int
		_, err = fmt.Sscanf(link, "/proc/%d/exe", &pid)
		w.Expect(err).NotTo(HaveOccurred())
		found = append(found, pid)
	}
	return found
}

const (
	image      = "registry.example.com:5000/pipelinejob-operator:v1"
	withDigest = "registry.example.com/pipelinejob-operator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func (w *workshop) deploy() {
	for wrong, message := range map[string]string{
		"":                                 "IMG is not set: name the operator's image, such as make deploy IMG=",
		"registry.example.com:5000/nobody": `IMG is "registry.example.com:5000/nobody": it must end with a tag (:v1) or a digest`,
		"nobody:{v1}":                      `IMG is "nobody:{v1}": it must be the name of an image`,
	} {
		out, err := w.make("deploy", "IMG="+wrong)
		w.Expect(err).To(HaveOccurred(), out)
		w.Expect(out).To(ContainSubstring(message))
	}
	w.mustMake("deploy", "IMG="+image)
	w.Expect(w.deployed()).To(Equal(image))
	var policies admissionv1.ValidatingAdmissionPolicyList
	w.Expect(w.kube.List(w.ctx, &policies)).To(Succeed())
	w.Expect(policies.Items).To(HaveLen(2))
	w.mustMake("deploy", "IMG="+withDigest)
	w.Expect(w.deployed()).To(Equal(withDigest))
}

// deployed returns the image of the operator in the cluster.
func (w *workshop) deployed() string {
	var deployment appsv1.Deployment
	w.Expect(w.kube.Get(w.ctx, client.ObjectKey{Namespace: systemNamespace, Name: operatorName}, &deployment)).To(Succeed())
	return deployment.Spec.Template.Spec.Containers[0].Image
}

// installFromOneFile applies the file of build-installer.
func (w *workshop) installFromOneFile() {
	w.mustMake("build-installer", "IMG="+image)
	file := filepath.Join(w.dist, "install.yaml")
	kubectl := exec.CommandContext(w.ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "--kubeconfig="+w.kubeconfig, "apply", "--server-side", "-f", file) //nolint:gosec // the tests' own kubectl
	out, err := kubectl.CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	w.Expect(w.deployed()).To(Equal(image))
}

// undeploy runs make undeploy and acts as the namespace controller.
func (w *workshop) undeploy() {
	undeploy := w.command("undeploy")
	var output bytes.Buffer
	undeploy.Stdout, undeploy.Stderr = &output, &output
	w.Expect(undeploy.Start()).To(Succeed())
	w.await(func(g Gomega) {
		namespace, err := w.clientset.CoreV1().Namespaces().Get(w.ctx, systemNamespace, metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(namespace.Status.Phase).To(Equal(corev1.NamespaceTerminating))
		namespace.Spec.Finalizers = nil
		_, err = w.clientset.CoreV1().Namespaces().Finalize(w.ctx, namespace, metav1.UpdateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
	})
	w.Expect(undeploy.Wait()).To(Succeed(), output.String())
	w.Expect(w.crds()).To(BeZero())
	var policies admissionv1.ValidatingAdmissionPolicyList
	w.Expect(w.kube.List(w.ctx, &policies)).To(Succeed())
	w.Expect(policies.Items).To(BeEmpty())
}

// freeAddress returns a local address on which nothing listens.
func freeAddress(g *WithT) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(listener.Close()).To(Succeed())
	return listener.Addr().String()
}

// logbook is the output of a process.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestMakeBuildsImagesWithTheToolNamed only checks the command lines: the tools need not be
// installed.
func TestMakeBuildsImagesWithTheToolNamed(t *testing.T) {
	for _, tool := range []string{"docker", "podman", "nerdctl"} {
		g := NewWithT(t)
		cmd := exec.CommandContext(t.Context(), "make", "-n", "--no-print-directory", "docker-build", "docker-push", "CONTAINER_TOOL="+tool, "IMG="+image)
		cmd.Dir = "../.."
		out, err := cmd.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		g.Expect(lines).To(ContainElements(tool+" build -t "+image+" .", tool+" push "+image))
	}
}
