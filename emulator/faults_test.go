package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	. "github.com/onsi/gomega"
)

func TestFaults(t *testing.T) {
	cases := map[FaultKind]struct {
		code   string // empty if the connection breaks
		effect bool
	}{
		Throttle:         {"ThrottlingException", false},
		ServerError:      {"InternalFailure", false},
		AccessDenied:     {"AccessDeniedException", false},
		ServerErrorAfter: {"InternalFailure", true},
		ResetBefore:      {"", false},
		ResetAfter:       {"", true},
	}
	for kind, c := range cases {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.begin()
			j := w.poll(types.ActionCategoryBuild)[0]
			w.Expect(w.emulator.Inject(Fault{Operation: "AcknowledgeJob", Kind: kind})).To(Succeed())
			acknowledge := func() error {
				_, err := w.pipelines.AcknowledgeJob(w.ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: j.Nonce})
				return err
			}
			w.expectCode(acknowledge(), c.code)
			if c.effect {
				w.expectCode(acknowledge(), "InvalidNonceException") // the response to the first claim was lost
			} else {
				w.Expect(acknowledge()).To(Succeed())
			}
			w.Expect(w.emulator.faults.waiting).To(BeEmpty())
		})
	}
}

func TestFaultsHappenInOrderAndAsOftenAsTold(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.emulator.Inject(Fault{Operation: "ListPipelines", Kind: Throttle, Times: 2})).To(Succeed())
	w.Expect(w.emulator.Inject(Fault{Operation: "ListActionTypes", Kind: ServerError})).To(Succeed())
	w.Expect(w.emulator.Inject(Fault{Operation: "ListPipelines", Kind: ServerError})).To(Succeed())
	for _, code := range []string{"ThrottlingException", "ThrottlingException", "InternalFailure", ""} {
		_, err := w.pipelines.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
		w.Expect(codeOf(err)).To(Equal(code))
	}
	_, err := w.pipelines.ListActionTypes(w.ctx, &codepipeline.ListActionTypesInput{})
	w.expectCode(err, "InternalFailure")
}

func TestSDKRetriesFaults(t *testing.T) {
	w := newWorld(t)
	patient := codepipeline.NewFromConfig(w.config, func(o *codepipeline.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	})
	for _, kind := range []FaultKind{Throttle, ServerError, ResetBefore} {
		w.Expect(w.emulator.Inject(Fault{Operation: "ListPipelines", Kind: kind})).To(Succeed())
		_, err := patient.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
		w.Expect(err).NotTo(HaveOccurred(), string(kind))
	}
}

func TestJournalHoldsCallsInOrder(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.Expect(w.emulator.Inject(Fault{Operation: "PollForJobs", Kind: ResetBefore})).To(Succeed())
	_, err := w.pipelines.PollForJobs(w.ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(types.ActionCategoryBuild)})
	w.Expect(err).To(HaveOccurred())
	j := w.claim(types.ActionCategoryBuild)
	_, err = w.pipelines.AcknowledgeJob(w.ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: j.Nonce})
	w.Expect(err).To(HaveOccurred())
	var seen []string
	for _, call := range w.emulator.Journal() {
		w.Expect(call.Time.Equal(w.clock.Now())).To(BeTrue())
		w.Expect(len(call.Request) == 0).To(Equal(call.Operation == "CreatePipeline"), call.Operation)
		seen = append(seen, fmt.Sprintf("%s %s", call.Operation, call.Error))
	}
	w.Expect(seen).To(Equal([]string{
		"PutObject ", "CreateCustomActionType ", "CreateCustomActionType ", "CreatePipeline ", "StartPipelineExecution ",
		"PollForJobs reset before the effect", "PollForJobs ", "AcknowledgeJob ", "AcknowledgeJob InvalidNonceException",
	}))
	response, err := http.Get(w.emulator.URL() + "/_emulator/journal")
	w.Expect(err).NotTo(HaveOccurred())
	defer func() { w.Expect(response.Body.Close()).To(Succeed()) }()
	text, err := io.ReadAll(response.Body)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(text)).To(ContainSubstring(`"error":"InvalidNonceException"`))
	w.Expect(string(text)).NotTo(ContainSubstring(secretValue))
	w.Expect(string(text)).NotTo(ContainSubstring(*j.Data.ArtifactCredentials.SecretAccessKey))
}

func TestJournalIsTheCallersOwn(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.list()).To(Succeed())
	before := string(w.emulator.Journal()[0].Request)
	clear(w.emulator.Journal()[0].Request)
	w.Expect(string(w.emulator.Journal()[0].Request)).To(Equal(before))
}

