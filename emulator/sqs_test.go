package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	cptypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	. "github.com/onsi/gomega"
)

// mailbox is a world with a queue.
type mailbox struct {
	*world
	sqs *sqs.Client
	url string
}

func newMailbox(t *testing.T, adjust ...func(*Options)) *mailbox {
	p := &mailbox{world: newWorld(t, adjust...)}
	p.sqs = sqs.NewFromConfig(p.config)
	made, err := p.sqs.CreateQueue(p.ctx, &sqs.CreateQueueInput{QueueName: aws.String("events")})
	p.Expect(err).NotTo(HaveOccurred())
	p.url = *made.QueueUrl
	return p
}

// elsewhere returns a client with another configuration.
func (p *mailbox) elsewhere(change func(*aws.Config)) *sqs.Client {
	cfg := p.config.Copy()
	change(&cfg)
	return sqs.NewFromConfig(cfg)
}

func (p *mailbox) mail(body string) {
	_, err := p.sqs.SendMessage(p.ctx, &sqs.SendMessageInput{QueueUrl: &p.url, MessageBody: &body})
	p.Expect(err).NotTo(HaveOccurred()) // the client compares the checksum
}

func (p *mailbox) receive(count, wait int32) []types.Message {
	got, err := p.sqs.ReceiveMessage(p.ctx, &sqs.ReceiveMessageInput{QueueUrl: &p.url, MaxNumberOfMessages: count, WaitTimeSeconds: wait})
	p.Expect(err).NotTo(HaveOccurred())
	return got.Messages
}

func TestMessagesAreReceivedUntilTheyAreDeleted(t *testing.T) {
	p := newMailbox(t)
	p.Expect(p.receive(1, 0)).To(BeEmpty())
	for i := range 3 {
		p.mail(fmt.Sprint(i))
	}
	first := p.receive(2, 0)
	p.Expect(first).To(HaveLen(2))
	p.Expect(*first[0].Body + *first[1].Body).To(Equal("01"))
	attributes, err := p.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &p.url, AttributeNames: []types.QueueAttributeName{"All"}})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(attributes.Attributes).To(And(
		HaveKeyWithValue("QueueArn", "arn:aws:sqs:us-east-1:111122223333:events"),
		HaveKeyWithValue("ApproximateNumberOfMessages", "1"), HaveKeyWithValue("ApproximateNumberOfMessagesNotVisible", "2")))
	p.Expect(p.receive(10, 0)).To(HaveLen(1), "the others are hidden")

	deleted, err := p.sqs.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &p.url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("good"), ReceiptHandle: first[0].ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String("nonsense")},
	}})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(deleted.Successful).To(ConsistOf(HaveField("Id", HaveValue(Equal("good")))))
	p.Expect(deleted.Failed).To(ConsistOf(HaveField("Code", HaveValue(Equal("ReceiptHandleIsInvalid")))))

	p.clock.Step(31 * time.Second)
	again := p.receive(10, 0)
	p.Expect(again).To(HaveLen(2), "both that were not deleted come again")
	p.Expect(*again[0].ReceiptHandle).NotTo(Equal(*first[1].ReceiptHandle))
	_, err = p.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &p.url, ReceiptHandle: again[0].ReceiptHandle, VisibilityTimeout: 0})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.receive(10, 0)).To(ConsistOf(HaveField("Body", HaveValue(Equal(*again[0].Body)))))
	_, err = p.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &p.url, ReceiptHandle: again[1].ReceiptHandle})
	p.Expect(err).NotTo(HaveOccurred())
	_, err = p.sqs.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &p.url})
	p.Expect(err).NotTo(HaveOccurred())
	p.clock.Step(time.Minute)
	p.Expect(p.receive(10, 0)).To(BeEmpty())
}

func TestOldMessagesGo(t *testing.T) {
	p := newMailbox(t)
	p.mail("old")
	p.clock.Step(4*24*time.Hour + time.Second)
	p.mail("new")
	p.Expect(p.receive(10, 0)).To(ConsistOf(HaveField("Body", HaveValue(Equal("new")))))
}

