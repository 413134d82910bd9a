package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// change is an operation of a service, and a check of its effect.
type change struct {
	operation string
	do        func(context.Context) error
	// done reports whether the operation took effect. It is nil for an operation without an effect.
	done func(*WithT) bool
}

// changes returns an operation of each service. Their effects can be repeated.
func changes(t *testing.T, config aws.Config) map[string]change {
	g, ctx := NewWithT(t), t.Context()
	pipelines, queues := codepipeline.NewFromConfig(config), sqs.NewFromConfig(config)
	objects := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	made, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("events")})
	g.Expect(err).NotTo(HaveOccurred())
	return map[string]change{
		emulator.ServiceCodePipeline: {"CreateCustomActionType", func(ctx context.Context) error { return createType(ctx, pipelines) }, func(g *WithT) bool {
			known, err := pipelines.ListActionTypes(ctx, &codepipeline.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
			g.Expect(err).NotTo(HaveOccurred())
			return len(known.ActionTypes) > 0
		}},
		emulator.ServiceSQS: {"SendMessage", func(ctx context.Context) error {
			_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("hello")})
			return err
		}, func(g *WithT) bool {
			got, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl})
			g.Expect(err).NotTo(HaveOccurred())
			return len(got.Messages) > 0
		}},
		emulator.ServiceS3: {"PutObject", func(ctx context.Context) error {
			_, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("sources"), Key: aws.String("k"), Body: strings.NewReader("x")})
			return err
		}, func(g *WithT) bool {
			list, err := objects.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("sources")})
			g.Expect(err).NotTo(HaveOccurred())
			return len(list.Contents) > 0
		}},
		emulator.ServiceSTS: {"GetCallerIdentity", func(ctx context.Context) error {
			_, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		}, nil},
	}
}

func createType(ctx context.Context, client *codepipeline.Client) error {
	_, err := client.CreateCustomActionType(ctx, &codepipeline.CreateCustomActionTypeInput{
		Category: types.ActionCategoryBuild, Provider: aws.String("worker"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{}, OutputArtifactDetails: &types.ArtifactDetails{},
	})
	return err
}

// TestCallsThatAreNeverAnswered: each service does not respond, before and after the effect, until
// the client gives up. Afterwards, it works again.
func TestCallsThatAreNeverAnswered(t *testing.T) {
	effect := map[emulator.FaultKind]bool{emulator.BlackHole: false, emulator.BlackHoleAfter: true, emulator.HalfAnswer: true}
	for kind, has := range effect {
		e, config := listening(t)
		for service, c := range changes(t, config) {
			t.Run(string(kind)+" "+service, func(t *testing.T) {
				g := NewWithT(t)
				g.Expect(e.Inject(emulator.Fault{Operation: c.operation, Kind: kind})).To(Succeed())
				e.ClearJournal()
				ctx, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				given := make(chan error, 1)
				go func() { given <- c.do(ctx) }()
				g.Eventually(func() []emulator.Call { return e.Journal(c.operation) }).WithTimeout(10 * time.Second).Should(HaveLen(1))
				g.Expect(e.Journal(c.operation)[0].Fault).To(Equal(kind))
				if c.done != nil {
					g.Expect(c.done(g)).To(Equal(has))
				}
				if kind != emulator.HalfAnswer { // the SDK may close the connection if headers arrive that early
					g.Expect(given).NotTo(Receive(), "no answer came")
				}
				giveUp()
				g.Eventually(given).WithTimeout(10 * time.Second).Should(Receive(HaveOccurred()))
				g.Expect(e.Faults()).To(BeEmpty())
				if service != emulator.ServiceCodePipeline || !has { // the action type exists then
					g.Expect(c.do(t.Context())).To(Succeed())
				}
			})
		}
	}
}

// TestHalfAnAnswer reads the part that arrives.
func TestHalfAnAnswer(t *testing.T) {
	g := NewWithT(t)
	e := emulator.StartT(t, emulator.Options{NoSignatures: true})
	g.Expect(e.Inject(emulator.Fault{Operation: "ListPipelines", Kind: emulator.HalfAnswer})).To(Succeed())
	ctx, giveUp := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL(), strings.NewReader("{}"))
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("X-Amz-Target", "CodePipeline_20150709.ListPipelines")
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred(), "the headers come")
	defer func() { g.Expect(response.Body.Close()).To(Succeed()) }()
	g.Expect(response.Header).To(HaveKey("X-Amzn-Requestid"))
	half := make([]byte, response.ContentLength/2)
	_, err = io.ReadFull(response.Body, half)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Valid(half)).To(BeFalse())
	giveUp()
	_, err = response.Body.Read(make([]byte, 1))
	g.Expect(err).To(MatchError(context.Canceled))
}

