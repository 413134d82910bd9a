//go:build bench

package bench

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// kueueConfiguration is Kueue's configuration. Its placeholders are the ports of probes and
// webhooks, and the folder with their certificate. There are no webhooks: Jobs are created as the
// webhook would change them. Rates and concurrency are high enough not to be the limit.
const kueueConfiguration = `apiVersion: config.kueue.x-k8s.io/v1beta2
kind: Configuration
namespace: kueue-system
health:
  healthProbeBindAddress: 127.0.0.1:%d
metrics:
  bindAddress: "0"
webhook:
  host: 127.0.0.1
  port: %d
  certDir: %s
leaderElection:
  leaderElect: false
internalCertManagement:
  enable: false
clientConnection:
  qps: 1000
  burst: 2000
controller:
  groupKindConcurrency:
    Job.batch: 20
    Workload.kueue.x-k8s.io: 20
integrations:
  frameworks: [batch/job]
`

// kueueObjects is a queue with capacity for all Jobs.
const kueueObjects = `apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata:
  name: all
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata:
  name: all
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [cpu]
    flavors:
    - name: all
      resources:
      - name: cpu
        nominalQuota: "1000000"
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata:
  namespace: ` + namespace + `
  name: all
spec:
  clusterQueue: all
`

const kueueNamespace = "kueue-system"

// admitted measures Jobs that a client creates as suspended and Kueue admits.
func admitted(t *testing.T, jobs int) figures {
	c := newCluster(t, os.Getenv("KUEUE_CRDS"))
	c.startKueue()
	job := oneContainer()
	job.Labels = map[string]string{"kueue.x-k8s.io/queue-name": "all"}
	job.Spec.Suspend = ptr.To(true)
	f, _ := c.measure(jobs, userKueue, c.creating(jobs, job), func() int { return c.completeJobs(namespace) })
	return f
}

// startKueue starts Kueue and waits until its queue is active.
func (c *cluster) startKueue() {
	c.Expect(c.kube.Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: kueueNamespace}})).To(Succeed())
	probes, certificates, configuration := freePort(c.WithT), c.t.TempDir(), filepath.Join(c.t.TempDir(), "kueue.yaml")
	c.Expect(os.WriteFile(configuration, fmt.Appendf(nil, kueueConfiguration, probes, freePort(c.WithT), certificates), 0o600)).To(Succeed())
	writeCertificate(c.t, certificates)
	writeCertificate(c.t, "/etc/kueue/metrics/certs") // Kueue uses no other folder
	c.launch(processKueue, os.Getenv("KUEUE"), []string{"KUBECONFIG=" + c.kubeconfig(userKueue)},
		"--config="+configuration, "--feature-gates=VisibilityOnDemand=false", "--zap-log-level=error")
	c.await(func(g Gomega) {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", probes)) //nolint:noctx // the test's timeout bounds it
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = response.Body.Close() }()
		g.Expect(response.StatusCode).To(Equal(http.StatusOK))
	})
	c.openQueue()
}

func (c *cluster) openQueue() {
	for document := range strings.SplitSeq(kueueObjects, "---\n") {
		object := &unstructured.Unstructured{}
		c.Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed())
		c.Expect(c.kube.Create(c.t.Context(), object)).To(Succeed())
		if object.GetKind() == "ResourceFlavor" {
			continue // without a status
		}
		c.await(func(g Gomega) {
			g.Expect(c.kube.Get(c.t.Context(), client.ObjectKeyFromObject(object), object)).To(Succeed())
			conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Active"), HaveKeyWithValue("status", "True"))))
		})
	}
}
