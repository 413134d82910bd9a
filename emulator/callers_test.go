package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	. "github.com/onsi/gomega"
)

const (
	otherAccount = "444455556666"
	otherRole    = "arn:aws:iam::444455556666:role/team/deployer"
)

// keyed configures two users in different accounts.
func keyed(o *Options) {
	o.Credentials = []Credential{{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}, {AccessKeyID: "AKIAOTHER", SecretAccessKey: "other", AccountID: otherAccount}}
}

// as returns a client of a caller in a region.
func (w *world) as(region, id, secret, token string) *codepipeline.Client {
	return codepipeline.NewFromConfig(w.config, func(o *codepipeline.Options) {
		o.Region, o.Credentials = region, credentials.NewStaticCredentialsProvider(id, secret, token)
	})
}

// providers lists the providers of the custom action types that a client sees.
func (w *world) providers(client *codepipeline.Client) []string {
	list, err := client.ListActionTypes(w.ctx, &codepipeline.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})
	w.Expect(err).NotTo(HaveOccurred())
	providers := []string{}
	for _, t := range list.ActionTypes {
		providers = append(providers, *t.Id.Provider)
	}
	return providers
}

func TestAccountsAndRegionsAreApart(t *testing.T) {
	w := newWorld(t, keyed)
	w.createType(types.ActionCategoryBuild)
	w.Expect(w.providers(w.pipelines)).To(Equal([]string{"worker"}))
	w.Expect(w.providers(w.as("eu-west-1", "AKIATEST", "secret", ""))).To(BeEmpty())
	other := w.as("us-east-1", "AKIAOTHER", "other", "")
	w.Expect(w.providers(other)).To(BeEmpty())

	assumed, err := w.sts.AssumeRole(w.ctx, &sts.AssumeRoleInput{RoleArn: aws.String(otherRole), RoleSessionName: aws.String("tests")})
	w.Expect(err).NotTo(HaveOccurred())
	c := assumed.Credentials
	across := w.as("us-east-1", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	_, err = across.CreateCustomActionType(w.ctx, typeInput(types.ActionCategoryTest))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.providers(other)).To(HaveLen(1), "the role is in the other account")
	w.Expect(w.providers(w.pipelines)).To(HaveLen(1))

	identity, err := sts.NewFromConfig(w.config, func(o *sts.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	}).GetCallerIdentity(w.ctx, &sts.GetCallerIdentityInput{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*identity.Account).To(Equal(otherAccount))
	w.Expect(*identity.Arn).To(Equal("arn:aws:sts::444455556666:assumed-role/deployer/tests"))

	var seen []string
	for _, call := range w.emulator.Journal() {
		seen = append(seen, call.Operation+" "+call.AccountID+" "+call.Region)
	}
	w.Expect(seen).To(ContainElements("CreateCustomActionType 444455556666 us-east-1", "ListActionTypes 111122223333 eu-west-1"))
}

func TestJobsNameTheirAccountAndRegion(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Region, o.AccountID = "eu-central-1", otherAccount })
	w.pipelines = w.as("eu-central-1", "AKIATEST", "secret", "")
	w.begin()
	j := w.claim(types.ActionCategoryBuild)
	w.Expect(*j.AccountId).To(Equal(otherAccount))
	w.Expect(*j.Data.PipelineContext.PipelineArn).To(Equal("arn:aws:codepipeline:eu-central-1:444455556666:p"))
}

func TestSignaturesAreChecked(t *testing.T) {
	w := newWorld(t, keyed)
	cases := map[string]struct {
		client *codepipeline.Client
		code   string
	}{
		"good":                   {w.pipelines, ""},
		"unknown key":            {w.as("us-east-1", "AKIANOBODY", "secret", ""), "UnrecognizedClientException"},
		"wrong secret":           {w.as("us-east-1", "AKIATEST", "guess", ""), "InvalidSignatureException"},
		"a session unknown here": {w.as("us-east-1", sessionOfNobody, "secret", "token"), "ExpiredTokenException"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := c.client.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
			NewWithT(t).Expect(codeOf(err)).To(Equal(c.code), "%v", err)
		})
	}
}