// TestLogHasALineForEachCall calls every service, and injects the faults that end a call in other
// places of the code.
func TestLogHasALineForEachCall(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(o *Options) {
		o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.EventQueue = "events"
	})
	queue := aws.String("http://host/111122223333/events")
	calls := map[string]func(context.Context) error{
		"ListPipelines": func(ctx context.Context) error {
			_, err := w.pipelines.ListPipelines(ctx, &codepipeline.ListPipelinesInput{})
			return err
		},
		"GetCallerIdentity": func(ctx context.Context) error {
			_, err := w.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		},
		"ReceiveMessage": func(ctx context.Context) error {
			_, err := sqs.NewFromConfig(w.config).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue})
			return err
		},
		"PutObject": func(ctx context.Context) error {
			_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("sources"), Key: aws.String("key"), Body: strings.NewReader("x")})
			return err
		},
	}
	kinds := []FaultKind{"", ResetBefore, ServerError, ResetAfter, BlackHole, BlackHoleAfter, HalfAnswer, ProxyError, ProxyErrorAfter}
	for _, kind := range kinds {
		for operation, call := range calls {
			ctx, giveUp := context.WithTimeout(w.ctx, 10*time.Second)
			if kind != "" {
				w.Expect(w.emulator.Inject(Fault{Operation: operation, Kind: kind})).To(Succeed())
			}
			before := len(w.emulator.Journal())
			ended := make(chan error, 1)
			go func() { ended <- call(ctx) }()
			if slices.Contains([]FaultKind{BlackHole, BlackHoleAfter, HalfAnswer}, kind) {
				w.Eventually(func() int { return len(w.emulator.Journal()) }).WithTimeout(10 * time.Second).Should(BeNumerically(">", before))
				giveUp()
			}
			w.Expect(<-ended == nil).To(Equal(kind == ""), "%s %s", operation, kind)
			giveUp()
		}
	}
	w.Expect(w.emulator.Close()).To(Succeed()) // waits for the last lines
	journal := w.emulator.Journal()
	w.Expect(len(journal)).To(BeNumerically(">=", len(kinds)*len(calls)))
	var logged, listed []string
	for line := range strings.Lines(log.String()) {
		var entry struct{ Level, Service, Operation, Error, Fault string }
		w.Expect(json.Unmarshal([]byte(line), &entry)).To(Succeed())
		w.Expect(entry.Level == "DEBUG").To(Equal(entry.Service == ServiceS3), line)
		logged = append(logged, strings.Join([]string{entry.Service, entry.Operation, entry.Error, entry.Fault}, " "))
	}
	for _, call := range journal {
		listed = append(listed, strings.Join([]string{call.Service, call.Operation, call.Error, string(call.Fault)}, " "))
	}
	w.Expect(logged).To(ConsistOf(listed))
}

func TestTheClockStaysAtItsEnd(t *testing.T) {
	w := newWorld(t)
	w.emulator.Advance(math.MaxInt64)
	end := w.emulator.Now()
	w.Expect(end.Sub(w.clock.Now())).To(Equal(time.Duration(math.MaxInt64)))
	for _, by := range []time.Duration{math.MaxInt64, 1, -1, math.MinInt64} {
		w.emulator.Advance(by)
		w.Expect(w.emulator.Now()).To(Equal(end), by.String())
	}
	w.Expect(w.list()).To(Succeed())
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	response, err := http.Get(w.emulator.URL() + "/_emulator/health")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	w.Expect(response.StatusCode).To(Equal(http.StatusOK))
}

func TestSTS(t *testing.T) {
	w := newWorld(t)
	who, err := w.sts.GetCallerIdentity(w.ctx, &sts.GetCallerIdentityInput{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*who.Account).To(Equal("111122223333"))
	role, session := aws.String("arn:aws:iam::444455556666:role/team/runner"), aws.String("op")
	plain, err := w.sts.AssumeRole(w.ctx, &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: session})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*plain.AssumedRoleUser.Arn).To(Equal("arn:aws:sts::444455556666:assumed-role/runner/op"))
	web, err := w.sts.AssumeRoleWithWebIdentity(w.ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: session, WebIdentityToken: aws.String("token")})
	w.Expect(err).NotTo(HaveOccurred())
	for _, made := range []*ststypes.Credentials{plain.Credentials, web.Credentials} {
		w.Expect(*made.Expiration).To(BeTemporally("~", w.clock.Now().Add(time.Hour), time.Second))
		client := w.s3Of(&types.JobData{ArtifactCredentials: &types.AWSSessionCredentials{
			AccessKeyId: made.AccessKeyId, SecretAccessKey: made.SecretAccessKey, SessionToken: made.SessionToken}})
		w.put(client, "sources", "by-role", "x")
	}
	_, err = w.sts.AssumeRole(w.ctx, &sts.AssumeRoleInput{RoleArn: aws.String("not-an-arn-of-a-role"), RoleSessionName: session})
	w.expectCode(err, "ValidationError")
	_, err = w.sts.GetSessionToken(w.ctx, &sts.GetSessionTokenInput{})
	w.expectCode(err, "InvalidAction")
}

func TestStartFailsOnATakenAddress(t *testing.T) {
	w := newWorld(t)
	_, err := Start(w.emulator.URL()[len("http://"):], Options{})
	w.Expect(err).To(MatchError(ContainSubstring("address already in use")))
}

func TestJournalIsBounded(t *testing.T) {
	g := NewWithT(t)
	var calls, large journal
	for range maxJournal + 1 {
		calls.add(Call{Operation: "PollForJobs"})
	}
	g.Expect(calls.calls).To(HaveLen(maxJournal/2 + 1))
	request := make([]byte, 1<<20)
	for range 1000 {
		large.add(Call{Request: request})
	}
	g.Expect(len(large.calls)).To(BeNumerically("<=", maxJournalBytes>>20))
	g.Expect(large.bytes).To(Equal(len(large.calls) << 20))
}
