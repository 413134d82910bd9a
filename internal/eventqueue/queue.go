package eventqueue

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

const (
	// longPoll is the longest wait that SQS allows for ReceiveMessage.
	longPoll = 20 * time.Second
	// batch is the maximum number of messages per call.
	batch = 10
	// margin is how long a response may take after the long poll.
	margin = 10 * time.Second
	// firstWait and lastWait limit the wait after an error.
	firstWait = time.Second
	lastWait  = time.Minute
	// endWithin limits the deletion of handled messages when the operator stops.
	endWithin = 5 * time.Second
)

// Handler handles messages.
type Handler interface {
	// Started handles a custom action that waits for a poll. It reports whether a
	// CustomAction polls for its type.
	Started(change Change) bool
	// Stopped handles a custom action that was abandoned or cancelled, so that
	// CodePipeline no longer waits for it. It reports whether there was work to stop.
	// After an error, the message is delivered again.
	Stopped(ctx context.Context, change Change) (bool, error)
}

// Results of messages.
const (
	ResultWoke      = "woke"
	ResultCancelled = "cancelled"
	ResultIgnored   = "ignored"
	ResultInvalid   = "invalid"
	resultAgain     = "" // the message is left in the queue
)

// Options are what a Queue needs.
type Options struct {
	// URL of the SQS queue.
	URL     string
	Handler Handler
	Clock   clock.Clock
	Log     logr.Logger
	// Timeout of a call. The default is the long poll plus ten seconds.
	Timeout time.Duration
	// Observe is called for each call, Count for each handled message.
	Observe func(operation string, took time.Duration, err error)
	Count   func(result string)
}

// Queue reads an SQS queue until it is stopped. It is a manager.Runnable that needs
// leader election.
type Queue struct {
	Options
	client *sqs.Client
}

// regionInURL matches the region in a queue's URL, in both forms of SQS.
var regionInURL = regexp.MustCompile(`^https://(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.`)

// New returns a Queue. Its region is that of the URL if the URL has one; clients
// have the configuration. It makes no call.
func New(ctx context.Context, o Options, clients *codepipeline.Clients) (*Queue, error) {
	region := ""
	if match := regionInURL.FindStringSubmatch(o.URL); match != nil {
		region = match[1] + match[2]
	}
	o.Timeout = cmp.Or(o.Timeout, longPoll+margin)
	// A single attempt may take the whole time, because Start retries.
	cfg, err := clients.Config(ctx, region, codepipeline.Timeouts{Attempt: o.Timeout, Call: o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration for queue %s: %w", o.URL, err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("the region of queue %s is not known: set AWS_REGION", o.URL)
	}
	return &Queue{o, sqs.NewFromConfig(cfg)}, nil
}

// NeedLeaderElection makes only the leader read the queue: only it can act.
func (q *Queue) NeedLeaderElection() bool { return true }

// Start reads until ctx ends.
func (q *Queue) Start(ctx context.Context) error {
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.Clock.After(wait):
		}
		if err := q.round(ctx); err != nil && ctx.Err() == nil {
			wait = min(max(firstWait, 2*wait), lastWait)
			q.Log.Error(err, "Events can't be read: jobs are found at the polling interval", "queue", q.URL, "retryIn", wait)
			continue
		}
		wait = 0
	}
}

// round receives one batch of messages, and deletes the handled ones.
func (q *Queue) round(ctx context.Context) error {
	began := q.Clock.Now()
	received, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.URL, MaxNumberOfMessages: batch, WaitTimeSeconds: int32(longPoll / time.Second),
	})
	err = codepipeline.Classify("ReceiveMessage", err)
	if ctx.Err() == nil {
		q.Observe("ReceiveMessage", q.Clock.Since(began), err)
	}
	if err != nil {
		return fmt.Errorf("receive messages: %w", err)
	}
	var done []types.DeleteMessageBatchRequestEntry
	for i, m := range received.Messages {
		result := q.handle(ctx, aws.ToString(m.Body))
		if result == resultAgain {
			continue
		}
		q.Count(result)
		done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	return q.remove(ctx, done)
}

// handle handles a message, and returns the result.
func (q *Queue) handle(ctx context.Context, body string) string {
	change, err := parse(body)
	if err != nil {
		q.Log.Info("Skipped a message of the event queue", "queue", q.URL, "why", err.Error())
		return ResultInvalid
	}
	switch {
	case !change.Custom:
		return ResultIgnored
	case change.State == Started && q.Handler.Started(change):
		return ResultWoke
	case change.State != Abandoned && change.State != Canceled:
		return ResultIgnored
	}
	stopped, err := q.Handler.Stopped(ctx, change)
	if err != nil {
		q.Log.Error(err, "Could not stop work that CodePipeline no longer waits for; its message will be delivered again", "actionExecutionID", change.ActionExecutionID)
		return resultAgain
	}
	if stopped {
		return ResultCancelled
	}
	return ResultIgnored
}

// remove deletes messages. A message that is not deleted is delivered again, which does
// no harm.
func (q *Queue) remove(ctx context.Context, done []types.DeleteMessageBatchRequestEntry) error {
	if len(done) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	began := q.Clock.Now()
	out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: done})
	err = codepipeline.Classify("DeleteMessageBatch", err)
	q.Observe("DeleteMessageBatch", q.Clock.Since(began), err)
	if err != nil {
		return fmt.Errorf("delete messages: %w", err)
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("delete messages: %d of %d failed: %s", len(out.Failed), len(done), aws.ToString(out.Failed[0].Message))
	}
	return nil
}
