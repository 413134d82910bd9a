package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
)

// TestSmoke starts two real clusters at the same time, runs work in them, kills their components
// and removes them. It needs root and the results of make kube and make images, so it runs only
// with CLUSTER_SMOKE=1.
func TestSmoke(t *testing.T) {
	if os.Getenv("CLUSTER_SMOKE") == "" {
		t.Skip("starts real clusters: set CLUSTER_SMOKE=1 and be root")
	}
	program := filepath.Join(t.TempDir(), "cluster")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root, err := os.MkdirTemp("", "cluster-smoke-")
	if err != nil {
		t.Fatal(err)
	}
	one, two := newSmoke(t, program, root, "one"), newSmoke(t, program, root, "two")
	t.Cleanup(func() {
		one.mustRun("down")
		two.mustRun("down")
		os.RemoveAll(root)
	})
	upBoth(one, two)
	one.noNothing()
	for _, s := range []*smoke{one, two} {
		s.job("hello")
	}
	t.Run("work", one.testWork)
	t.Run("heal", one.testHeal)
	t.Run("side by side", func(t *testing.T) { two.in(t).job("still-here") })
	t.Run("down", one.testDown)
	t.Run("the other one lives on", func(t *testing.T) { two.in(t).job("and-still") })
	two.mustRun("down")
	two.nothingLeft()
}

func upBoth(clusters ...*smoke) {
	var wg sync.WaitGroup
	for _, s := range clusters {
		wg.Go(func() {
			if out, err := s.run("up"); err != nil {
				s.t.Errorf("up %s: %v\n%s", s.name, err, out)
			}
		})
	}
	wg.Wait()
	if clusters[0].t.Failed() {
		clusters[0].t.FailNow()
	}
}

// A smoke is a cluster under test.
type smoke struct {
	*cluster
	t       *testing.T
	program string
}

func newSmoke(t *testing.T, program, root, name string) *smoke {
	c, err := newCluster(options{root: root, name: name, assets: "../../bin/k8s", images: "../../bin/images"})
	if err != nil {
		t.Fatal(err)
	}
	return &smoke{cluster: c, t: t, program: program}
}

// in returns the smoke for a subtest.
func (s *smoke) in(t *testing.T) *smoke { return &smoke{cluster: s.cluster, t: t, program: s.program} }

func (s *smoke) run(command string) (string, error) {
	cmd := exec.Command(s.program, s.args(command)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *smoke) mustRun(command string) string {
	s.t.Helper()
	began := time.Now()
	out, err := s.run(command)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", command, s.name, err, out)
	}
	s.t.Logf("%s %s: %.1f s", command, s.name, time.Since(began).Seconds())
	return out
}

func (s *smoke) kubectl(stdin string, args ...string) (string, error) {
	cmd := exec.Command(s.asset("kubectl"), append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *smoke) mustKubectl(stdin string, args ...string) string {
	s.t.Helper()
	out, err := s.kubectl(stdin, args...)
	if err != nil {
		s.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

// eventually polls until kubectl prints the wanted output.
func (s *smoke) eventually(want string, args ...string) {
	s.t.Helper()
	err := poll(context.Background(), 90*time.Second, func(context.Context) error {
		out, err := s.kubectl("", args...)
		if err != nil || !strings.Contains(out, want) {
			return fmt.Errorf("kubectl printed %q, error %v", out, err) //nolint:errorlint // err may be nil
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("kubectl %v: want %q: %v\n%s", args, want, err, s.mustKubectl("", "get", "pods,events", "-o", "wide"))
	}
}

const jobManifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {app: NAME}}
    spec:
      restartPolicy: Never
      initContainers:
      - name: sidecar
        image: pipelinejob.dev/sample-work:dev
        restartPolicy: Always
        command: [sh, -c, 'trap "exit 0" TERM; echo sidecar; while :; do sleep 1 & wait; done']
      - name: step
        image: pipelinejob.dev/sample-work:dev
        command: [sh, -c, 'id -u; echo from the step > /work/file']
        volumeMounts: [{name: work, mountPath: /work}]
      containers:
      - name: report
        image: pipelinejob.dev/sample-work:dev
        command: [sh, -c, 'cat /work/file | tee /dev/termination-log']
        volumeMounts: [{name: work, mountPath: /work}]
      volumes: [{name: work, emptyDir: {}}]
`

// job runs a Job with all kinds of containers that the operator uses.
func (s *smoke) job(name string) {
	s.t.Helper()
	s.mustKubectl(strings.ReplaceAll(jobManifest, "NAME", name), "create", "-f", "-")
	s.eventually("1", "get", "job", name, "-o", "jsonpath={.status.succeeded}")
	s.eventually("from the step", "get", "pods", "-l", "app="+name, "-o", "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}")
	if out := s.mustKubectl("", "logs", "job/"+name, "-c", "step"); out != "65532" {
		s.t.Errorf("the step's log: %q", out)
	}
}

// pod creates a pod that runs a script, with changes to its spec and container.
func (s *smoke) pod(name, script, spec, container string) {
	s.t.Helper()
	s.mustKubectl(fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{"app":%[1]q}},"spec":{"restartPolicy":"Never",%s
		"containers":[{"name":"main","image":"pipelinejob.dev/sample-work:dev",%s"command":["sh","-c",%q]}]}}`,
		name, spec, container, script), "create", "-f", "-")
}

func (s *smoke) testWork(t *testing.T) {
	s.in(t).startServer()
	for name, test := range map[string]func(*smoke){
		"out of memory": (*smoke).testOOM, "deadline": (*smoke).testDeadline, "service": (*smoke).testService,
		"port-forward": (*smoke).testPortForward, "API from a pod": (*smoke).testAPIFromPod,
		"pod security": (*smoke).testPodSecurity, "reach the machine": (*smoke).testReachMachine,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(s.in(t))
		})
	}
}

