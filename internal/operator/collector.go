package operator

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

var (
	inFlightGauge = prometheus.NewDesc("pipelinejob_jobs_in_flight",
		"PipelineJobs that are not reported yet, by CustomAction.", []string{"namespace", "action"}, nil)
	freeGauge = prometheus.NewDesc("pipelinejob_free_slots",
		"Free slots of a CustomAction's polling.maxConcurrentJobs.", []string{"namespace", "action"}, nil)
	oldestGauge = prometheus.NewDesc("pipelinejob_oldest_unreported_job_age_seconds",
		"Age of the oldest PipelineJob that is not reported yet, by CustomAction; 0 without any.", []string{"namespace", "action"}, nil)
	readyGauge = prometheus.NewDesc("pipelinejob_custom_action_ready",
		"1 if the CustomAction is ready, otherwise 0.", []string{"namespace", "action"}, nil)
)

// scrapeTimeout limits reading the cache for a scrape.
const scrapeTimeout = 5 * time.Second

// collector calculates metrics from the cache at each scrape, so that they are current and there
// are no series of deleted objects. Only the leader has any.
type collector struct {
	reader  client.Reader
	clock   clock.PassiveClock
	elected <-chan struct{}
	log     logr.Logger
}

// Describe implements prometheus.Collector.
func (collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{inFlightGauge, freeGauge, oldestGauge, readyGauge} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (i collector) Collect(found chan<- prometheus.Metric) {
	select {
	case <-i.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var actions v1alpha1.CustomActionList
	var jobs v1alpha1.PipelineJobList
	if err := i.reader.List(ctx, &actions, client.UnsafeDisableDeepCopy); err != nil {
		i.log.Error(err, "Metrics lack the CustomActions")
		return
	}
	if err := i.reader.List(ctx, &jobs, client.MatchingFields{poller.IndexInFlight: poller.OfAnyAction}, client.UnsafeDisableDeepCopy); err != nil {
		i.log.Error(err, "Metrics lack the PipelineJobs")
		return
	}
	tallies := tally(jobs.Items, i.clock.Now())
	for n := range actions.Items {
		action := &actions.Items[n]
		counted := tallies[client.ObjectKeyFromObject(action)]
		show := func(desc *prometheus.Desc, value float64) {
			found <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, action.Namespace, action.Name)
		}
		show(inFlightGauge, float64(counted.inFlight))
		show(freeGauge, float64(max(0, action.Spec.Polling.MaxConcurrentJobs-counted.slots)))
		show(oldestGauge, counted.oldest.Seconds())
		show(readyGauge, ready(action))
	}
}

// counted has the numbers of an action's unsettled jobs.
type counted struct {
	inFlight, slots int32
	oldest          time.Duration
}

func tally(jobs []v1alpha1.PipelineJob, now time.Time) map[types.NamespacedName]counted {
	tallies := map[types.NamespacedName]counted{}
	for i := range jobs {
		name := naming.ActionOf(&jobs[i])
		of := tallies[name]
		of.inFlight++
		if poller.TakesSlot(&jobs[i]) {
			of.slots++
		}
		of.oldest = max(of.oldest, now.Sub(jobs[i].CreationTimestamp.Time))
		tallies[name] = of
	}
	return tallies
}

func ready(action *v1alpha1.CustomAction) float64 {
	if meta.IsStatusConditionTrue(action.Status.Conditions, v1alpha1.ConditionReady) {
		return 1
	}
	return 0
}

var (
	waitingGauge = prometheus.NewDesc("pipelinejob_aws_calls_waiting",
		"Calls to AWS that wait for room in the lane of an account and region.", []string{"account", "region"}, nil)
	inFlightCallsGauge = prometheus.NewDesc("pipelinejob_aws_calls_in_flight",
		"Calls to AWS in flight in the lane of an account and region.", []string{"account", "region"}, nil)
	rateGauge = prometheus.NewDesc("pipelinejob_aws_call_rate",
		"Current limit of calls per second of an operation in the lane of an account and region, after throttling.", []string{"account", "region", "operation"}, nil)
)

// laneCollector has the metrics of the lanes. The account is empty for the
// operator's own identity.
type laneCollector struct{ lanes *lanes.Lanes }

// Describe implements prometheus.Collector.
func (laneCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{waitingGauge, inFlightCallsGauge, rateGauge} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c laneCollector) Collect(found chan<- prometheus.Metric) {
	for of, load := range c.lanes.Loads() {
		found <- prometheus.MustNewConstMetric(waitingGauge, prometheus.GaugeValue, float64(load.Waiting), of.Account, of.Region)
		found <- prometheus.MustNewConstMetric(inFlightCallsGauge, prometheus.GaugeValue, float64(load.InFlight), of.Account, of.Region)
		for operation, rate := range load.Rates {
			found <- prometheus.MustNewConstMetric(rateGauge, prometheus.GaugeValue, rate, of.Account, of.Region, operation)
		}
	}
}

// observer counts the calls of CodePipeline's clients, and reports them to their lane.
func observer(calls *lanes.Lanes) func(codepipeline.Identity, string, time.Duration, error) {
	return func(id codepipeline.Identity, operation string, took time.Duration, err error) {
		observeCall(operation, took, err)
		calls.Answered(lanes.Of(id), operation, answerOf(err))
	}
}

func answerOf(err error) lanes.Answer {
	switch {
	case err == nil:
		return lanes.AnswerGiven
	case codepipeline.IsThrottle(err):
		return lanes.AnswerThrottled
	case codepipeline.KindOf(err) == codepipeline.Unclear:
		return lanes.AnswerNone
	default:
		return lanes.AnswerGiven
	}
}

// observeCall counts a call to AWS.
func observeCall(operation string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = codepipeline.KindOf(err).String()
	}
	metrics.Request(operation, took, result)
}