func TestCloseEndsCallsThatAreNeverAnswered(t *testing.T) {
	for _, kind := range []emulator.FaultKind{emulator.BlackHole, emulator.HalfAnswer} {
		t.Run(string(kind), func(t *testing.T) {
			g := NewWithT(t)
			e, config := listening(t)
			g.Expect(e.Inject(emulator.Fault{Operation: "ListPipelines", Kind: kind})).To(Succeed())
			given := make(chan error, 1)
			go func() {
				_, err := codepipeline.NewFromConfig(config).ListPipelines(t.Context(), &codepipeline.ListPipelinesInput{})
				given <- err
			}()
			g.Eventually(func() []emulator.Call { return e.Journal() }).WithTimeout(10 * time.Second).Should(HaveLen(1))
			g.Expect(e.Close()).To(Succeed())
			g.Eventually(given).WithTimeout(10 * time.Second).Should(Receive(HaveOccurred()))
		})
	}
}

// TestProxyErrors: a proxy responds for each service, before and after the effect.
func TestProxyErrors(t *testing.T) {
	effect := map[emulator.FaultKind]bool{emulator.ProxyError: false, emulator.ProxyErrorAfter: true}
	for kind, has := range effect {
		e, config := listening(t)
		for service, c := range changes(t, config) {
			t.Run(string(kind)+" "+service, func(t *testing.T) {
				g := NewWithT(t)
				g.Expect(e.Inject(emulator.Fault{Operation: c.operation, Kind: kind, Status: http.StatusRequestTimeout})).To(Succeed())
				err := c.do(t.Context())
				var known interface{ HTTPStatusCode() int }
				g.Expect(errors.As(err, &known)).To(BeTrue(), "%v", err)
				g.Expect(known.HTTPStatusCode()).To(Equal(http.StatusRequestTimeout))
				if c.done != nil {
					g.Expect(c.done(g)).To(Equal(has))
				}
				calls := e.Journal(c.operation)
				g.Expect(calls[len(calls)-1].Fault).To(Equal(kind))
			})
		}
	}
}

func TestProxysAnswerHasNoSignOfAWS(t *testing.T) {
	g := NewWithT(t)
	e := emulator.StartT(t, emulator.Options{NoSignatures: true})
	for _, status := range []int{403, 404, 407, 408, 413, 421, 429, 502, 503} {
		g.Expect(e.Inject(emulator.Fault{Operation: emulator.AnyOperation, Kind: emulator.ProxyError, Status: status})).To(Succeed())
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL(), strings.NewReader("{}"))
		g.Expect(err).NotTo(HaveOccurred())
		request.Header.Set("X-Amz-Target", "CodePipeline_20150709.ListPipelines")
		response, err := http.DefaultClient.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		page, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		g.Expect(response.StatusCode).To(Equal(status))
		g.Expect(response.Header.Get("Content-Type")).To(Equal("text/html"))
		g.Expect(string(page)).To(And(HavePrefix("<!DOCTYPE html>"), ContainSubstring(http.StatusText(status))))
		for name := range response.Header {
			g.Expect(strings.ToLower(name)).NotTo(HavePrefix("x-am"))
		}
	}
	g.Expect(e.Inject(emulator.Fault{Operation: emulator.AnyOperation, Kind: emulator.ProxyError})).To(Succeed())
	g.Expect(e.Faults()[0].Status).To(Equal(http.StatusBadGateway), "the default")
}

