package emulator_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// listening returns a listening emulator and an SDK configuration for it without retries.
func listening(t *testing.T) (*emulator.Server, aws.Config) {
	server := emulator.StartT(t, emulator.Options{Buckets: []string{"sources"}})
	config := server.AWSConfig()
	config.Credentials = credentials.NewStaticCredentialsProvider("AKIATEST", "secret", "")
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return server, config
}

func TestLateAnswerIsLostOnAClientThatGaveUp(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	client := codepipeline.NewFromConfig(config)
	g.Expect(e.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.Latency, Delay: time.Hour})).To(Succeed())
	// The client gives up when it sees that the call took effect.
	ctx, giveUp := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := client.CreateCustomActionType(ctx, &codepipeline.CreateCustomActionTypeInput{
			Category: types.ActionCategoryBuild, Provider: aws.String("worker"), Version: aws.String("1"),
			InputArtifactDetails: &types.ArtifactDetails{}, OutputArtifactDetails: &types.ArtifactDetails{},
		})
		given <- err
	}()
	list := func() ([]types.ActionType, error) {
		known, err := client.ListActionTypes(t.Context(), &codepipeline.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
		if err != nil {
			return nil, err
		}
		return known.ActionTypes, nil
	}
	g.Eventually(list).WithTimeout(10 * time.Second).Should(HaveLen(1))
	g.Expect(given).NotTo(Receive())
	giveUp()
	g.Eventually(given).WithTimeout(10 * time.Second).Should(Receive(MatchError(context.Canceled)))
}

func TestLateAnswerArrives(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	const delay = 20 * time.Millisecond
	g.Expect(e.Inject(emulator.Fault{Operation: "ListPipelines", Kind: emulator.Latency, Delay: delay})).To(Succeed())
	begun := time.Now()
	_, err := codepipeline.NewFromConfig(config).ListPipelines(t.Context(), &codepipeline.ListPipelinesInput{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(time.Since(begun)).To(BeNumerically(">=", delay))
}

func TestFaultsOfSTS(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	client := sts.NewFromConfig(config)
	assume := func() error {
		_, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::111122223333:role/operator"), RoleSessionName: aws.String("session"), ExternalId: aws.String("team-a")})
		return err
	}
	for _, kind := range []emulator.FaultKind{emulator.Throttle, emulator.ServerError, emulator.AccessDenied, emulator.ResetAfter} {
		g.Expect(e.Inject(emulator.Fault{Operation: "AssumeRole", Kind: kind})).To(Succeed())
	}
	g.Expect(assume()).To(MatchError(ContainSubstring("Throttling")))
	g.Expect(assume()).To(MatchError(ContainSubstring("InternalFailure")))
	g.Expect(assume()).To(MatchError(ContainSubstring("AccessDenied")))
	g.Expect(assume()).To(HaveOccurred())
	g.Expect(assume()).To(Succeed())

	calls := e.Journal()
	g.Expect(calls).To(HaveLen(5))
	for i, call := range calls {
		g.Expect(call.Sequence).To(Equal(i + 1))
		g.Expect(call.Service).To(Equal(emulator.ServiceSTS))
		g.Expect(call.Operation).To(Equal("AssumeRole"))
		var request map[string]string
		g.Expect(json.Unmarshal(call.Request, &request)).To(Succeed())
		g.Expect(request).To(Equal(map[string]string{
			"RoleArn": "arn:aws:iam::111122223333:role/operator", "RoleSessionName": "session", "ExternalId": "team-a"}))
	}
	g.Expect(calls[0].Error).To(Equal("Throttling"))
	g.Expect(calls[4].Error).To(BeEmpty())
}

func TestJournalHasNoWebIdentityToken(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	_, err := sts.NewFromConfig(config).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/operator"), RoleSessionName: aws.String("session"), WebIdentityToken: aws.String("very-secret")})
	g.Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(e.Journal())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).NotTo(ContainSubstring("very-secret"))
}

func TestPresignedURLs(t *testing.T) {
	g := NewWithT(t)
	e, config := listening(t)
	client := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	bucket, key := aws.String("sources"), aws.String("k")
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key})
	g.Expect(err).NotTo(HaveOccurred())
	signed, err := s3.NewPresignClient(client).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	g.Expect(err).NotTo(HaveOccurred())
	plain := e.URL() + "/sources/k"
	for url, status := range map[string]int{
		signed.URL: http.StatusOK,
		plain + "?AWSAccessKeyId=AKIATEST&Signature=x&Expires=1900000000": http.StatusOK, // as presigned by the AWS CLI
		plain: http.StatusForbidden,
	} {
		response, err := http.Get(url)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = io.Copy(io.Discard, response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		g.Expect(response.StatusCode).To(Equal(status), url)
	}
}
