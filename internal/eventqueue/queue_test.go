package eventqueue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// forAWhile is far longer than the timeouts of these tests.
const forAWhile = 30 * time.Second

// TestEachCallOfTheQueueHasADeadline does not answer a call at first. Once it does, the message is
// received and deleted.
func TestEachCallOfTheQueueHasADeadline(t *testing.T) {
	for _, kind := range []emulator.FaultKind{emulator.BlackHole, emulator.HalfAnswer} {
		for _, operation := range []string{"ReceiveMessage", "DeleteMessageBatch"} {
			t.Run(string(kind)+" "+operation, func(t *testing.T) {
				g := NewWithT(t)
				server := emulator.StartT(t, emulator.Options{})
				for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL(), "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"} {
					t.Setenv(name, value)
				}
				client := sqs.NewFromConfig(server.AWSConfig())
				made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("events")})
				g.Expect(err).NotTo(HaveOccurred())
				send := func() {
					_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String(event)})
					g.Expect(err).NotTo(HaveOccurred())
				}
				queue, err := New(t.Context(), Options{
					URL: *made.QueueUrl, Handler: recorder{polled: true}, Clock: clock.RealClock{}, Log: logr.Discard(), Timeout: 500 * time.Millisecond,
					Observe: func(string, time.Duration, error) {}, Count: func(string) {},
				}, codepipeline.NewClients(codepipeline.ClientsOptions{}))
				g.Expect(err).NotTo(HaveOccurred())
				round := func() error { return queue.round(context.WithoutCancel(t.Context())) }

				g.Expect(server.Inject(emulator.Fault{Operation: operation, Kind: kind, Probability: 1, Delay: 20 * time.Millisecond})).To(Succeed())
				send()
				done := make(chan error, 1)
				go func() { done <- round() }()
				g.Eventually(done).WithTimeout(forAWhile).Should(Receive(And(
					MatchError(ContainSubstring(operation+": no response in time")), WithTransform(codepipeline.KindOf, Equal(codepipeline.Unclear)))))
				server.ClearFaults()
				g.Eventually(func() error {
					send() // HalfAnswer took effect: the first message is invisible or deleted
					return round()
				}).WithTimeout(forAWhile).Should(Succeed())
			})
		}
	}
}

// TestALongPollFitsIntoTheDeadline checks the default timeout with a late response to a long poll.
func TestALongPollFitsIntoTheDeadline(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("AWS_REGION", "us-east-1")
	queue, err := New(t.Context(), Options{URL: "http://127.0.0.1/1/q"}, codepipeline.NewClients(codepipeline.ClientsOptions{}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(queue.Timeout).To(BeNumerically(">=", longPoll+margin))
}

// TestErrorsOfTheQueueAreStable checks the text in the log and the kind in metrics.
func TestErrorsOfTheQueueAreStable(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL(), "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"} {
		t.Setenv(name, value)
	}
	var observed error
	queue, err := New(t.Context(), Options{
		URL: server.URL() + "/111122223333/none", Clock: clock.RealClock{}, Log: logr.Discard(),
		Observe: func(_ string, _ time.Duration, err error) { observed = err },
	}, codepipeline.NewClients(codepipeline.ClientsOptions{}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(server.Inject(emulator.Fault{Operation: "ReceiveMessage", Kind: emulator.AccessDenied})).To(Succeed())
	err = queue.round(t.Context())
	g.Expect(err).To(MatchError(HavePrefix("receive messages: ReceiveMessage: AccessDeniedException: ")))
	g.Expect(strings.Contains(err.Error(), "RequestID")).To(BeFalse())
	g.Expect(codepipeline.KindOf(observed)).To(Equal(codepipeline.AccessDenied))
}
