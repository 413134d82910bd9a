package codepipeline

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestAccountsShareARateLimit(t *testing.T) {
	g := NewWithT(t)
	clients := NewClients(ClientsOptions{})
	pace := func(region, role, externalID string) any {
		client, err := clients.For(t.Context(), Identity{Region: region, RoleARN: role, ExternalID: externalID})
		g.Expect(err).NotTo(HaveOccurred())
		return client.pace
	}
	const one, two, other = "arn:aws:iam::111122223333:role/one", "arn:aws:iam::111122223333:role/two", "arn:aws:iam::444455556666:role/one"
	first := pace("us-east-1", one, "cluster/a")
	g.Expect(pace("us-east-1", one, "cluster/b")).To(BeIdenticalTo(first), "another namespace")
	g.Expect(pace("us-east-1", two, "cluster/a")).To(BeIdenticalTo(first), "another role of the account")
	g.Expect(pace("us-east-1", other, "cluster/a")).NotTo(BeIdenticalTo(first))
	g.Expect(pace("eu-west-1", one, "cluster/a")).NotTo(BeIdenticalTo(first))
	g.Expect(pace("us-east-1", "", "")).NotTo(BeIdenticalTo(first), "the operator's own account")
}

func TestThrottlingSlowsAllCallsOfTheAccount(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	g.Expect(server.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: emulator.Throttle, Times: 3})).To(Succeed())
	clients := NewClients(ClientsOptions{}, config.WithBaseEndpoint(server.URL()), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("any", "any", "")))
	client, err := clients.For(t.Context(), Identity{Region: "us-east-1"})
	g.Expect(err).NotTo(HaveOccurred())
	const nobody = "00000000-0000-4000-8000-000000000000"
	for range 3 {
		_, err := client.AcknowledgeJob(t.Context(), nobody, "1")
		g.Expect(KindOf(err)).To(Equal(Throttled))
	}
	slow := client.pace.limiter.Limit()
	g.Expect(slow).To(Equal(rate.Limit(callsPerSecond / 8.0)))
	_, err = client.AcknowledgeJob(t.Context(), nobody, "1")
	g.Expect(KindOf(err)).To(Equal(JobNotFound))
	g.Expect(client.pace.limiter.Limit()).To(BeNumerically(">", slow))
}

func TestPaceHasBounds(t *testing.T) {
	g := NewWithT(t)
	p := newPacer()
	for range 100 {
		p.learn(answeredThrottled)
	}
	g.Expect(p.limiter.Limit()).To(BeEquivalentTo(slowest))
	g.Expect(p.limiter.Burst()).To(Equal(1))
	p.learn(&NotSentError{Kind: Throttled, Err: errors.New("our own limit")})
	g.Expect(p.limiter.Limit()).To(BeEquivalentTo(slowest))
	for range 100 {
		p.learn(nil)
	}
	g.Expect(p.limiter.Limit()).To(BeEquivalentTo(callsPerSecond))
	g.Expect(p.limiter.Burst()).To(Equal(callBurst))
}

var answeredThrottled = Classify("PollForJobs", &smithy.GenericAPIError{Code: "ThrottlingException"})
