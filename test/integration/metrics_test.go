package integration

import (
	"os"
	"regexp"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// sample returns the value of a metric for the action "work". result is empty for metrics without
// that label.
func (w *world) sample(g Gomega, from prometheus.Gatherer, name, result string) float64 {
	families, err := from.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	want := map[string]string{"namespace": w.Namespace, "action": "work"}
	if result != "" {
		want["result"] = result
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if len(labels) == len(want) && !slices.ContainsFunc([]string{"namespace", "action", "result"}, func(label string) bool { return labels[label] != want[label] }) {
				return metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func TestMetricsFollowAJob(t *testing.T) {
	w := newWorld(t)
	inventory := prometheus.NewPedanticRegistry()
	w.adjust = append(w.adjust, func(o *operator.Options) { o.Metrics = inventory })
	w.operate()
	action := w.Action(func(a *v1alpha1.CustomAction) { a.Spec.Polling.MaxConcurrentJobs = 7 })
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.StartPipeline(nil)
	job := w.RunningJob(1)
	w.Await(func(g Gomega) {
		g.Expect(w.sample(g, inventory, "pipelinejob_custom_action_ready", "")).To(Equal(1.0))
		g.Expect(w.sample(g, inventory, "pipelinejob_jobs_in_flight", "")).To(Equal(1.0))
		g.Expect(w.sample(g, inventory, "pipelinejob_free_slots", "")).To(Equal(6.0))
		g.Expect(w.sample(g, inventory, "pipelinejob_oldest_unreported_job_age_seconds", "")).To(BeNumerically(">", 0))
	})
	w.Succeed(job, podcontract.Result{})
	w.Await(func(g Gomega) {
		g.Expect(w.sample(g, inventory, "pipelinejob_jobs_in_flight", "")).To(BeZero())
		g.Expect(w.sample(g, inventory, "pipelinejob_free_slots", "")).To(Equal(7.0))
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_claims_total", v1alpha1.ReasonAcknowledged)).To(Equal(1.0))
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_reports_total", string(v1alpha1.PhaseSucceeded))).To(Equal(1.0))
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_jobs_polled_total", "")).To(Equal(1.0))
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_polls_total", "jobs")).To(Equal(1.0))
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_polls_total", "empty")).To(BeNumerically(">", 0))
	})
	for _, registry := range []prometheus.Gatherer{inventory, ctrlmetrics.Registry} {
		problems, err := testutil.GatherAndLint(registry, documentedMetrics(w)...)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(problems).To(BeEmpty())
	}

	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(w.sample(g, inventory, "pipelinejob_jobs_in_flight", "")).To(Equal(-1.0), "the series is gone")
		g.Expect(w.sample(g, ctrlmetrics.Registry, "pipelinejob_claims_total", v1alpha1.ReasonAcknowledged)).To(Equal(-1.0))
	})
}

func TestMetricsAreDocumented(t *testing.T) {
	g := NewWithT(t)
	name := regexp.MustCompile(`"(pipelinejob_[a-z_]+)"`)
	declared := slices.Concat(matchesIn(g, "../../internal/operator/collector.go", name), matchesIn(g, "../../internal/metrics/metrics.go", name))
	g.Expect(documentedMetrics(g)).To(ConsistOf(declared))
}

// documentedMetrics returns the metrics in docs/metrics.md.
func documentedMetrics(g Gomega) []string {
	return matchesIn(g, "../../docs/metrics.md", regexp.MustCompile("(?m)^\\| `(pipelinejob_[a-z_]+)`"))
}

func matchesIn(g Gomega, file string, pattern *regexp.Regexp) (found []string) {
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	for _, match := range pattern.FindAllSubmatch(content, -1) {
		found = append(found, string(match[1]))
	}
	return found
}
