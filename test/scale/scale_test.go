//go:build scale

// Package scale measures what many CustomActions cost one operator: the real program, with a real
// API server and the emulator. `make scale` runs it.
package scale

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

const (
	interval = 30 * time.Second
	// perRegion is CodePipeline's quota of custom action types in a region.
	perRegion = 50
	// span is the time over which polls are counted.
	span = 2 * interval
	// timeout is how long all actions may take to become ready.
	timeout = 5 * time.Minute
)

// figures are the measurements of an operator.
type figures struct {
	actions        int
	ready          time.Duration
	resident, heap float64 // MiB
	goroutines     float64
	polls          int     // within span
	busiest        int     // polls in the busiest second
	most, fewest   int     // polls of one action within span
	cpu            float64 // seconds of processor time within span
}

// TestManyActions measures one action, and then ACTIONS actions.
func TestManyActions(t *testing.T) {
	many := number(t, "ACTIONS", 500)
	var measured []figures
	for _, actions := range []int{1, many} {
		t.Run(strconv.Itoa(actions), func(t *testing.T) { measured = append(measured, measure(t, actions)) })
	}
	for _, f := range measured {
		t.Logf("%4d actions: ready after %s; %.0f MiB resident, %.0f MiB heap, %.0f goroutines; in %s %d polls, %d in the busiest second, %d to %d for an action, %.1f s of processor time",
			f.actions, f.ready.Round(100*time.Millisecond), f.resident, f.heap, f.goroutines, span, f.polls, f.busiest, f.fewest, f.most, f.cpu)
	}
}

func measure(t *testing.T, actions int) figures {
	g := NewWithT(t)
	s := newSite(t, emulator.Options{})
	config, kube, aws := s.config, s.kube, s.aws
	g.Expect(kube.Create(t.Context(), account(actions))).To(Succeed())
	for i := range actions {
		g.Expect(kube.Create(t.Context(), action(i))).To(Succeed())
	}

	began := time.Now()
	metrics := operate(t, config, aws.URL())
	g.Eventually(func() int { return ready(t.Context(), g, kube) }).WithTimeout(timeout).WithPolling(100 * time.Millisecond).Should(Equal(actions))
	f := figures{actions: actions, ready: time.Since(began)}

	g.Eventually(func() int { return len(polls(aws)) }).WithTimeout(timeout).WithPolling(time.Second).Should(BeNumerically(">=", actions))
	from, cpu := time.Now(), scrape(g, metrics, "process_cpu_seconds_total")
	g.Eventually(func() time.Duration { return time.Since(from) }).WithTimeout(2 * span).WithPolling(time.Second).Should(BeNumerically(">=", span))
	f.cpu = scrape(g, metrics, "process_cpu_seconds_total") - cpu
	f.resident = scrape(g, metrics, "process_resident_memory_bytes") / (1 << 20)
	f.heap = scrape(g, metrics, "go_memstats_heap_inuse_bytes") / (1 << 20)
	f.goroutines = scrape(g, metrics, "go_goroutines")
	f.count(polls(aws), from, from.Add(span))

	g.Expect(f.most).To(BeNumerically("<=", int(span/interval)+1), "an idle action costs a poll an interval")
	g.Expect(f.fewest).To(BeNumerically(">=", int(span/interval)-1))
	g.Expect(f.busiest).To(BeNumerically("<=", 4*(1+actions*int(time.Second)/int(interval))), "the polls are spread over the interval")
	return f
}

// count counts the polls between two times.
func (f *figures) count(calls []emulator.Call, from, to time.Time) {
	seconds, actions := map[int64]int{}, map[string]int{}
	for _, call := range calls {
		if call.Time.Before(from) || !call.Time.Before(to) {
			continue
		}
		f.polls++
		seconds[call.Time.Unix()]++
		actions[call.Region+string(call.Request)]++
	}
	f.fewest = f.polls
	for _, count := range actions {
		f.most, f.fewest = max(f.most, count), min(f.fewest, count)
	}
	for _, count := range seconds {
		f.busiest = max(f.busiest, count)
	}
}

