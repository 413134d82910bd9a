package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/eventqueue"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// eventful returns a world with an event queue, and an action that is polled for every five
// minutes. Anything earlier must be caused by an event.
func eventful(t *testing.T) (w *world, queue *sqs.Client) {
	w = newWorld(t, func(o *emulator.Options) { o.EventQueue = "events" })
	cfg, err := config.LoadDefaultConfig(w.Ctx, w.Cloud()...)
	w.Expect(err).NotTo(HaveOccurred())
	w.adjust = append(w.adjust, func(o *operator.Options) { o.EventQueueURL = w.queueURL() })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.Polling.Interval = metav1.Duration{Duration: 5 * time.Minute}
	}))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady) // the first poll has ended
	return w, sqs.NewFromConfig(cfg)
}

func (w *world) queueURL() string { return w.Endpoint + "/111122223333/events" }

// last returns when the last call of an operation was made.
func (w *world) last(operation string) (at time.Time) {
	for _, call := range w.AWS.Journal() {
		if call.Operation == operation {
			at = call.Time
		}
	}
	return at
}

// left returns the number of messages in the queue, including received ones.
func (w *world) left(g Gomega, queue *sqs.Client) string {
	found, err := queue.GetQueueAttributes(w.Ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(w.queueURL())})
	g.Expect(err).NotTo(HaveOccurred())
	return found.Attributes["ApproximateNumberOfMessages"] + "+" + found.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func TestEventStartsAJobAtOnce(t *testing.T) {
	w, queue := eventful(t)
	polls := w.Calls("PollForJobs")
	w.StartPipeline(nil)
	started := w.last("StartPipelineExecution")
	w.RunningJob(1)
	t.Logf("claimed %s after the action started", w.last("AcknowledgeJob").Sub(started).Round(time.Millisecond))
	w.Expect(w.Calls("PollForJobs")).To(BeNumerically(">", polls))
	w.Await(func(g Gomega) { g.Expect(w.left(g, queue)).To(Equal("0+0"), "what was handled is deleted") })
}

func TestEventOfAnAbandonedActionCancels(t *testing.T) {
	w, _ := eventful(t) // without events, stopped executions are not checked here
	w.StartPipeline(nil)
	w.RunningJob(1)
	executions, err := w.Pipelines.ListPipelineExecutions(w.Ctx, &sdk.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.Pipelines.StopPipelineExecution(w.Ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: executions.PipelineExecutionSummaries[0].PipelineExecutionId, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Await(func(g Gomega) {
		pj := w.PipelineJob(g)
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.PhaseCancelled))
		reported := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionReported)
		g.Expect(reported).To(HaveField("Reason", v1alpha1.ReasonJobNoLongerOpen))
		g.Expect(reported.Message).To(Equal("the pipeline execution was stopped and its actions were abandoned"))
		g.Expect(w.Jobs(g)).To(BeEmpty(), "the work was stopped")
	})
	w.Expect(w.Calls("PutJobFailureResult")).To(BeZero(), "nobody waits for a result")
}

func TestMessagesThatAreNoEventsAreSkipped(t *testing.T) {
	w, queue := eventful(t)
	before := invalidMessages(w)
	for _, body := range []string{"hello", `{"detail-type": "Something else"}`, `{`} {
		_, err := queue.SendMessage(w.Ctx, &sqs.SendMessageInput{QueueUrl: aws.String(w.queueURL()), MessageBody: &body})
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.Await(func(g Gomega) { g.Expect(w.left(g, queue)).To(Equal("0+0")) })
	w.Expect(invalidMessages(w)).To(BeNumerically(">=", before+3))
	w.StartPipeline(nil)
	w.RunningJob(1)
}

// invalidMessages returns the metric for invalid messages, which counts those of all tests.
func invalidMessages(g Gomega) float64 {
	families, err := ctrlmetrics.Registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "pipelinejob_event_messages_total" && metric.GetLabel()[0].GetValue() == eventqueue.ResultInvalid {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestQueueThatCantBeReadForAWhile(t *testing.T) {
	w, _ := eventful(t)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "ReceiveMessage", Kind: emulator.AccessDenied})).To(Succeed())
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "DeleteMessageBatch", Kind: emulator.ResetAfter})).To(Succeed())
	w.StartPipeline(nil)
	w.RunningJob(1)
}