func TestFaultsSelectAccountsAndRegions(t *testing.T) {
	g := NewWithT(t)
	const one, two = "111111111111", "222222222222"
	e := emulator.StartT(t, emulator.Options{Credentials: []emulator.Credential{
		{AccessKeyID: "AKIAONE", SecretAccessKey: "one", AccountID: one}, {AccessKeyID: "AKIATWO", SecretAccessKey: "two", AccountID: two}}})
	list := func(key, secret, region string) string {
		config := e.AWSConfig()
		config.Region, config.Credentials = region, credentials.NewStaticCredentialsProvider(key, secret, "")
		config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		_, err := codepipeline.NewFromConfig(config).ListPipelines(t.Context(), &codepipeline.ListPipelinesInput{})
		if known := smithy.APIError(nil); errors.As(err, &known) {
			return known.ErrorCode()
		}
		g.Expect(err).NotTo(HaveOccurred())
		return ""
	}
	const throttled = "ThrottlingException"
	for _, c := range []struct {
		fault                                         emulator.Fault
		oneInEast, oneInWest, twoInEast, twoInWestern string
	}{
		{emulator.Fault{}, throttled, throttled, throttled, throttled},
		{emulator.Fault{AccountID: two}, "", "", throttled, throttled},
		{emulator.Fault{Region: "us-west-2"}, "", throttled, "", throttled},
		{emulator.Fault{AccountID: two, Region: "us-west-2"}, "", "", "", throttled},
		{emulator.Fault{AccountID: "333333333333"}, "", "", "", ""},
	} {
		e.ClearFaults()
		c.fault.Operation, c.fault.Kind, c.fault.Probability = emulator.AnyOperation, emulator.Throttle, 1
		g.Expect(e.Inject(c.fault)).To(Succeed())
		seen := []string{list("AKIAONE", "one", "us-east-1"), list("AKIAONE", "one", "us-west-2"), list("AKIATWO", "two", "us-east-1"), list("AKIATWO", "two", "us-west-2")}
		g.Expect(seen).To(Equal([]string{c.oneInEast, c.oneInWest, c.twoInEast, c.twoInWestern}), "%+v", c.fault)
	}
}

// TestFaultOfARolesAccount selects AssumeRole by the account of the role, because the caller is the
// same.
func TestFaultOfARolesAccount(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	assume := func(account string) error {
		_, err := sts.NewFromConfig(config).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::" + account + ":role/operator"), RoleSessionName: aws.String("session")})
		return err
	}
	g.Expect(e.Inject(emulator.Fault{Operation: "AssumeRole", AccountID: "222222222222", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	g.Expect(assume("333333333333")).To(Succeed())
	g.Expect(assume("222222222222")).To(MatchError(ContainSubstring("AccessDenied")))
}

// TestRedispatch polls twice immediately, and once after a year.
func TestRedispatch(t *testing.T) {
	handedOut := map[time.Duration][]int{
		emulator.RedispatchAtOnce: {2, 2, 2},
		0:                         {2, 0, 2},
		emulator.RedispatchNever:  {2, 0, 0},
	}
	for after, want := range handedOut {
		t.Run(after.String(), func(t *testing.T) {
			g := NewWithT(t)
			e := emulator.StartT(t, emulator.Options{
				RedispatchAfter: after, Buckets: []string{"sources"}, ActionTimeout: 100 * 365 * 24 * time.Hour,
				Clock: clocktesting.NewFakeClock(time.Now()), // so that no time passes within a poll
			})
			client := twoQueuedJobs(t, e)
			poll := func() int {
				polled, err := client.PollForJobs(t.Context(), &codepipeline.PollForJobsInput{MaxBatchSize: aws.Int32(10), ActionTypeId: &types.ActionTypeId{
					Category: types.ActionCategoryBuild, Owner: types.ActionOwnerCustom, Provider: aws.String("worker"), Version: aws.String("1")}})
				g.Expect(err).NotTo(HaveOccurred())
				return len(polled.Jobs)
			}
			seen := []int{poll(), poll()}
			e.Advance(365 * 24 * time.Hour)
			g.Expect(append(seen, poll())).To(Equal(want))
		})
	}
	_, err := emulator.New(emulator.Options{RedispatchAfter: -time.Minute})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("must not be negative")))
}

// twoQueuedJobs starts a pipeline with two jobs.
func twoQueuedJobs(t *testing.T, e *emulator.Server) *codepipeline.Client {
	g := NewWithT(t)
	config := e.AWSConfig()
	_, err := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("sources"), Key: aws.String("app.zip"), Body: strings.NewReader("x")})
	g.Expect(err).NotTo(HaveOccurred())
	client := codepipeline.NewFromConfig(config)
	g.Expect(createType(t.Context(), client)).To(Succeed())
	worker := func(name string) pipeline.Action {
		return pipeline.NewAction(name, pipeline.CustomType(types.ActionCategoryBuild, "worker", "1"))
	}
	_, err = client.CreatePipeline(t.Context(), pipeline.New("app", "sources").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Build", worker("one"), worker("two")).CreateInput())
	g.Expect(err).NotTo(HaveOccurred())
	return client
}
