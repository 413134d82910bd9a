package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	. "github.com/onsi/gomega"
)

// sessionWith assumes a role with a policy, and returns a credentials provider.
func (w *world) sessionWith(policy string) (aws.CredentialsProvider, error) {
	assumed, err := w.sts.AssumeRole(w.ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/worker"), RoleSessionName: aws.String("team-a.deploy"), ExternalId: aws.String("c/team-a"), Policy: &policy,
	})
	if err != nil {
		return nil, err
	}
	c := assumed.Credentials
	return credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken), nil
}

func allows(action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%q,"Resource":%q}}`, action, resource)
}

// TestSessionPolicyIsEnforced calls each service in sessions with a policy.
func TestSessionPolicyIsEnforced(t *testing.T) {
	w := newWorld(t)
	w.createType(types.ActionCategoryBuild)
	calls := map[string]func(aws.CredentialsProvider) error{
		"PollForJobs": func(c aws.CredentialsProvider) error {
			_, err := w.with(c).PollForJobs(w.ctx, &codepipeline.PollForJobsInput{ActionTypeId: &types.ActionTypeId{
				Category: types.ActionCategoryBuild, Owner: types.ActionOwnerCustom, Provider: aws.String("worker"), Version: aws.String("1")}})
			return err
		},
		"ListPipelines": func(c aws.CredentialsProvider) error {
			_, err := w.with(c).ListPipelines(w.ctx, &codepipeline.ListPipelinesInput{})
			return err
		},
		"TagResource": func(c aws.CredentialsProvider) error {
			_, err := w.with(c).TagResource(w.ctx, &codepipeline.TagResourceInput{
				ResourceArn: aws.String(typeARN), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			return err
		},
		"ListBuckets": func(c aws.CredentialsProvider) error {
			_, err := w.s3With(c).ListBuckets(w.ctx, &s3.ListBucketsInput{})
			return err
		},
		"AssumeRole": func(c aws.CredentialsProvider) error {
			_, err := sts.NewFromConfig(w.config, func(o *sts.Options) { o.Credentials = c }).AssumeRole(w.ctx, &sts.AssumeRoleInput{
				RoleArn: aws.String(otherRole), RoleSessionName: aws.String("chained")})
			return err
		},
		"CreateQueue": func(c aws.CredentialsProvider) error {
			_, err := sqs.NewFromConfig(w.config, func(o *sqs.Options) { o.Credentials = c }).CreateQueue(w.ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
			return err
		},
		"GetCallerIdentity": func(c aws.CredentialsProvider) error {
			_, err := sts.NewFromConfig(w.config, func(o *sts.Options) { o.Credentials = c }).GetCallerIdentity(w.ctx, &sts.GetCallerIdentityInput{})
			return err
		},
	}
	const always = "GetCallerIdentity" // can't be denied by IAM
	for name, c := range map[string]struct {
		policy  string
		allowed []string
	}{
		"an action":                  {allows("codepipeline:PollForJobs", "*"), []string{"PollForJobs"}},
		"an action in another case":  {allows("CodePipeline:pollforjobs", "*"), []string{"PollForJobs"}},
		"actions by a pattern":       {allows("codepipeline:*", "*"), []string{"PollForJobs", "ListPipelines", "TagResource"}},
		"a resource":                 {allows("codepipeline:*", typeARN), []string{"PollForJobs", "TagResource"}},
		"resources by a pattern":     {allows("codepipeline:*", "arn:aws:codepipeline:*:*:action?ype:?ustom/Build/*"), []string{"PollForJobs", "TagResource"}},
		"another resource":           {allows("codepipeline:*", strings.Replace(typeARN, "/1", "/2", 1)), nil},
		"all but what is denied":     {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":["*"]},{"Sid":"No","Effect":"Deny","Action":["s3:*","sqs:*"],"Resource":"*"}]}`, []string{"PollForJobs", "ListPipelines", "TagResource", "AssumeRole"}},
		"of another service":         {allows("s3:*", "*"), []string{"ListBuckets"}},
		"of a queue":                 {allows("sqs:*", "arn:aws:sqs:us-east-1:111122223333:q"), []string{"CreateQueue"}},
		"a role that may be assumed": {allows("sts:AssumeRole", otherRole), []string{"AssumeRole"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			session, err := w.sessionWith(c.policy)
			g.Expect(err).NotTo(HaveOccurred())
			var allowed []string
			for call, do := range calls {
				err := do(session)
				if err == nil {
					allowed = append(allowed, call)
					continue
				}
				g.Expect(codeOf(err)).To(HavePrefix("AccessDenied"), "%s: %v", call, err)
				g.Expect(err).To(MatchError(ContainSubstring("assumed-role/worker/team-a.deploy is not authorized to perform: ")))
				g.Expect(err).To(MatchError(ContainSubstring("because no session policy allows the ")))
			}
			g.Expect(allowed).To(ConsistOf(append(c.allowed, always)))
		})
	}
}

func TestSessionPoliciesAreChecked(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ policy, code string }{
		"as long as may be": {allows("codepipeline:"+strings.Repeat("x", 2048-len(allows("codepipeline:", "*"))), "*"), ""},
		"too long":          {allows("codepipeline:"+strings.Repeat("x", 2049-len(allows("codepipeline:", "*"))), "*"), "ValidationError"},
		"no JSON":           {"allow", "MalformedPolicyDocument"},
		"no version":        {`{"Statement":[]}`, "MalformedPolicyDocument"},
		"no effect":         {`{"Version":"2012-10-17","Statement":[{"Action":"*","Resource":"*"}]}`, "MalformedPolicyDocument"},
		"no resource":       {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`, "MalformedPolicyDocument"},
		"a condition":       {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}]}`, "MalformedPolicyDocument"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.sessionWith(c.policy)
			NewWithT(t).Expect(codeOf(err)).To(Equal(c.code), "%v", err)
		})
	}
}

// TestSessionIsInTheJournal with everything that identifies its purpose.
func TestSessionIsInTheJournal(t *testing.T) {
	w := newWorld(t)
	policy := allows("codepipeline:PollForJobs", "*")
	_, err := w.sessionWith(policy)
	w.Expect(err).NotTo(HaveOccurred())
	var request map[string]string
	w.Expect(json.Unmarshal(w.emulator.Journal("AssumeRole")[0].Request, &request)).To(Succeed())
	w.Expect(request).To(Equal(map[string]string{
		"RoleArn": "arn:aws:iam::111122223333:role/worker", "RoleSessionName": "team-a.deploy", "ExternalId": "c/team-a", "Policy": policy,
	}))
}

// with returns a client with these credentials.
func (w *world) with(c aws.CredentialsProvider) *codepipeline.Client {
	return codepipeline.NewFromConfig(w.config, func(o *codepipeline.Options) { o.Credentials = c })
}