// accountName is the name of the account that all actions use.
const accountName = "default"

// account returns an account that grants the actions' namespace access, with all their regions.
func account(actions int) *v1alpha1.CodePipelineAccount {
	return harness.NewAccount("default", func(a *v1alpha1.CodePipelineAccount) {
		a.Spec.Regions = nil
		for i := 0; i < max(actions, 1); i += perRegion {
			a.Spec.Regions = append(a.Spec.Regions, regionOf(i))
		}
	})
}

// regionOf returns the region of an action.
func regionOf(i int) v1alpha1.Region {
	return v1alpha1.Region(fmt.Sprintf("us-east-%d", i/perRegion+1))
}

func action(i int) *v1alpha1.CustomAction {
	made := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("work-%d", i)}}
	made.Spec.AccountRef.Name, made.Spec.Region = accountName, regionOf(i)
	made.Spec.ActionType = v1alpha1.ActionType{Category: "Test", Provider: fmt.Sprintf("work-%d", i), Version: "1"}
	made.Spec.Polling = v1alpha1.Polling{Interval: metav1.Duration{Duration: interval}, MaxConcurrentJobs: 10}
	made.Spec.JobTemplate = batchv1.JobTemplateSpec{}
	made.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "work", Image: "work:1"}}
	return made
}

func ready(ctx context.Context, g *WithT, kube client.Client) int {
	var list v1alpha1.CustomActionList
	g.Expect(kube.List(ctx, &list)).To(Succeed())
	return len(slices.DeleteFunc(list.Items, func(a v1alpha1.CustomAction) bool {
		return !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
	}))
}

func polls(aws *emulator.Server) []emulator.Call {
	return slices.DeleteFunc(aws.Journal(), func(call emulator.Call) bool { return call.Operation != "PollForJobs" })
}

// operate starts the operator as a separate process, with additional environment variables, and
// returns the address of its metrics.
func operate(t *testing.T, config *rest.Config, endpoint string, environment ...string) string {
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	var log bytes.Buffer
	operator := exec.Command(os.Getenv("MANAGER"), "--kubeconfig="+kubeconfig(t, config), "--metrics-bind-address="+address, "--metrics-secure=false",
		"--pprof", "--health-probe-bind-address=0", "--runner-image=operator:test", "--zap-log-level=error")
	operator.Env = append(append(os.Environ(), environment...), "AWS_ENDPOINT_URL="+endpoint, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1")
	operator.Stdout, operator.Stderr = &log, &log
	g.Expect(operator.Start()).To(Succeed())
	t.Cleanup(func() {
		g.Expect(operator.Process.Signal(os.Interrupt)).To(Succeed())
		g.Expect(operator.Wait()).To(Succeed(), log.String())
	})
	return "http://" + address + "/metrics"
}

func kubeconfig(t *testing.T, config *rest.Config) string {
	g := NewWithT(t)
	content, err := yaml.Marshal(clientcmd.Config{
		CurrentContext: "test",
		Contexts:       []clientcmd.NamedContext{{Name: "test", Context: clientcmd.Context{Cluster: "test", AuthInfo: "test"}}},
		Clusters:       []clientcmd.NamedCluster{{Name: "test", Cluster: clientcmd.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: "test", AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
		}}},
	})
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	return file
}

// scrape returns the value of a metric without labels.
func scrape(g *WithT, address, name string) float64 { return scrapeSum(g, address, name+" ") }

// scrapeSum returns the sum of the series whose lines begin with prefix.
func scrapeSum(g *WithT, address, prefix string) (sum float64) {
	response, err := http.Get(address) //nolint:gosec,noctx // the operator's own address
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	found := false
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), prefix) {
			value, err := strconv.ParseFloat(lines.Text()[strings.LastIndex(lines.Text(), " ")+1:], 64)
			g.Expect(err).NotTo(HaveOccurred())
			sum += value
			found = true
		}
	}
	g.Expect(lines.Err()).NotTo(HaveOccurred())
	g.Expect(found).To(BeTrue(), "there is no metric %s", prefix)
	return sum
}