const sessionOfNobody = "ASIAROLEABCDEFGHIJKL"

func TestSessionsExpire(t *testing.T) {
	w := newWorld(t)
	assumed, err := w.sts.AssumeRole(w.ctx, &sts.AssumeRoleInput{RoleArn: aws.String(otherRole), RoleSessionName: aws.String("tests"), DurationSeconds: aws.Int32(900)})
	w.Expect(err).NotTo(HaveOccurred())
	c := assumed.Credentials
	w.Expect(c.Expiration.Equal(w.clock.Now().Add(15 * time.Minute).Truncate(time.Second))).To(BeTrue())
	client := w.as("us-east-1", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	w.providers(client)
	_, err = w.as("us-east-1", *c.AccessKeyId, *c.SecretAccessKey, "another").ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	w.expectCode(err, "UnrecognizedClientException")
	_, err = w.as("us-east-1", *c.AccessKeyId, "another", *c.SessionToken).ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	w.expectCode(err, "InvalidSignatureException")

	w.emulator.Advance(15 * time.Minute)
	_, err = client.ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	w.expectCode(err, "ExpiredTokenException")
	_, err = w.s3With(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).ListBuckets(w.ctx, &s3.ListBucketsInput{})
	w.expectCode(err, "ExpiredToken")
}

func TestJobCredentialsAreForS3Only(t *testing.T) {
	w := newWorld(t, keyed)
	w.begin()
	c := w.claim(types.ActionCategoryBuild).Data.ArtifactCredentials
	_, err := w.as("us-east-1", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
	w.expectCode(err, "AccessDeniedException")
}

func TestRolesDemandTheirExternalID(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Roles = map[string]string{otherRole: "cluster/team"} })
	assume := func(role, externalID string) error {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("tests")}
		if externalID != "" {
			in.ExternalId = &externalID
		}
		_, err := w.sts.AssumeRole(w.ctx, in)
		return err
	}
	w.Expect(assume(otherRole, "cluster/team")).To(Succeed())
	w.expectCode(assume(otherRole, "cluster/another"), "AccessDenied")
	w.expectCode(assume(otherRole, ""), "AccessDenied")
	w.expectCode(assume(otherRole+"x", "cluster/team"), "AccessDenied")
	w.expectCode(assume("deployer", "cluster/team"), "ValidationError")
}

// sign creates a request that the SDK would not send.
func (w *world) sign(at time.Time, region, service string) *http.Request {
	const body = "{}"
	request, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.emulator.URL()+"/", strings.NewReader(body))
	w.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("X-Amz-Target", "CodePipeline_20150709.ListPipelines")
	request.Header.Set("Content-Type", contentType)
	digest := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}
	w.Expect(v4.NewSigner().SignHTTP(w.ctx, key, request, hex.EncodeToString(digest[:]), service, region, at)).To(Succeed())
	return request
}