func (s *smoke) startServer() {
	s.pod("web", "mkdir /tmp/w; echo hi there > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w", "", "")
	s.mustKubectl("", "expose", "pod", "web", "--port=80", "--target-port=8080")
	s.eventually("Running", "get", "pod", "web", "-o", "jsonpath={.status.phase}")
}

func (s *smoke) testOOM() {
	s.pod("oom", "tail /dev/zero", "", `"resources":{"limits":{"memory":"32Mi"}},`)
	s.eventually("OOMKilled", "get", "pod", "oom", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.reason}")
}

func (s *smoke) testDeadline() {
	s.mustKubectl(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"late"},"spec":{"activeDeadlineSeconds":3,"template":{"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":1,
		"containers":[{"name":"main","image":"pipelinejob.dev/sample-work:dev","command":["sleep","600"]}]}}}}`, "create", "-f", "-")
	s.eventually("DeadlineExceeded", "get", "job", "late", "-o", "jsonpath={.status.conditions[*].reason}")
}

func (s *smoke) testService() {
	ip := s.mustKubectl("", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	script := "until wget -q -O - http://" + ip + "/; do sleep 1; done"
	s.pod("client", script, `"activeDeadlineSeconds":60,`, "")
	s.eventually("hi there", "logs", "client")
	s.wantPage("http://" + ip + "/")
}

func (s *smoke) testReachMachine() {
	n, _, err := s.loadNetwork()
	if err != nil {
		s.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", n.host().String()+":0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the machine") }))
	}()
	s.pod("out", "wget -q -O - http://"+listener.Addr().String()+"/", "", "")
	s.eventually("the machine", "logs", "out")
}

func (s *smoke) testPortForward() {
	cmd := exec.Command(s.asset("kubectl"), "--kubeconfig", s.kubeconfig(), "port-forward", "pod/web", ":8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line := make([]byte, 200)
	n, _ := out.Read(line)
	_, rest, _ := strings.Cut(string(line[:n]), "from ")
	address, _, _ := strings.Cut(rest, " ")
	s.wantPage("http://" + address + "/")
}

func (s *smoke) wantPage(url string) {
	s.t.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !bytes.Contains(body, []byte("hi there")) {
		s.t.Errorf("%s: %q", url, body)
	}
}

// testAPIFromPod uses a pod's service account through the Service of the API server: the request
// must be authenticated, and so be forbidden.
func (s *smoke) testAPIFromPod() {
	bin := filepath.Dir(s.assets)
	s.pod("api", "/host/kube kubectl auth whoami; /host/kube kubectl get secrets; true",
		fmt.Sprintf(`"volumes":[{"name":"host","hostPath":{"path":%q}}],`, bin),
		`"volumeMounts":[{"name":"host","mountPath":"/host","readOnly":true}],`)
	s.eventually("system:serviceaccount:default:default", "logs", "api")
	s.eventually(`cannot list resource "secrets"`, "logs", "api")
}

func (s *smoke) testPodSecurity() {
	s.mustKubectl(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"strict","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`, "create", "-f", "-")
	err := poll(context.Background(), 30*time.Second, func(context.Context) error {
		out, _ := s.kubectl("", "-n", "strict", "run", "bad", "--image=pipelinejob.dev/sample-work:dev", "--privileged")
		if !strings.Contains(out, "violates PodSecurity") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}

// testHeal kills every component, one after the other.
func (s *smoke) testHeal(t *testing.T) {
	victims := append(componentNames(), "the supervisor", "the first process", "the link", "everything")
	for _, victim := range victims {
		t.Run(victim, func(t *testing.T) {
			s := s.in(t)
			s.kill(victim)
			s.mustRun("up")
			s.job("after-" + strings.ReplaceAll(victim, " ", "-"))
		})
	}
}

// testDown kills every component and removes the cluster each time.
func (s *smoke) testDown(t *testing.T) {
	victims := append([]string{""}, componentNames()...)
	victims = append(victims, "the shims", "the supervisor", "the first process", "the link", "everything", "down itself")
	for i, victim := range victims {
		t.Run("without "+victim, func(t *testing.T) {
			s := s.in(t)
			if i > 0 {
				s.mustRun("up")
			}
			s.pod("busy", "while :; do sleep 1; done", "", "")
			s.eventually("Running", "get", "pod", "busy", "-o", "jsonpath={.status.phase}")
			s.kill(victim)
			s.mustRun("down")
			s.nothingLeft()
			s.mustRun("down")
		})
	}
}

func (s *smoke) kill(victim string) {
	s.t.Helper()
	initPID := s.findInit()
	if initPID == 0 {
		s.t.Fatal("the cluster isn't up")
	}
	pids := s.componentPIDs(initPID)
	switch victim {
	case "":
	case "the supervisor":
		s.killMatching(initPID, func(args []string) bool { return len(args) > 1 && args[1] == nodeArg })
	case "the shims":
		s.killMatching(initPID, func(args []string) bool { return filepath.Base(args[0]) == "containerd-shim-runc-v2" })
	case "the first process":
		s.sigkill(initPID)
	case "the link":
		if err := s.unlink(); err != nil {
			s.t.Fatal(err)
		}
	case "everything":
		for _, pid := range pids {
			s.sigkill(pid)
		}
	case "down itself":
		s.interruptDown()
	default:
		if pids[victim] == 0 {
			s.t.Fatalf("%s does not run", victim)
		}
		s.sigkill(pids[victim])
	}
}

func (s *smoke) sigkill(pid int) {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Errorf("kill %d: %v", pid, err)
	}
}

