// Package metrics has the operator's metrics for Prometheus. The number of label values is
// bounded by the existing CustomActions and constants in the code.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_aws_requests_total",
		Help: "Calls to AWS by operation and result: ok, or the kind of the error.",
	}, []string{"operation", "result"})
	latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pipelinejob_aws_request_duration_seconds",
		Help:    "Duration of calls to AWS by operation, including retries of reads.",
		Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
	}, []string{"operation"})
	polls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_polls_total",
		Help: "Polls for jobs by CustomAction and result: jobs, empty or error.",
	}, []string{"namespace", "action", "result"})
	polled = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_jobs_polled_total",
		Help: "Jobs that polls handed out by CustomAction, including jobs that were handed out again.",
	}, []string{"namespace", "action"})
	claims = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_claims_total",
		Help: "Finished claims (AcknowledgeJob) by CustomAction and result: the reason of condition Acknowledged.",
	}, []string{"namespace", "action", "result"})
	reports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_reports_total",
		Help: "Results that CodePipeline took, or will never take, by CustomAction and result: Succeeded, Failed, Cancelled, Continued, Progress or Unreported.",
	}, []string{"namespace", "action", "result"})
	start = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "pipelinejob_job_start_duration_seconds",
		Help:    "Time from the poll that handed out a job to the creation of the Kubernetes Job that it started.",
		Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
	})
	deletedUnreported = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pipelinejob_deleted_unreported_total",
		Help: "PipelineJobs that were deleted without a report to CodePipeline, because calls to AWS failed.",
	})
	deletedNotDeregistered = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pipelinejob_deleted_not_deregistered_total",
		Help: "CustomActions that were deleted with deletionPolicy Delete although their action type could not be deleted.",
	})
	wakeUps = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pipelinejob_event_messages_total",
		Help: "Messages of the event queue by result: woke, cancelled, ignored or invalid.",
	}, []string{"result"})
	namespacesWaiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pipelinejob_namespaces_waiting",
		Help: "Namespaces of --namespaces that do not exist, or in which the operator lacks permissions.",
	})
)

func init() {
	ctrlmetrics.Registry.MustRegister(requests, latency, polls, polled, claims, reports, start, wakeUps, deletedUnreported, deletedNotDeregistered, namespacesWaiting)
}

// NamespacesWaiting sets the number of namespaces in which the operator can't work.
func NamespacesWaiting(count int) { namespacesWaiting.Set(float64(count)) }

// Request counts a call to AWS. result is ok or the kind of the error.
func Request(operation string, took time.Duration, result string) {
	requests.WithLabelValues(operation, result).Inc()
	latency.WithLabelValues(operation).Observe(took.Seconds())
}

// Poll counts a poll, and the jobs that it handed out.
func Poll(action types.NamespacedName, jobs int, err error) {
	result := "jobs"
	switch {
	case err != nil:
		result = "error"
	case jobs == 0:
		result = "empty"
	}
	polls.WithLabelValues(action.Namespace, action.Name, result).Inc()
	polled.WithLabelValues(action.Namespace, action.Name).Add(float64(jobs))
}

// Claim counts the end of a claim.
func Claim(action types.NamespacedName, result string) {
	claims.WithLabelValues(action.Namespace, action.Name, result).Inc()
}

// Report counts the end of a report.
func Report(action types.NamespacedName, result string) {
	reports.WithLabelValues(action.Namespace, action.Name, result).Inc()
}

// Start observes the time from a poll to the Kubernetes Job.
func Start(took time.Duration) { start.Observe(took.Seconds()) }

// DeletedUnreported counts a PipelineJob that was deleted without a report to
// CodePipeline. It has no labels: the CustomAction may be gone.
func DeletedUnreported() { deletedUnreported.Inc() }

// DeletedNotDeregistered counts a CustomAction that was deleted although its action
// type could not be deleted. It has no labels: the CustomAction is gone.
func DeletedNotDeregistered() { deletedNotDeregistered.Inc() }

// Message counts a message of the event queue.
func Message(result string) { wakeUps.WithLabelValues(result).Inc() }

// Forget drops the series of a CustomAction that is gone.
func Forget(action types.NamespacedName) {
	labels := prometheus.Labels{"namespace": action.Namespace, "action": action.Name}
	for _, counter := range []*prometheus.CounterVec{polls, polled, claims, reports} {
		counter.DeletePartialMatch(labels)
	}
}