func TestLongPollEndsWithAMessage(t *testing.T) {
	p := newMailbox(t)
	received := make(chan []types.Message, 1)
	go func() { received <- p.receive(10, 20) }()
	p.Eventually(p.emulator.Journal).Should(ContainElement(HaveField("Operation", "CreateQueue")))
	p.mail("hello")
	p.Eventually(received).WithTimeout(15*time.Second).Should(Receive(HaveLen(1)), "before its time is up")
}

func TestCloseEndsLongPolls(t *testing.T) {
	p := newMailbox(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &p.url, WaitTimeSeconds: 20})
	}()
	p.Expect(p.emulator.Close()).To(Succeed())
	p.Eventually(ended).WithTimeout(15 * time.Second).Should(BeClosed())
}

func TestEachMessageIsReceivedOnce(t *testing.T) {
	const messages, readers = 200, 20
	p := newMailbox(t)
	for i := range messages {
		p.mail(fmt.Sprint(i))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for got := p.receive(10, 0); len(got) > 0; got = p.receive(10, 0) {
				mu.Lock()
				for _, m := range got {
					seen[*m.Body]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	p.Expect(seen).To(HaveLen(messages))
	for body, times := range seen {
		p.Expect(times).To(Equal(1), body)
	}
}

func TestErrorsOfSQS(t *testing.T) {
	p := newMailbox(t, func(o *Options) { o.Credentials = []Credential{{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}} })
	entries := func(ids ...string) (list []types.DeleteMessageBatchRequestEntry) {
		for _, id := range ids {
			list = append(list, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: aws.String("x")})
		}
		return list
	}
	remove := func(list []types.DeleteMessageBatchRequestEntry) error {
		_, err := p.sqs.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &p.url, Entries: list})
		return err
	}
	receive := func(input sqs.ReceiveMessageInput) error {
		input.QueueUrl = &p.url
		_, err := p.sqs.ReceiveMessage(t.Context(), &input)
		return err
	}
	cases := map[string]struct {
		call func() error
		code string
	}{
		"no such queue": {func() error {
			_, err := p.sqs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("other")})
			return err
		}, "QueueDoesNotExist"},
		"no such queue, by URL": {func() error {
			_, err := p.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(p.url + "x"), MessageBody: aws.String("b")})
			return err
		}, "QueueDoesNotExist"},
		"another account's queue": {func() error {
			_, err := p.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(strings.Replace(p.url, "1111", "2222", 1)), MessageBody: aws.String("b")})
			return err
		}, "QueueDoesNotExist"},
		"another region's queue": {func() error {
			_, err := p.elsewhere(func(c *aws.Config) { c.Region = "eu-west-1" }).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &p.url, MessageBody: aws.String("b")})
			return err
		}, "QueueDoesNotExist"},
		"a wrong key": {func() error {
			_, err := p.elsewhere(func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("AKIATEST", "wrong", "") }).PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &p.url})
			return err
		}, "SignatureDoesNotMatch"},
		"a bad name": {func() error {
			_, err := p.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("a b")})
			return err
		}, "InvalidParameterValue"},
		"an empty body": {func() error {
			_, err := p.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &p.url, MessageBody: aws.String("")})
			return err
		}, "InvalidParameterValue"},
		"eleven messages":      {func() error { return receive(sqs.ReceiveMessageInput{MaxNumberOfMessages: 11}) }, "InvalidParameterValue"},
		"ten messages":         {func() error { return receive(sqs.ReceiveMessageInput{MaxNumberOfMessages: 10}) }, ""},
		"21 seconds":           {func() error { return receive(sqs.ReceiveMessageInput{WaitTimeSeconds: 21}) }, "InvalidParameterValue"},
		"over twelve hours":    {func() error { return receive(sqs.ReceiveMessageInput{VisibilityTimeout: 43201}) }, "InvalidParameterValue"},
		"twelve hours":         {func() error { return receive(sqs.ReceiveMessageInput{VisibilityTimeout: 43200}) }, ""},
		"an empty batch":       {func() error { return remove([]types.DeleteMessageBatchRequestEntry{}) }, "EmptyBatchRequest"},
		"a batch of eleven":    {func() error { return remove(entries(strings.Split("abcdefghijk", "")...)) }, "TooManyEntriesInBatchRequest"},
		"a batch of ten":       {func() error { return remove(entries(strings.Split("abcdefghij", "")...)) }, ""},
		"twice the same in it": {func() error { return remove(entries("a", "a")) }, "BatchEntryIdsNotDistinct"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { expectAnswer(NewWithT(t), c.call(), c.code) })
	}
	faults := map[FaultKind]string{Throttle: "ThrottlingException", ServerError: "InternalFailure", ServerErrorAfter: "InternalFailure", AccessDenied: "AccessDeniedException"}
	for kind, code := range faults {
		t.Run(string(kind), func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(p.emulator.Inject(Fault{Operation: "ReceiveMessage", Kind: kind})).To(Succeed())
			expectAnswer(g, receive(sqs.ReceiveMessageInput{}), code)
			expectAnswer(g, receive(sqs.ReceiveMessageInput{}), "")
		})
	}
	for _, kind := range []FaultKind{ResetBefore, ResetAfter} {
		t.Run(string(kind), func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(p.emulator.Inject(Fault{Operation: "SendMessage", Kind: kind})).To(Succeed())
			_, err := p.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &p.url, MessageBody: aws.String(string(kind))})
			g.Expect(err).To(HaveOccurred())
			g.Expect(p.receive(1, 0)).To(HaveLen(map[FaultKind]int{ResetBefore: 0, ResetAfter: 1}[kind]))
		})
	}
	for _, call := range p.emulator.Journal() {
		p.Expect(call.Service).To(Equal(ServiceSQS))
		p.Expect(string(call.Request)).NotTo(ContainSubstring("Reset"), "no message")
	}
}