// killMatching kills processes of the cluster's PID namespace.
func (s *smoke) killMatching(initPID int, match func([]string) bool) {
	s.t.Helper()
	want, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", initPID))
	killed := 0
	for _, pid := range allPIDs() {
		got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if args := cmdline(pid); got == want && len(args) > 0 && match(args) {
			s.sigkill(pid)
			killed++
		}
	}
	if killed == 0 {
		s.t.Error("found no process to kill")
	}
}

func (s *smoke) interruptDown() {
	cmd := exec.Command(s.program, s.args("down")...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	err := poll(context.Background(), 10*time.Second, func(context.Context) error {
		if s.findInit() != 0 {
			return fmt.Errorf("the node still runs")
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// noNothing checks that nothingLeft finds a running cluster.
func (s *smoke) noNothing() {
	if left := s.leftovers(); len(left) < 4 {
		s.t.Fatalf("of a cluster that is up, only this is seen: %v", left)
	}
}

func (s *smoke) nothingLeft() {
	s.t.Helper()
	if left := s.leftovers(); len(left) > 0 {
		s.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// leftovers finds everything that a cluster creates, independently of the program: by the cluster's
// folder and by its name on the machine.
func (s *smoke) leftovers() []string {
	var left []string
	for _, pid := range allPIDs() {
		args := cmdline(pid)
		cgroups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		mine := strings.Contains(strings.Join(args, " "), "--name="+s.name) && strings.Contains(strings.Join(args, " "), s.root)
		if strings.Contains(strings.Join(args, " "), s.dir+"/") || mine || strings.Contains(string(cgroups), s.id()) {
			left = append(left, fmt.Sprintf("process %d: %v", pid, args))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.dir) || strings.Contains(line, "/run/netns/") {
			left = append(left, "mount: "+line)
		}
	}
	if s.linked() {
		left = append(left, "interface "+s.id())
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + s.id(), "/sys/fs/cgroup/*/" + s.id(), "/run/netns/*", "/run/containerd", "/var/lib/kubelet", "/var/lib/containerd", "/opt/containerd", "/var/lib/cni", "/var/log/pods", "/var/log/containers", s.dir} {
		found, _ := filepath.Glob(pattern)
		left = append(left, found...)
	}
	return left
}