func TestSignatures(t *testing.T) {
	w := newWorld(t, keyed)
	plain := func(*http.Request) {}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	cases := map[string]struct {
		age     time.Duration
		service string
		change  func(*http.Request)
		code    string
		message string
	}{
		"good":                 {0, "codepipeline", plain, "", ""},
		"four minutes old":     {4 * time.Minute, "codepipeline", plain, "", ""},
		"six minutes old":      {6 * time.Minute, "codepipeline", plain, "InvalidSignatureException", "Signature expired"},
		"six minutes ahead":    {-6 * time.Minute, "codepipeline", plain, "InvalidSignatureException", "Signature not yet current"},
		"of another service":   {0, "codebuild", plain, "InvalidSignatureException", "scoped to correct service: 'codepipeline'"},
		"changed afterwards":   {0, "codepipeline", header("X-Amz-Target", "CodePipeline_20150709.ListActionTypes"), "InvalidSignatureException", "does not match"},
		"none":                 {0, "codepipeline", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		"of another algorithm": {0, "codepipeline", header("Authorization", "Bearer x"), "IncompleteSignatureException", "AWS4-HMAC-SHA256"},
		"without a scope":      {0, "codepipeline", header("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST, SignedHeaders=host, Signature=x"), "IncompleteSignatureException", "Credential"},
		"without a date":       {0, "codepipeline", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "IncompleteSignatureException", "X-Amz-Date"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			request := w.sign(time.Now().Add(-c.age), "us-east-1", c.service)
			c.change(request)
			response, err := http.DefaultClient.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(response.Body.Close()).To(Succeed()) }()
			var answer struct {
				Code    string `json:"__type"`
				Message string `json:"message"`
			}
			g.Expect(json.NewDecoder(response.Body).Decode(&answer)).To(Succeed())
			g.Expect(answer.Code).To(Equal(c.code), answer.Message)
			g.Expect(answer.Message).To(ContainSubstring(c.message))
		})
	}
}

func TestS3SignaturesAreChecked(t *testing.T) {
	w := newWorld(t, keyed)
	w.put(w.s3, "sources", "a dir/b+c", "content")
	list := func(id, secret string) error {
		_, err := w.s3With(credentials.NewStaticCredentialsProvider(id, secret, "")).ListBuckets(w.ctx, &s3.ListBucketsInput{})
		return err
	}
	w.expectCode(list("AKIATEST", "guess"), "SignatureDoesNotMatch")
	w.expectCode(list("AKIANOBODY", "secret"), "InvalidAccessKeyId")

	link, err := s3.NewPresignClient(w.s3).PresignGetObject(w.ctx, &s3.GetObjectInput{Bucket: aws.String("sources"), Key: aws.String("a dir/b+c")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.get(link.URL)).To(Equal(http.StatusOK))
	w.Expect(w.get(strings.Replace(link.URL, "b%2Bc", "b%2Bd", 1))).To(Equal(http.StatusForbidden), "another key than the one that was signed")
	w.Expect(w.get(strings.Replace(link.URL, "X-Amz-Expires=900", "X-Amz-Expires=901", 1))).To(Equal(http.StatusForbidden))
}

func (w *world) get(url string) (status int) {
	response, err := http.Get(url)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

func TestOptionsAreChecked(t *testing.T) {
	cases := map[string]struct {
		options Options
		message string
	}{
		"region":                {Options{Region: "over there"}, `the region "over there"`},
		"account":               {Options{AccountID: "12"}, `the account "12"`},
		"key":                   {Options{Credentials: []Credential{{AccessKeyID: "a b", SecretAccessKey: "s"}}}, "an access key ID"},
		"secret":                {Options{Credentials: []Credential{{AccessKeyID: "AKIATEST"}}}, "a secret"},
		"its account":           {Options{Credentials: []Credential{{AccessKeyID: "AKIATEST", SecretAccessKey: "s", AccountID: "x"}}}, `the account "x"`},
		"role":                  {Options{Roles: map[string]string{"deployer": ""}}, `the role "deployer"`},
		"continuation delay":    {Options{ContinuationDelay: -1}, "the option ContinuationDelay must not be negative"},
		"redispatch":            {Options{RedispatchAfter: -1}, "the option RedispatchAfter must not be negative"},
		"action timeout":        {Options{ActionTimeout: -1}, "the option ActionTimeout must not be negative"},
		"credentials' time":     {Options{CredentialsTTL: -1}, "the option CredentialsTTL must not be negative"},
		"retention":             {Options{JobRetention: -1}, "the option JobRetention must not be negative"},
		"kept executions":       {Options{KeepExecutions: -1}, "the option KeepExecutions must not be negative"},
		"concurrent executions": {Options{MaxConcurrentExecutions: -1}, "the option MaxConcurrentExecutions must not be negative"},
		"bucket":                {Options{Buckets: []string{"NO"}}, "create bucket NO"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.options)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(c.message)))
		})
	}
}