// expectAnswer expects an error code. For some, the SDK returns the old name of the query protocol.
func expectAnswer(g *WithT, err error, code string) {
	if code == "" {
		g.Expect(err).NotTo(HaveOccurred())
		return
	}
	g.Expect(codeOf(err)).To(HaveSuffix(code), "%v", err)
}

// TestEventsOfActions checks the events of a pipeline in the queue.
func TestEventsOfActions(t *testing.T) {
	p := newMailbox(t, func(o *Options) { o.EventQueue = "events" })
	p.begin()
	p.Expect(p.states()).To(Equal("fetch STARTED, fetch SUCCEEDED, compile STARTED"))
	job := p.claim(cptypes.ActionCategoryBuild)
	p.Expect(p.succeed(*job.Id, func(in *codepipeline.PutJobSuccessResultInput) { in.ContinuationToken = aws.String("later") })).To(Succeed())
	p.clock.Step(time.Minute)
	job = p.claim(cptypes.ActionCategoryBuild)
	p.Expect(p.states()).To(BeEmpty(), "a continued job is the same action execution")
	p.Expect(p.fail(*job.Id, "broken")).To(Succeed())
	p.Expect(p.states()).To(Equal("compile FAILED JobFailed"))

	second := p.start()
	p.Expect(p.states()).To(Equal("fetch STARTED, fetch SUCCEEDED, compile STARTED"))
	_, err := p.pipelines.StopPipelineExecution(p.ctx, &codepipeline.StopPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &second, Abandon: true})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(p.states()).To(Equal("compile ABANDONED"))
}

func TestNoEventsUnlessAskedFor(t *testing.T) {
	p := newMailbox(t)
	p.begin()
	p.Expect(p.states()).To(BeEmpty())
}

// states receives all queued events and returns the actions and their states.
func (p *mailbox) states() string {
	var told []string
	for got := p.receive(10, 0); len(got) > 0; got = p.receive(10, 0) {
		for _, m := range got {
			var event bridgeEvent
			p.Expect(json.Unmarshal([]byte(*m.Body), &event)).To(Succeed())
			p.Expect(event.DetailType).To(Equal("CodePipeline Action Execution State Change"))
			p.Expect(event.Account + event.Region).To(Equal("111122223333us-east-1"))
			p.Expect(event.Detail.ActionExecutionID).NotTo(BeEmpty())
			state := event.Detail.Action + " " + event.Detail.State
			if event.Detail.Result != nil && event.Detail.Result.ErrorCode != "" {
				state += " " + event.Detail.Result.ErrorCode
			}
			told = append(told, state)
			_, err := p.sqs.DeleteMessage(p.ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url, ReceiptHandle: m.ReceiptHandle})
			p.Expect(err).NotTo(HaveOccurred())
		}
	}
	return strings.Join(told, ", ")
}
